"""Slow plain twin of the regression: least squares in rational numbers, square roots to 60 digits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np

_SIXTY = Context(prec=60, Emin=-999999, Emax=999999)


@dataclass(frozen=True)
class Exact:
    params: list[Fraction]
    variances: list[Fraction]
    variance: Fraction
    residuals: list[Fraction]

    @property
    def std_errors(self) -> list[Fraction]:
        return [root(value) for value in self.variances]


def root(value: Fraction) -> Fraction:
    quotient = _SIXTY.divide(Decimal(value.numerator), Decimal(value.denominator))
    return Fraction(_SIXTY.sqrt(quotient))


def nearest(values: list[Fraction]) -> np.ndarray:
    """Python rounds a fraction to the nearest float64, ties to even."""
    return np.array([float(value) for value in values])


def solve(X: np.ndarray, y: np.ndarray, intercept: bool = True, weights: np.ndarray | None = None) -> Exact:
    rows = [[Fraction(1)] * intercept + [Fraction(v) for v in row] for row in np.asarray(X).tolist()]
    target = [Fraction(v) for v in np.asarray(y).tolist()]
    heavy = [Fraction(1)] * len(rows) if weights is None else [Fraction(v) for v in weights.tolist()]
    p = len(rows[0])
    work = [
        [sum(w * r[i] * r[j] for w, r in zip(heavy, rows, strict=True)) for j in range(p)]
        + [Fraction(int(i == j)) for j in range(p)]
        + [sum(w * r[i] * t for w, r, t in zip(heavy, rows, target, strict=True))]
        for i in range(p)
    ]
    for i in range(p):
        work[i] = [v / work[i][i] for v in work[i]]
        for r in range(p):
            if r != i and work[r][i]:
                factor = work[r][i]
                work[r] = [a - factor * b for a, b in zip(work[r], work[i], strict=True)]
    params = [row[-1] for row in work]
    residuals = [
        t - sum(b * v for b, v in zip(params, row, strict=True)) for row, t in zip(rows, target, strict=True)
    ]
    variance = sum(w * e * e for w, e in zip(heavy, residuals, strict=True)) / (len(rows) - p)
    return Exact(params, [variance * work[i][p + i] for i in range(p)], variance, residuals)
