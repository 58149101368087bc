"""Least squares to the last bit: QR in float64, refined with residuals in doubled precision, and certified.

The given data are the float64 of ``X``, ``y`` and ``weights``, each taken as the exact number that it is. Rows are
put in an order of their own first, and no sum depends on a library, so that the same rows give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from imine.regression.doubled import (
    ROUNDING,
    Array,
    Doubled,
    SlicedMatrix,
    certainly_rounded,
    folded_product,
    folded_sum,
    stacked,
    total,
    two_sum,
)
from imine.regression.exact import ExactSolution, doubled, rounded_sqrt, solve_exactly
from imine.regression.factoring import column_lengths, factor_columns

Exponents = npt.NDArray[np.int64]

_MOST_STEPS = 40
# A correction below this share of the solution is not worth another step: no rounding to float64 would see it.
_SMALL_ENOUGH = 2.0**-96
# Beyond this share of the solution a last correction says that the refinement did not settle.
_SETTLED = 1e-20


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


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The solution of a :class:`Problem`, in its centre and scale unless said otherwise.

    Attributes:
        beta: shape (p,); inverse: ``(A' W A)**-1``, shape (p, p); influence: ``A @ inverse``, shape (runs, p).
        residuals: shape (runs,); rss: their weighted sum of squares.
        root: float64, shape (p, p), ``root @ root.T`` is near ``inverse``.
        params, std_errors: float64 in the units of the given data, correctly rounded, intercept first.
        sigma: residual standard deviation of a run of weight 1, correctly rounded.
        exact: whether whole-number arithmetic was needed to round one of them.
    """

    beta: Doubled
    inverse: Doubled
    influence: Doubled
    residuals: Doubled
    rss: Doubled
    root: Array
    params: Array
    std_errors: Array
    sigma: float
    exact: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Refined:
    """Columns: the parameters, then the columns of the inverse; ``error`` bounds each number's error."""

    values: Doubled
    residuals: Doubled
    error: Array
    residual_error: Array


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


def solve(problem: Problem, X_lengths: Array, names: tuple[str, ...]) -> Solution:
    """Solve, refine and round.

    Args:
        problem: posed data.
        X_lengths: weighted lengths of the columns before centring, in the problem's scale, shape (terms,).
        names: of the terms.

    Raises:
        RegressionError: columns that do not determine the solution.
    """
    root = _root(problem, X_lengths, names)
    refined = _refine(problem, root)
    exact: ExactSolution | None = None
    if refined is None:
        exact = solve_exactly(problem.A, problem.y, problem.weights)
        refined = _from_exact(problem, exact)
    rss, rss_error = _sum_of_squares(problem, refined)
    estimates = _round(problem, refined, rss, rss_error)
    if estimates is None:
        exact = exact or solve_exactly(problem.A, problem.y, problem.weights)
        estimates = _round_exactly(problem, exact)
        rss = doubled([exact.rss])[0]
    residuals = refined.residuals[:, 0] if rss.hi > 0 else Doubled.of(np.zeros(len(problem.weights)))
    return Solution(
        beta=refined.values[:, 0],
        inverse=_mirrored(refined.values[:, 1:]),
        influence=-refined.residuals[:, 1:],
        residuals=residuals,
        rss=rss,
        root=root,
        params=estimates[0],
        std_errors=estimates[1],
        sigma=estimates[2],
        exact=exact is not None,
    )


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


def _root(problem: Problem, X_lengths: Array, names: tuple[str, ...]) -> Array:
    first = int(problem.intercept)
    heavy = np.sqrt(problem.weights)
    factor = factor_columns(
        heavy[:, None] * problem.A.hi[:, first:], X_lengths, names, problem.intercept, problem.units[first:]
    )
    root = np.zeros((len(problem.units),) * 2)
    root[first:, first:] = factor.root
    if first:
        root[0, 0] = 1.0 / np.sqrt(folded_sum(problem.weights))
    return root


def _refine(problem: Problem, root: Array) -> _Refined | None:
    """Correct a solution of zero until the corrections no longer shrink; nothing if they do not settle.

    The corrections go through ``root root'`` (corrected seminormal equations; Bjorck 1987, Linear Algebra Appl.
    88/89, 31-48), the residuals of both sides are in doubled precision.
    """
    p = len(problem.units)
    weights = Doubled.of(problem.weights[:, None])
    tall, wide = SlicedMatrix.of(problem.A), SlicedMatrix.of(Doubled(problem.A.hi.T, problem.A.lo.T))
    target = stacked([problem.y[:, None], Doubled.of(np.zeros((len(problem.weights), p)))])
    unit = Doubled.of(np.hstack([np.zeros((p, 1)), np.eye(p)]))
    values = Doubled.of(np.zeros((p, p + 1)))
    first = last = np.full(p + 1, np.inf)
    residuals = target
    for step in range(_MOST_STEPS):
        if step:
            residuals = target - tall @ values
        left = unit + wide @ (weights * residuals)
        change = folded_product(root.T, left.hi)
        size = np.sqrt(folded_sum(change**2))
        if step == 0:
            first = np.where(size > 0, size, 1.0)
        if step and not np.any((size > _SMALL_ENOUGH * first) & (size < 0.5 * last)):
            break
        last = size
        values = values + Doubled.of(folded_product(root, change))
    if not np.all(size <= _SETTLED * first):
        return None
    return _with_bounds(problem, values, residuals, left.hi, tall, wide)


def _with_bounds(
    problem: Problem, values: Doubled, residuals: Doubled, left: Array, tall: SlicedMatrix, wide: SlicedMatrix
) -> _Refined:
    """Bound the error of the solution by what is left of both equations, and the rounding of that."""
    A, weights = np.abs(problem.A.hi), problem.weights[:, None]
    size, heavy = np.abs(values.hi), np.abs(weights * residuals.hi)
    given = np.zeros_like(heavy)
    given[:, 0] = np.abs(problem.y.hi)
    of_residuals = ROUNDING * (given + A @ size + np.outer(tall.largest, size.max(axis=0, initial=0.0)))
    of_left = ROUNDING * (1.0 + A.T @ heavy + np.outer(wide.largest, heavy.max(axis=0)))
    inverse, influence = size[:, 1:], np.abs(residuals.hi[:, 1:])
    error = (weights * influence).T @ of_residuals + inverse @ (np.abs(left) + of_left)
    # The inverse and the influence are themselves computed: twice covers far more than their error.
    return _Refined(values, residuals, 2.0 * error, of_residuals)


def _from_exact(problem: Problem, exact: ExactSolution) -> _Refined:
    p = len(exact.params)
    columns = [doubled(exact.params), *(doubled([row[j] for row in exact.inverse]) for j in range(p))]
    values = stacked(column[:, None] for column in columns)
    target = stacked([problem.y[:, None], Doubled.of(np.zeros((len(problem.weights), p)))])
    residuals = target - SlicedMatrix.of(problem.A) @ values
    unknown = np.full(values.shape, np.inf)
    return _Refined(values, residuals, unknown, np.full(residuals.shape, np.inf))


def _sum_of_squares(problem: Problem, refined: _Refined) -> tuple[Doubled, float]:
    residuals, weights = refined.residuals[:, 0], problem.weights
    rss = total(Doubled.of(weights) * (residuals * residuals))
    wrong = refined.residual_error[:, 0]
    lengths = np.sqrt(weights @ problem.A.hi**2)
    moved = float(lengths @ refined.error[:, 0])
    error = float(weights @ (2.0 * np.abs(residuals.hi) * wrong + wrong**2)) + moved**2
    return rss, 2.0 * (error + ROUNDING * float(rss.hi))


def _round(
    problem: Problem, refined: _Refined, rss: Doubled, rss_error: float
) -> tuple[Array, Array, float] | None:
    """Parameters, their standard errors and sigma, if the bounds leave no doubt of any bit."""
    if not np.isfinite(refined.error).all() or rss.hi <= 0:
        return None
    params, wrong = _params(problem, refined)
    variances, variances_wrong = _variances(problem, refined)
    df = Doubled.of(float(len(problem.weights) - len(problem.units)))
    share = rss_error / float(rss.hi)
    squares = variances * (rss / df)
    relative = variances_wrong / variances.hi + share + ROUNDING
    errors, sigma = squares.sqrt(), (rss / df).sqrt()
    certain = (
        certainly_rounded(params, wrong).all()
        and certainly_rounded(errors, errors.hi * relative).all()
        and certainly_rounded(sigma, float(sigma.hi) * (share + ROUNDING)).all()
        and max(relative.max(), share) < _SETTLED
    )
    if not certain:
        return None
    return _in_units(problem, params.hi, errors.hi, float(sigma.hi))


def _in_units(problem: Problem, params: Array, errors: Array, sigma: float) -> tuple[Array, Array, float]:
    scale = problem.y_unit - problem.units
    return (
        np.ldexp(params, scale),
        np.ldexp(errors, scale),
        float(np.ldexp(sigma, problem.y_unit + problem.w_unit // 2)),
    )


def _params(problem: Problem, refined: _Refined) -> tuple[Doubled, Array]:
    beta, wrong = refined.values[:, 0], refined.error[:, 0]
    if not problem.intercept:
        return beta, wrong
    shift = np.ldexp(problem.centre, -problem.units[1:])
    level = np.ldexp(problem.level, -problem.y_unit)
    parts = Doubled.of(shift) * beta[1:]
    constant = total(Doubled.of(level), beta[0], -parts)
    size = np.abs(level) + np.abs(beta.hi[0]) + np.abs(parts.hi).sum()
    bound = wrong[0] + np.abs(shift) @ wrong[1:] + ROUNDING * size
    return stacked([constant[None], beta[1:]], axis=0), np.append(bound, wrong[1:])


def _variances(problem: Problem, refined: _Refined) -> tuple[Doubled, Array]:
    """Diagonal of the inverse about zero, scaled, and bounds of its error."""
    inverse, wrong = refined.values[:, 1:], refined.error[:, 1:]
    p = len(problem.units)
    diagonal, bound = inverse[np.arange(p), np.arange(p)], np.diag(wrong).copy()
    if problem.intercept:
        row = np.append(1.0, -np.ldexp(problem.centre, -problem.units[1:]))
        both = Doubled.of(row[:, None]) * inverse * Doubled.of(row[None, :])
        corner = total(both)
        bound[0] = np.abs(row) @ (wrong + ROUNDING * np.abs(inverse.hi)) @ np.abs(row)
        diagonal = stacked([corner[None], diagonal[1:]], axis=0)
    return diagonal, bound


def _round_exactly(problem: Problem, exact: ExactSolution) -> tuple[Array, Array, float]:
    params, variances = list(exact.params), [row[i] for i, row in enumerate(exact.inverse)]
    if problem.intercept:
        row = [Fraction(1), *(-Fraction(c) for c in np.ldexp(problem.centre, -problem.units[1:]).tolist())]
        params[0] = Fraction(float(np.ldexp(problem.level, -problem.y_unit))) + sum(
            a * b for a, b in zip(row, params, strict=True)
        )
        variances[0] = sum(
            (row[i] * row[j] * exact.inverse[i][j] for i in range(len(row)) for j in range(len(row))),
            Fraction(0),
        )
    variance = exact.rss / (len(problem.weights) - len(params))
    errors = [rounded_sqrt(variance * value) for value in variances]
    return _in_units(
        problem, np.array([float(value) for value in params]), np.array(errors), rounded_sqrt(variance)
    )


def _mirrored(inverse: Doubled) -> Doubled:
    """The upper triangle on both sides, so that the matrix is symmetric to the last bit."""
    upper = np.triu(np.ones(inverse.shape, dtype=bool))
    return Doubled(np.where(upper, inverse.hi, inverse.hi.T), np.where(upper, inverse.lo, inverse.lo.T))
