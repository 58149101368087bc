"""What a person reads after a selection."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from imine.rules import MeanPrediction, Rule, verdict
from imine.selection import Selection

_SHOWN = 3


def show_selection(selection: Selection, rule: Rule, records: pl.DataFrame, files: dict[str, Path]) -> None:
    """Print counts, what the rule saw, examples of both ends, cautions and files."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    kept, total = len(selection.kept_ids), selection.table.height
    console.print(f"\nKept {kept:,} of {total:,} rows ({selection.request}) by the rule {rule.name}.")
    if selection.kept_mean is not None and selection.all_mean is not None:
        console.print(
            f"Expected log loss after finetuning, by the means of the indicators: {_mean(selection.kept_mean)} "
            f"for the kept rows, {_mean(selection.all_mean)} for all rows with a prediction."
        )
    console.print(_term_table(selection, rule))
    _show_examples(console, selection, records)
    _show_reasons(console, selection)
    console.print(verdict(rule)[0])
    for note in selection.notes:
        console.print(f"Note: {note}")
    for what, path in files.items():
        console.print(f"{what + ':':15} {path}")


def _mean(prediction: MeanPrediction) -> str:
    if prediction.low is None:
        return f"{prediction.value:.4f}"
    level = f"{prediction.level:.0%}"
    return f"{prediction.value:.4f} ({level} interval of the expectation {prediction.low:.4f} to {prediction.high:.4f})"


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
    rejected = selection.table.filter(~pl.col("kept"))
    unscored = rejected.filter(pl.col("rank").is_null())
    if rejected.height:
        console.print(
            f"Rejected {rejected.height:,} rows: {rejected.height - unscored.height:,} above the cut, "
            f"{unscored.height:,} without a prediction."
        )
    assert selection.scores is not None
    for name in selection.scores.indicators:
        why = selection.scores.frame.filter(pl.col(name).is_null()).get_column(f"{name}__why", default=None)
        if why is not None and why.len():
            most = why.value_counts(sort=True).row(0)[0]
            console.print(f"  without {name}: {why.len():,} rows, most often: {most}")
