"""Data of a least squares problem about their centre and scaled, without rounding a digit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imine.regression.doubled import Array, Doubled, folded_sum, stacked, two_sum
from imine.regression.factoring import column_lengths

Exponents = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Data in doubled precision about their centre, scaled by powers of two; rows in canonical order.

    A column of ``A`` is ``(x - centre) * 2**-unit``, the first the ones if there is an intercept; ``y`` is
    ``(y - level) * 2**-y_unit``; weights are times ``2**-w_unit``. All of this is exact.

    Attributes:
        A: shape (runs, p); y, weights: shape (runs,).
        centre, level: what was taken off; zeros without intercept.
        units: exponents of all columns of ``A``, shape (p,); y_unit, w_unit: those of ``y`` and the weights.
        order: rows of the given data in canonical order.
        intercept: whether the first column is that of ones.
    """

    A: Doubled
    y: Doubled
    weights: Array
    centre: Array
    level: float
    units: Exponents
    y_unit: int
    w_unit: int
    order: npt.NDArray[np.intp]
    intercept: bool


def pose(X: Array, y: Array, weights: Array, intercept: bool) -> Problem:
    """Centre, scale and order the data without rounding them.

    Args:
        X: shape (runs, terms); y, weights: shape (runs,).
        intercept: whether a constant is fitted.
    """
    # -0.0 sorts as 0.0 does but differs from it in bits.
    X, y = X + 0.0, y + 0.0
    order = np.lexsort((weights, y, *X.T))
    X, y, weights = X[order], y[order], weights[order]
    centre = np.array([_mean(column, weights) for column in X.T]) if intercept else np.zeros(X.shape[1])
    level = _mean(y, weights) if intercept else 0.0
    A = Doubled(*two_sum(X, -centre))
    about = Doubled(*two_sum(y, np.array(-level)))
    units = _exponents(A.hi)
    A = A.ldexp(-units)
    if intercept:
        A, units = stacked([Doubled.of(np.ones((len(X), 1))), A]), np.append(0, units)
    y_unit = int(_exponents(about.hi[:, None])[0])
    # An even exponent, since sigma takes its half.
    w_unit = int(_exponents(weights[:, None])[0]) // 2 * 2
    scaled = np.ldexp(weights, -w_unit)
    return Problem(A, about.ldexp(-y_unit), scaled, centre, level, units, y_unit, w_unit, order, intercept)


def weighted_lengths(X: Array, problem: Problem) -> Array:
    """Lengths of the columns of ``X``, in canonical order, in the scale of the problem."""
    scaled = np.ldexp(X[problem.order], -problem.units[int(problem.intercept) :])
    return column_lengths(np.sqrt(problem.weights)[:, None] * scaled)


def off_centre(problem: Problem, columns: Doubled) -> Doubled:
    """Map vectors over the parameters about the centre, one a row, to those about zero (scaled)."""
    if not problem.intercept:
        return columns
    shift = Doubled.of(np.ldexp(problem.centre, -problem.units[1:]))
    first = columns[:, :1]
    for j in range(len(problem.centre)):
        first = first - columns[:, j + 1 : j + 2] * shift[j]
    return stacked([first, columns[:, 1:]])


def _mean(values: Array, weights: Array) -> float:
    """A number near the weighted mean, the same for every order of the rows; which one is of no matter."""
    scale = _exponents(values[:, None])[0]
    heavy = weights / weights.max()
    return float(np.ldexp(folded_sum(heavy * np.ldexp(values, -scale)) / folded_sum(heavy), scale))


def _exponents(columns: Array) -> Exponents:
    return np.frexp(np.max(np.abs(columns), axis=0, initial=0.0))[1].astype(np.int64)
