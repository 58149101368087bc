"""Least squares in whole numbers: the exact rational solution of given float64 data.

Slow, and needed rarely: where a coefficient of the exact solution lies so near to the middle between two float64, or
to zero, that doubled precision cannot tell how it rounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from operator import mul

import numpy as np

from imine.regression.doubled import Array, Doubled


@dataclass(frozen=True, slots=True, eq=False)
class ExactSolution:
    """The exact solution of ``min sum w (y - A b)**2``.

    Attributes:
        params: the ``b``, length p.
        inverse: ``(A' W A)**-1``, p rows of p.
        rss: the least sum.
    """

    params: list[Fraction]
    inverse: list[list[Fraction]]
    rss: Fraction


def solve_exactly(A: Doubled, y: Doubled, weights: Array) -> ExactSolution:
    """Solve the normal equations by elimination without fractions.

    Args:
        A: shape (runs, p), of rank p.
        y: shape (runs,).
        weights: shape (runs,), positive.

    References:
        Bareiss (1968), Sylvester's identity and multistep integer-preserving Gaussian elimination,
        Math. Comp. 22, 565-578.

    Examples:
        >>> one = Doubled.of(np.ones((3, 1)))
        >>> solved = solve_exactly(one, Doubled.of(np.array([0.0, 1.0, 1.0])), np.ones(3))
        >>> solved.params, solved.rss
        ([Fraction(2, 3)], Fraction(2, 3))
    """
    columns, shifts = zip(*(_integers(A[:, j]) for j in range(A.shape[1])), strict=True)
    target, y_shift = _integers(y)
    heavy, w_shift = _integers(Doubled.of(weights))
    weighted = [list(map(mul, column, heavy)) for column in columns]
    p = len(columns)
    gram = [[sum(map(mul, weighted[i], columns[j])) for j in range(p)] for i in range(p)]
    right = [sum(map(mul, column, target)) for column in weighted]
    rows = [
        [*row, value, *(int(i == j) for j in range(p))]
        for i, (row, value) in enumerate(zip(gram, right, strict=True))
    ]
    determinant = _eliminate(rows)
    params = [Fraction(row[p], determinant) for row in rows]
    rss = sum(map(mul, map(mul, target, heavy), target)) - sum(map(mul, right, params))
    return ExactSolution(
        [value * Fraction(2) ** (shift - y_shift) for value, shift in zip(params, shifts, strict=True)],
        [
            [
                Fraction(row[p + 1 + j], determinant) * Fraction(2) ** (shifts[i] + shifts[j] + w_shift)
                for j in range(p)
            ]
            for i, row in enumerate(rows)
        ],
        Fraction(rss) * Fraction(2) ** (-2 * y_shift - w_shift),
    )


def _integers(values: Doubled) -> tuple[list[int], int]:
    """Whole numbers and ``shift`` with ``value = whole * 2**-shift``."""
    parts = [
        (high.as_integer_ratio(), low.as_integer_ratio())
        for high, low in zip(values.hi.tolist(), values.lo.tolist(), strict=True)
    ]
    shift = max(max(high[1], low[1]) for high, low in parts).bit_length() - 1
    one = 1 << shift
    return [high[0] * (one // high[1]) + low[0] * (one // low[1]) for high, low in parts], shift


def _eliminate(rows: list[list[int]]) -> int:
    """Reduce the left square of ``rows`` to its determinant times the identity, in place; returns that."""
    last = 1
    for i, pivot_row in enumerate(rows):
        pivot = pivot_row[i]
        if pivot == 0:
            raise ZeroDivisionError("the matrix of the normal equations is singular")
        for r, row in enumerate(rows):
            if r != i:
                factor = row[i]
                rows[r] = [(pivot * a - factor * b) // last for a, b in zip(row, pivot_row, strict=True)]
        last = pivot
    return last


def rounded_sqrt(value: Fraction) -> float:
    """The float64 nearest to the square root of a number that is not negative.

    Examples:
        >>> rounded_sqrt(Fraction(2)) == math.sqrt(2), rounded_sqrt(Fraction(1, 4)), rounded_sqrt(Fraction(0))
        (True, 0.5, 0.0)
    """
    if value == 0:
        return 0.0
    # 2**(2 * shift) times the value has at least 140 bits: its root has 70, and one that says whether more follow.
    shift = max(0, (140 - value.numerator.bit_length() + value.denominator.bit_length()) // 2 + 1)
    scaled, rest = divmod(value.numerator << (2 * shift), value.denominator)
    root = math.isqrt(scaled)
    inexact = rest != 0 or root * root != scaled
    return float(Fraction((root << 1) | int(inexact), 1 << (shift + 1)))


def doubled(values: list[Fraction]) -> Doubled:
    """Fractions in doubled precision, correctly rounded.

    Examples:
        >>> third = doubled([Fraction(1, 3)])
        >>> third.hi.tolist(), third.lo.tolist()
        ([0.3333333333333333], [1.850371707708594e-17])
    """
    high = [float(value) for value in values]
    low = [float(value - Fraction(h)) for value, h in zip(values, high, strict=True)]
    return Doubled(np.array(high), np.array(low))
