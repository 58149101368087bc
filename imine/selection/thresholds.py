"""How many rows each threshold would keep."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from imine.errors import SelectionError
from imine.rules import Rule
from imine.selection.ranking import Array, Ranking, Rows, check_ids, outside_ranges, predict, rank, values_of

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
"""Shares of the rows with a prediction at which the table has its lines, unless told otherwise."""


def threshold_table(
    scores: pl.DataFrame, rule: Rule, thresholds: Sequence[float] | None = None
) -> pl.DataFrame:
    """How many rows each threshold of the predicted log loss would keep.

    Args:
        scores: ``id`` and one column an indicator of the rule.
        rule: the rule.
        thresholds: log losses; by default those that keep 1, 2, 5, 10, 20, 30, 50, 75 and 100 % of the rows with a
            prediction.

    Returns:
        One row a threshold, ascending: ``threshold``; ``kept`` rows; ``share`` of those with a prediction;
        ``mean_prediction``, the prediction at the kept rows' means, ``low`` and ``high``, its interval at the rule's
        level (null without a covariance or kept rows); ``outside_share``, the share of the kept rows outside the fitted
        range of at least one term (null where no range is known).

    Raises:
        SelectionError: no rows, ids that occur twice, or a threshold that is not finite.

    Examples:
        >>> from imine.rules import Estimate, Term
        >>> rule = Rule(name="r", intercept=Estimate(coefficient=0.5), terms=(Term(name="mtld", coefficient=-0.1),))
        >>> frame = pl.DataFrame({"id": ["a", "b", "c", "d"], "mtld": [1.0, 2.0, 3.0, None]})
        >>> threshold_table(frame, rule, [0.35]).select("kept", "share", "mean_prediction").rows()
        [(2, 0.6666666666666666, 0.25)]
    """
    if "id" not in scores.columns or not scores.height:
        raise SelectionError("the scores need a column id and at least one row")
    check_ids(scores["id"])
    predicted = predict(scores, rule)
    return threshold_rows(scores, rule, rank(scores["id"], predicted, predicted), thresholds)


def threshold_rows(
    scores: pl.DataFrame,
    rule: Rule,
    ranking: Ranking,
    thresholds: Sequence[float] | None,
    level: float | None = None,
) -> pl.DataFrame:
    """As :func:`threshold_table`, for rows that are ranked by anything; ``level`` is that of the intervals."""
    rows = ranking.rows
    if ranking.key is not ranking.predicted:
        rows = rank(scores["id"], ranking.predicted, ranking.predicted).rows
    ordered = ranking.predicted[rows]
    limits = _limits(ordered, thresholds)
    counts = np.searchsorted(ordered, limits, side="right")
    means = {name: _means(values_of(scores, name)[rows], counts) for name in rule.indicators}
    outside = list(outside_ranges(scores, rule, rows).values())
    outside_counts = np.concatenate([[0], np.cumsum(np.any(outside, axis=0))])[counts] if outside else None
    lines = []
    for i, (limit, count) in enumerate(zip(limits.tolist(), counts.tolist(), strict=True)):
        at = {name: float(m[i]) for name, m in means.items()}
        mean = rule.predict_mean(at, level=level) if count else None
        lines.append(
            {
                "threshold": limit,
                "kept": count,
                "share": count / len(rows) if len(rows) else 0.0,
                "mean_prediction": mean.value if mean else None,
                "low": mean.any_low if mean else None,
                "high": mean.any_high if mean else None,
                "outside_share": None
                if outside_counts is None or not count
                else int(outside_counts[i]) / count,
            }
        )
    schema = {"threshold": pl.Float64, "kept": pl.Int64, **dict.fromkeys(_NUMBERS, pl.Float64)}
    return pl.DataFrame(lines, schema=schema)


_NUMBERS = ("share", "mean_prediction", "low", "high", "outside_share")


def _limits(ordered: Array, thresholds: Sequence[float] | None) -> Array:
    if thresholds is None:
        places = [max(1, round(share * len(ordered))) - 1 for share in SHARES] if len(ordered) else []
        return np.unique(ordered[np.array(places, dtype=np.int64)])
    limits = np.unique(np.asarray(thresholds, dtype=np.float64))
    if not np.isfinite(limits).all():
        raise SelectionError(f"thresholds must be finite log losses; got {list(thresholds)}")
    return limits


def _means(values: Array, counts: Rows) -> Array:
    """Mean of the first rows, for each count; not a number for none."""
    starts = np.concatenate([[0], counts])[: len(counts)].astype(np.int64)
    sums = [values[a:b].sum() for a, b in zip(starts, counts, strict=True)]
    with np.errstate(invalid="ignore"):
        return np.cumsum(sums) / np.where(counts, counts, np.nan)
