"""What a person reads after a selection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from imine.rendering import percent
from imine.rules import MeanPrediction, Rule, verdict
from imine.selection import Selection
from imine.selection.notes import rejected_in_words
from imine.selection.ranking import values_of
from imine.selection.reasons import why_without

_SHOWN = 3


def show_selection(selection: Selection, rule: Rule, records: pl.DataFrame, files: dict[str, Path]) -> None:
    """Print counts, what the rule saw, examples of both ends, cautions and files."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    kept, total = selection.kept_count, selection.total
    console.print(f"\nKept {kept:,} of {total:,} rows ({selection.request}) by the rule {rule.name}.")
    if selection.kept_mean is not None and selection.all_mean is not None:
        console.print(
            f"Expected log loss after finetuning, by the means of the indicators: {_mean(selection.kept_mean)} "
            f"for the kept rows, {_mean(selection.all_mean, chosen=False)} for all rows with a prediction."
        )
    _show_extrapolation(console, selection)
    console.print(_term_table(selection, rule))
    _show_examples(console, selection, records)
    _show_reasons(console, selection)
    if selection.stability is not None:
        console.print(selection.stability.summary())
    console.print(verdict(rule)[0])
    for note in rule.notes:
        console.print(f"Note on the rule: {note}")
    for note in selection.notes:
        console.print(f"Note: {note}")
    for what, path in files.items():
        console.print(f"{what + ':':15} {path}")


def show_thresholds(selection: Selection, thresholds: Sequence[float] | None) -> None:
    """Print how many rows each threshold would keep."""
    rows = selection.threshold_table(thresholds)
    if not rows.height:
        return
    table = Table(title=None, box=None, pad_edge=False)
    for title in ("threshold", "would keep", "share", "mean prediction", "its interval", "out of range"):
        table.add_column(title, justify="right")
    for row in rows.iter_rows(named=True):
        table.add_row(
            f"{row['threshold']:.4f}",
            f"{row['kept']:,} rows",
            f"{row['share']:.1%}",
            _number(row["mean_prediction"]),
            "unknown" if row["low"] is None else f"{row['low']:.4f} to {row['high']:.4f}",
            "unknown" if row["outside_share"] is None else f"{row['outside_share']:.1%}",
        )
    Console(highlight=False, soft_wrap=True, markup=False).print(
        f"\nRows by predicted log loss{_without(selection)}:", table, sep="\n"
    )


def _without(selection: Selection) -> str:
    """What the table of thresholds leaves out of what was asked for."""
    request = selection.decided.pool.request
    asked = {
        "the upper end of the interval": request.by == "upper",
        "where it cannot be told": request.cannot_tell is not None,
        "near-duplicates": request.duplicates is not None,
        "quotas": request.quota is not None,
    }
    left_out = [what for what, there in asked.items() if there]
    return f" alone (not counted: {', '.join(left_out)})" if left_out else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _show_extrapolation(console: Console, selection: Selection) -> None:
    if selection.outside_share is None:
        return
    kept = selection.kept_outside_share
    console.print(
        f"Outside the range of the sets that the rule was fitted on, in at least one indicator: "
        f"{selection.outside_share:.1%} of the rows with a prediction"
        + (f", {kept:.1%} of the kept ones" if kept is not None else "")
        + "; intervals of single rows are extrapolated."
    )


def _mean(prediction: MeanPrediction, chosen: bool = True) -> str:
    """A prediction with its interval; for rows that the rule chose with the one that holds for any choice too."""
    if prediction.low is None:
        return f"{prediction.value:.4f}"
    fixed = f"{prediction.low:.4f} to {prediction.high:.4f}"
    if chosen:
        every = f"{prediction.any_low:.4f} to {prediction.any_high:.4f}"
        fixed = f"{every} whatever the rule chooses, {fixed} for a set that it did not choose"
    return f"{prediction.value:.4f} ({percent(prediction.level)} interval of the expectation {fixed})"


def _term_table(selection: Selection, rule: Rule) -> Table:
    """Means of each indicator, what their difference does to the prediction, and rows outside the fitted range."""
    table = Table(title=None, box=None, pad_edge=False)
    table.add_column("indicator")
    for title in ("mean kept", "mean of all", "coefficient", "effect", "out of range"):
        table.add_column(title, justify="right")
    assert selection.scores is not None
    scores = selection.scores.frame
    kept = scores.join(selection.table.filter("kept").select("id"), on="id", how="semi")
    scored = scores.join(
        selection.table.filter(pl.col("rank").is_not_null()).select("id"), on="id", how="semi"
    )
    for term in rule.terms:
        inside, everywhere = kept[term.name].mean(), scored[term.name].mean()
        if not isinstance(inside, int | float) or not isinstance(everywhere, int | float):
            continue
        table.add_row(
            term.name,
            f"{inside:,.4g}",
            f"{everywhere:,.4g}",
            f"{term.coefficient:+.3g}",
            f"{term.coefficient * (inside - everywhere):+.4f}",
            f"{selection.out_of_range.get(term.name, 0):,} rows" if term.fitted else "unknown",
        )
    return table


def _show_examples(console: Console, selection: Selection, records: pl.DataFrame) -> None:
    ranked = (
        selection.table.filter(pl.col("rank").is_not_null()).join(records, on="id", how="left").sort("rank")
    )
    for title, rows in (
        ("Lowest predicted loss:", ranked.filter("kept").head(_SHOWN)),
        ("Highest predicted loss:", ranked.filter(~pl.col("kept")).tail(_SHOWN)),
    ):
        if rows.height:
            console.print(title)
        for row in rows.iter_rows(named=True):
            text = f"{_short(row['instruction'], 36)} -> {_short(row['output'], 48)}"
            console.print(f"  {row['predicted_log_loss']:8.4f}  {text}")


def _short(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _show_reasons(console: Console, selection: Selection) -> None:
    rejected = selection.total - selection.kept_count
    if rejected:
        console.print(f"Rejected {rejected:,} rows: {rejected_in_words(selection.rejected_by)}.")
    decided = selection.decided
    request = decided.pool.request
    tokens = [request.token_column] if request.tokens is not None else []
    for name in dict.fromkeys([*decided.rule.indicators, *tokens]):
        without = decided.scores.filter(np.isnan(values_of(decided.scores, name)))
        if without.height:
            counts = without.select(why=why_without(decided.scores, name)).to_series().value_counts()
            most = counts.sort(["count", "why"], descending=[True, False]).row(0)[0]
            console.print(f"  without {name}: {without.height:,} rows, most often: {most}")
