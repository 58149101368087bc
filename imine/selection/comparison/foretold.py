"""What the rule foretells of the rows that each selector chose, to be held against what the finetunes gave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from imine.rules import Rule
from imine.selection.comparison.contrast import Array
from imine.selection.comparison.draws import Choice

_BASE = "random"


@dataclass(frozen=True, slots=True)
class Foretold:
    """The rule's indicators of the rows that a selector chose at one budget, and the loss that they foretell.

    Attributes:
        pool, size, selector: whose choice.
        means: of every indicator: the mean over the chosen rows that have it, averaged over the seeds; ``None`` where
            a seed's rows have none.
        outside: indicators of which that mean lies outside the range of subset means that the rule was fitted on.
        difference: predicted log loss less that of the rows of ``random``; ``None`` for random itself and where an
            indicator is not known.
        low, high: its interval by the uncertainty of the coefficients; ``None`` likewise, and for a rule without
            covariance.
    """

    pool: str
    size: int
    selector: str
    means: dict[str, float | None]
    outside: tuple[str, ...]
    difference: float | None = None
    low: float | None = None
    high: float | None = None


def foretell(
    rule: Rule, scores: pl.DataFrame, choices: Sequence[Choice], level: float
) -> tuple[Foretold, ...]:
    """Hold the choices of all selectors against the rule.

    Args:
        rule: the rule.
        scores: ``pool, id`` and the rule's indicators of every candidate.
        choices: the rows of every run.
        level: confidence level.

    Examples:
        >>> from imine.rules import Estimate, Term
        >>> rule = Rule(name="r", intercept=Estimate(coefficient=1), terms=(Term(name="mtld", coefficient=-0.1),))
        >>> rows = pl.DataFrame({"pool": "p", "id": ["a", "b", "c"], "mtld": [3.0, 1.0, 2.0]})
        >>> made = [Choice("p", 1, name, 0, 0, (id,)) for name, id in (("rule", "a"), ("random", "b"))]
        >>> round(foretell(rule, rows, made, 0.95)[0].difference, 3)
        -0.2
    """
    values = {
        pool: dict(zip(part["id"], part.select(rule.indicators).to_numpy(), strict=True))
        for (pool,), part in scores.group_by("pool", maintain_order=True)
    }
    groups: dict[tuple[str, int, str], list[Array]] = {}
    for choice in choices:
        rows = np.array([values[choice.pool][id] for id in choice.ids], dtype=np.float64)
        groups.setdefault((choice.pool, choice.size, choice.selector), []).append(_means(rows))
    centres = {key: np.mean(means, axis=0) for key, means in groups.items()}
    return tuple(_foretold(rule, key, centres, level) for key in groups)


def _means(rows: Array) -> Array:
    """Means over the rows that have a finite value, column by column; not a number where none has."""
    usable = np.isfinite(rows)
    counts = usable.sum(axis=0)
    return np.where(counts > 0, np.where(usable, rows, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)


def _foretold(
    rule: Rule, key: tuple[str, int, str], centres: dict[tuple[str, int, str], Array], level: float
) -> Foretold:
    pool, size, selector = key
    centre = centres[key]
    means = {
        name: float(value) if math.isfinite(value) else None
        for name, value in zip(rule.indicators, centre, strict=True)
    }
    outside = tuple(
        name
        for name, fitted in rule.ranges.items()
        if (mean := means[name]) is not None and not fitted.min <= mean <= fitted.max
    )
    away = centre - centres.get((pool, size, _BASE), np.full_like(centre, np.nan))
    if selector == _BASE or not np.isfinite(away).all():
        return Foretold(pool, size, selector, means, outside)
    value = float(sum(term.coefficient * d for term, d in zip(rule.terms, away, strict=True)))
    half = _half_width(rule, away, level)
    ends = (None, None) if half is None else (value - half, value + half)
    return Foretold(pool, size, selector, means, outside, value, *ends)


def _half_width(rule: Rule, away: Array, level: float) -> float | None:
    """Of a difference of two sets' means: the level, which both share, has no part in it."""
    from scipy.stats import t as student

    if rule.covariance is None or rule.df_resid is None:
        return None
    V = np.array(rule.covariance, dtype=np.float64)[1:, 1:]
    return float(
        student.isf((1.0 - level) / 2.0, rule.df_resid) * math.sqrt(max(float(away @ V @ away), 0.0))
    )
