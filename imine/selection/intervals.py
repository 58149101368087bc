"""Intervals of single rows: extrapolated, since the rule was fitted on means of sets."""

from __future__ import annotations

import numpy as np
import polars as pl

from imine.errors import SelectionError
from imine.rules import Rule
from imine.selection.ranking import Array, Rows, values_of

# Rows at a time: a few megabytes a column.
_BLOCK = 1_000_000


def half_widths(
    scores: pl.DataFrame, rule: Rule, level: float | None = None, rows: Rows | None = None
) -> Array:
    """Half width of the interval of the expected log loss at each row's own values.

    It takes the row for a set with these means, which is an extrapolation: single rows lie much further from the runs'
    means than the sets that were fitted. Sums are made in one order, whatever the number of rows or threads.

    Args:
        scores: one column an indicator.
        rule: one with a covariance.
        level: confidence level; by default the rule's own.
        rows: positions of the rows; all by default.

    Returns:
        Shape (rows,), log loss; not a number for a row without a prediction.

    Raises:
        SelectionError: the rule has no covariance.

    Examples:
        >>> from imine.rules import Estimate, Term
        >>> rule = Rule(name="r", intercept=Estimate(coefficient=0.5), terms=(Term(name="mtld", coefficient=0.1),),
        ...             covariance=((0.04, 0.0), (0.0, 0.0)), df_resid=20, sigma=0.1)
        >>> half_widths(pl.DataFrame({"mtld": [1.0, None]}), rule).round(4).tolist()
        [0.4172, nan]
    """
    require_covariance(rule)
    everywhere = np.arange(scores.height) if rows is None else rows
    columns = [values_of(scores, name) for name in rule.indicators]
    widths = np.empty(len(everywhere))
    for start in range(0, len(everywhere), _BLOCK):
        part = everywhere[start : start + _BLOCK]
        widths[start : start + _BLOCK] = _half(rule, [c[part] for c in columns], level or rule.level)
    return widths


def require_covariance(rule: Rule) -> None:
    """Refuse a rule without intervals.

    Raises:
        SelectionError: the rule has no covariance.
    """
    if rule.covariance is None:
        raise SelectionError(
            f"rule {rule.name!r} has no covariance, so its predictions have no intervals: "
            "rank by the prediction, or use a fitted rule (imine fit)"
        )


def _half(rule: Rule, columns: list[Array], level: float) -> Array:
    from scipy.stats import t as student

    from imine.rules.predict import covariance_centre

    V = np.array(rule.covariance, dtype=np.float64)
    centre, level_variance = covariance_centre(rule, V)
    away = [column - c for column, c in zip(columns, centre, strict=True)]
    variance = np.full(len(columns[0]), level_variance)
    for i, x in enumerate(away):
        if not centre.any():
            variance += 2.0 * V[0, i + 1] * x
        variance += V[i + 1, i + 1] * x * x
        for j in range(i):
            variance += 2.0 * V[i + 1, j + 1] * x * away[j]
    quantile = float(student.isf((1.0 - level) / 2.0, rule.df_resid))
    return quantile * np.sqrt(np.maximum(variance, 0.0))
