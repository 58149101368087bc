"""Least squares to the last bit: QR in float64, refined with residuals in doubled precision, and certified.

The given data are the float64 of ``X``, ``y`` and ``weights``, each taken as the exact number that it is. Rows are
put in an order of their own first, and no sum depends on a library, so that the same rows give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imine.regression.doubled import (
    ROUNDING,
    Array,
    Doubled,
    SlicedMatrix,
    folded_product,
    folded_sum,
    stacked,
)
from imine.regression.exact import ExactSolution, doubled, solve_exactly
from imine.regression.factoring import factor_columns
from imine.regression.posing import Problem
from imine.regression.rounding import SETTLED, Estimates, Refined, round_exactly, round_refined

_MOST_STEPS = 40
# A correction below this share of the solution is not worth another step: no rounding to float64 would see it.
_SMALL_ENOUGH = 2.0**-96


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The solution of a :class:`Problem`, in its centre and scale unless said otherwise.

    Attributes:
        beta: shape (p,); inverse: ``(A' W A)**-1``, shape (p, p); influence: ``A @ inverse``, shape (runs, p).
        residuals: shape (runs,); rss: their weighted sum of squares.
        root: float64, shape (p, p), ``root @ root.T`` is near ``inverse``.
        estimates: correctly rounded, in the units of the given data.
        exact: whether whole-number arithmetic was needed to round one of them.
    """

    beta: Doubled
    inverse: Doubled
    influence: Doubled
    residuals: Doubled
    rss: Doubled
    root: Array
    estimates: Estimates
    exact: bool


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
    estimates = None if refined is None else round_refined(problem, refined)
    exact = refined is None or estimates is None
    if refined is None or estimates is None:
        solved = solve_exactly(problem.A, problem.y, problem.weights)
        estimates = round_exactly(problem, solved)
        # What is left of a refined inverse fits its product with A; one rounded from the exact one loses more there.
        refined = _from_exact(problem, solved) if refined is None else refined
    residuals = refined.residuals[:, 0]
    return Solution(
        beta=refined.values[:, 0],
        inverse=_mirrored(refined.values[:, 1:]),
        influence=-refined.residuals[:, 1:],
        # Of an exact fit nothing is left, and not the rounding of doubled precision.
        residuals=residuals if estimates.rss.hi > 0 else Doubled.of(np.zeros(len(problem.weights))),
        rss=estimates.rss,
        root=root,
        estimates=estimates,
        exact=exact,
    )


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


def _refine(problem: Problem, root: Array) -> Refined | None:
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
    else:
        return None
    if not np.all(size <= SETTLED * first):
        return None
    return _with_bounds(problem, values, residuals, left.hi, tall, wide)


def _with_bounds(
    problem: Problem, values: Doubled, residuals: Doubled, left: Array, tall: SlicedMatrix, wide: SlicedMatrix
) -> Refined:
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
    return Refined(values, residuals, 2.0 * error, of_residuals)


def _from_exact(problem: Problem, exact: ExactSolution) -> Refined:
    p = len(exact.params)
    columns = [doubled(exact.params), *(doubled([row[j] for row in exact.inverse]) for j in range(p))]
    values = stacked(column[:, None] for column in columns)
    target = stacked([problem.y[:, None], Doubled.of(np.zeros((len(problem.weights), p)))])
    residuals = target - SlicedMatrix.of(problem.A) @ values
    # Both are the exact ones rounded to doubled precision, and no bound of them is asked for.
    return Refined(values, residuals, np.zeros(values.shape), np.zeros(residuals.shape))


def _mirrored(inverse: Doubled) -> Doubled:
    """The upper triangle on both sides, so that the matrix is symmetric to the last bit."""
    upper = np.triu(np.ones(inverse.shape, dtype=bool))
    return Doubled(np.where(upper, inverse.hi, inverse.hi.T), np.where(upper, inverse.lo, inverse.lo.T))
