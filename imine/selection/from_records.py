"""Selecting records: score them where needed, check that scores and rule belong together, choose."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from imine.columns import COLUMNS
from imine.errors import (
    FingerprintMismatchError,
    FingerprintMismatchWarning,
    IndicatorUnavailableError,
    SelectionError,
)
from imine.rules import Rule, compare_fingerprints, describe_differences, load_rule
from imine.selection.result import Selection
from imine.selection.selector import Request, select_scored

if TYPE_CHECKING:
    from imine.indicators.score import Scores
    from imine.progress import Progress

# Indicators of the published rules that nothing here computes, with the model that they are defined by.
_MODELS_ELSEWHERE = {
    "reward": "OpenAssistant/oasst-rm-2.1-pythia-1.4b-epoch-2.5",
    "naturalness": "MingZhong/unieval-dialog",
    "coherence": "MingZhong/unieval-dialog",
    "understandability": "MingZhong/unieval-dialog",
}


def select(
    data: pl.DataFrame,
    rule: Rule | str | Path,
    *,
    top: int | None = None,
    fraction: float | None = None,
    threshold: float | None = None,
    scores: Scores | None = None,
    allow_mismatch: bool = False,
    settings: Any = None,
    progress: Progress | None = None,
) -> Selection:
    """Keep the records that a rule predicts the lowest log loss for.

    Args:
        data: records, as :func:`imine.read` gives them.
        rule: a rule, its name, or its file.
        top, fraction, threshold: how much to keep, exactly one; see :func:`imine.selection.select_scored`.
        scores: scores of these records; by default they are computed, in the way that the rule expects.
        allow_mismatch: go on, with a warning that is stored in the result, where fingerprints of scores and
            rule differ.
        settings: how to score; by default as the rule expects.
        progress: told of the scoring.

    Returns:
        The selection, with the kept and the rejected records.

    Raises:
        IndicatorUnavailableError: the rule needs indicators that are neither in ``scores`` nor computed here.
        FingerprintMismatchError: scores and rule do not belong together; the message names every difference.
        SelectionError: a request that makes no sense, or scores that do not fit the records.

    Examples:
        >>> import polars as pl
        >>> from imine.indicators.score import Scores
        >>> data = pl.DataFrame({"id": ["a", "b"], "output": ["Yes.", "No."]})
        >>> made_up = pl.DataFrame({
        ...     "id": ["a", "b"], "reward": [0.1, 2.0], "output_length": [3, 3], "knn_6": [0.5, 0.5]
        ... })
        >>> scores = Scores(frame=made_up, fingerprints={}, timings={})
        >>> chosen = select(data, "instructmining-v1", top=1, scores=scores)
        >>> chosen.kept["output"].to_list()
        ['No.']
    """
    rule = rule if isinstance(rule, Rule) else load_rule(rule)
    Request(top, fraction, threshold)
    check_available(rule, () if scores is None else scores.frame.columns)
    _check_records(data)
    if scores is None:
        scores = _score(data, rule, settings, progress)
    notes = _check_scores(rule, scores, allow_mismatch)
    frame, join_notes = _scores_of(data, rule, scores.frame)
    selection = select_scored(frame, rule, top=top, fraction=fraction, threshold=threshold)
    kept, rejected = _records(data, selection.table)
    return replace(
        selection,
        kept=kept,
        rejected=rejected,
        fingerprints={n: f for n, f in scores.fingerprints.items() if n in rule.indicators},
        notes=(*notes, *join_notes, *selection.notes),
    )


def check_available(rule: Rule, scored: Sequence[str] = ()) -> None:
    """Refuse a rule whose indicators are neither scored already nor computed by imine.

    Args:
        rule: the rule to be applied.
        scored: columns of the scores at hand.

    Raises:
        IndicatorUnavailableError: names the indicators, their models, and what to do.

    Examples:
        >>> from imine.rules import load_rule
        >>> check_available(load_rule("instructmining-v1"), scored=["reward"])
    """
    absent = [name for name in rule.indicators if name not in scored and name not in COLUMNS]
    if not absent:
        return
    width = max(len(name) for name in absent)
    lines = [f"  {name:<{width}}  {_MODELS_ELSEWHERE.get(name, 'model unknown here')}" for name in absent]
    raise IndicatorUnavailableError(
        f"rule {rule.name!r} needs indicators that this version of imine cannot compute. "
        "Nothing was done. Indicator and model:\n" + "\n".join(lines) + "\n"
        "Score them elsewhere into a parquet file with the columns id and "
        + ", ".join(absent)
        + ", and pass it as the scores (--scores FILE), or choose another rule (imine rules)."
    )


def _check_records(data: pl.DataFrame) -> None:
    if "id" not in data.columns:
        raise SelectionError(f"the records have no column id; they have: {', '.join(data.columns)}")
    twice = data.filter(pl.col("id").is_duplicated())["id"].unique().sort()
    if twice.len():
        shown = ", ".join(str(value) for value in twice.head(5))
        raise SelectionError(f"{twice.len():,} ids stand for more than one record: {shown}")


def _score(data: pl.DataFrame, rule: Rule, settings: Any, progress: Progress | None) -> Scores:
    from imine.indicators.score import score, settings_for_rule

    settings = settings_for_rule(rule) if settings is None else settings
    return score(data, list(rule.indicators), settings=settings, progress=progress)


def _check_scores(rule: Rule, scores: Scores, allow_mismatch: bool) -> list[str]:
    absent = [name for name in rule.indicators if name not in scores.frame.columns]
    if absent:
        raise SelectionError(
            f"the scores have no column {', '.join(absent)}, which rule {rule.name!r} needs. "
            "Score again with these indicators, or leave the scores away."
        )
    unchecked = [name for name in rule.indicators if name not in rule.fingerprints]
    notes = []
    if unchecked:
        notes.append(
            f"The rule holds no fingerprint of {', '.join(unchecked)}: whether the scores were made in its "
            "way was not checked."
        )
    differences = compare_fingerprints(rule.fingerprints, scores.fingerprints)
    if not differences:
        return notes
    text = f"the scores were not made as rule {rule.name!r} expects:\n{describe_differences(differences)}"
    if not allow_mismatch:
        raise FingerprintMismatchError(
            f"{text}\nScore again in the rule's way, fit a rule to this way, or go on regardless "
            "(--allow-mismatch; allow_mismatch=True)."
        )
    warnings.warn(text, FingerprintMismatchWarning, stacklevel=3)
    return [f"Mismatch allowed: {text}", *notes]


def _scores_of(data: pl.DataFrame, rule: Rule, scores: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rule's scores in the records' order, and notes; a record without scores is null with a reason."""
    if "id" not in scores.columns:
        raise SelectionError(f"the scores have no column id; they have: {', '.join(scores.columns)}")
    scores = scores.with_columns(pl.col("id").cast(pl.String), imine_scored=pl.lit(True))
    ids = data.select(pl.col("id").cast(pl.String))
    whys = [f"{name}__why" for name in rule.indicators]
    wanted = [c for c in (*rule.indicators, *whys) if c in scores.columns]
    joined = ids.join(
        scores.select("id", *wanted, "imine_scored"), on="id", how="left", maintain_order="left"
    )
    if joined.height != data.height:
        raise SelectionError("the scores have more than one row for some ids; score again")
    absent = joined["imine_scored"].is_null()
    reason = pl.when(absent).then(pl.lit("the scores have no row for this id"))
    joined = joined.with_columns(
        reason.otherwise(pl.col(why) if why in wanted else pl.lit(None, dtype=pl.String)).alias(why)
        for why in whys
    )
    strangers = scores.height - (joined.height - int(absent.sum()))
    notes = [f"{strangers:,} rows of the scores are not among the records."] if strangers else []
    return joined.drop("imine_scored"), notes


def _records(data: pl.DataFrame, table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Kept and rejected records, in the order of the table."""
    data = data.drop("imine_reason", strict=False).with_columns(pl.col("id").cast(pl.String))

    def take(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.join(data, on="id", how="left", maintain_order="left")

    kept = take(table.filter("kept").select("id")).select(data.columns)
    rejected = table.filter(~pl.col("kept")).select("id", pl.col("reason").alias("imine_reason"))
    return kept, take(rejected).select(*data.columns, "imine_reason")
