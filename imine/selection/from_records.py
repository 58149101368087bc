"""Selecting records: score them where needed, check that scores and rule belong together, choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from imine.columns import find_column
from imine.errors import IndicatorUnavailableError, SelectionError
from imine.rules import Rule, load_rule
from imine.selection.checks import Mismatch, check_columns, check_made, check_planned, unchecked_notes
from imine.selection.result import Selection
from imine.selection.selector import Request, select_scored

if TYPE_CHECKING:
    from imine.indicators.score import Scores
    from imine.progress import Progress


def select(
    data: pl.DataFrame,
    rule: Rule | str | Path,
    *,
    top: int | None = None,
    fraction: float | None = None,
    threshold: float | None = None,
    scores: Scores | pl.DataFrame | None = None,
    allow_mismatch: bool = False,
    settings: Any = None,
    progress: Progress | None = None,
) -> Selection:
    """Keep the records that a rule predicts the lowest log loss for.

    Args:
        data: records, as :func:`imine.read` gives them.
        rule: a rule, its name, or its file.
        top, fraction, threshold: how much to keep, exactly one; see :func:`imine.selection.select_scored`.
        scores: scores of these records, or a frame of ``id`` and the indicators, of which it is not known how
            they were made; by default they are computed, in the way that the rule expects.
        allow_mismatch: go on, with a warning that is stored in the result, where fingerprints of scores and
            rule differ.
        settings: how to score; by default as the rule expects.
        progress: told of the scoring.

    Returns:
        The selection, with the kept and the rejected records, their columns as they came.

    Raises:
        IndicatorUnavailableError: the rule needs indicators that are neither in ``scores`` nor computed here.
        FingerprintMismatchError: scores and rule do not belong together; the message names every difference.
            What can be known of it before scoring is said before.
        SelectionError: a request that makes no sense, no records, or scores that do not fit them.

    Examples:
        >>> import polars as pl
        >>> data = pl.DataFrame({"id": ["a", "b"], "output": ["Yes.", "No."]})
        >>> made_up = pl.DataFrame({
        ...     "id": ["a", "b"], "reward": [0.1, 2.0], "output_length": [3, 3], "knn_6": [0.5, 0.5]
        ... })
        >>> chosen = select(data, "instructmining-v1", top=1, scores=made_up)
        >>> chosen.kept["output"].to_list()
        ['No.']
    """
    rule = rule if isinstance(rule, Rule) else load_rule(rule)
    Request(top, fraction, threshold)
    scores = None if scores is None else _as_scores(scores)
    check_available(rule, () if scores is None else scores.frame.columns)
    _check_records(data)
    mismatch = Mismatch()
    if scores is None:
        settings = _settings(rule, settings)
        mismatch = check_planned(rule, _planned(rule, settings), allow_mismatch)
        scores = _score(data, rule, settings, progress)
    check_columns(rule, scores.frame)
    mismatch = check_made(rule, scores.fingerprints, allow_mismatch, mismatch)
    frame, join_notes = _scores_of(data, rule, scores.frame)
    selection = select_scored(frame, rule, top=top, fraction=fraction, threshold=threshold)
    kept, rejected = _records(data, selection.table)
    return replace(
        selection,
        scores=scores,
        kept=kept,
        rejected=rejected,
        fingerprints={n: f for n, f in scores.fingerprints.items() if n in rule.indicators},
        notes=(*mismatch.notes, *unchecked_notes(rule), *join_notes, *selection.notes),
    )


def check_available(rule: Rule, scored: Sequence[str] = ()) -> None:
    """Refuse a rule whose indicators are neither scored already nor computed by imine.

    Args:
        rule: the rule to be applied.
        scored: columns of the scores at hand.

    Raises:
        IndicatorUnavailableError: names the indicators, and what to do.

    Examples:
        >>> from imine.rules import load_rule
        >>> check_available(load_rule("instructmining-v1"))
    """
    absent = [name for name in rule.indicators if name not in scored and not find_column(name)]
    if not absent:
        return
    raise IndicatorUnavailableError(
        f"rule {rule.name!r} needs indicators that this version of imine cannot compute: {', '.join(absent)}. "
        "Nothing was done. Score them elsewhere into a parquet file with the columns id and "
        + ", ".join(absent)
        + ", and pass it on (imine select --scores FILE), or choose another rule (imine rules)."
    )


def _check_records(data: pl.DataFrame) -> None:
    if "id" not in data.columns:
        raise SelectionError(f"the records have no column id; they have: {', '.join(data.columns)}")
    if not data.height:
        raise SelectionError("there are no records to choose from")
    if nulls := data["id"].null_count():
        raise SelectionError(f"{nulls:,} records have no id (null)")
    twice = data.filter(pl.col("id").is_duplicated())["id"].unique().sort()
    if twice.len():
        shown = ", ".join(str(value) for value in twice.head(5))
        raise SelectionError(f"{twice.len():,} ids stand for more than one record: {shown}")


def _settings(rule: Rule, settings: Any) -> Any:
    from imine.indicators.score import settings_for_rule

    return settings_for_rule(rule) if settings is None else settings


def _planned(rule: Rule, settings: Any) -> dict[str, dict[str, Any]]:
    from imine.indicators.score import planned_fingerprints

    return planned_fingerprints(rule.indicators, settings)


def _score(data: pl.DataFrame, rule: Rule, settings: Any, progress: Progress | None) -> Scores:
    from imine.indicators.score import score

    return score(data, list(rule.indicators), settings=settings, progress=progress)


def _as_scores(scores: Scores | pl.DataFrame) -> Scores:
    from imine.indicators.score import Scores

    return Scores(scores, {}, {}) if isinstance(scores, pl.DataFrame) else scores


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
    if absent.all():
        theirs = f"one of the scores is {scores['id'][0]!r}" if scores.height else "the scores have no rows"
        raise SelectionError(
            f"the scores are of other records: no id matches. One of the records is {ids['id'][0]!r}, {theirs}. "
            "Score these records, or give the scores that belong to them."
        )
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
    data = data.drop("imine_reason", strict=False)
    places = data.select(pl.col("id").cast(pl.String)).with_row_index("place")

    def take(rows: pl.DataFrame) -> pl.DataFrame:
        return data[rows.select("id").join(places, on="id", how="left", maintain_order="left")["place"]]

    rejected = table.filter(~pl.col("kept"))
    return take(table.filter("kept")), take(rejected).with_columns(rejected["reason"].alias("imine_reason"))
