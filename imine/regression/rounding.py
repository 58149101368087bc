"""From a solution in doubled precision, and how far it may be off, to float64 of which no bit is in doubt."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from imine.regression.doubled import ROUNDING, Array, Doubled, certainly_rounded, stacked, total
from imine.regression.exact import ExactSolution, doubled, rounded_sqrt
from imine.regression.posing import Problem

# Beyond this share of the solution a last correction, or a bound, says that the refinement did not settle.
SETTLED = 1e-20


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """A solution in doubled precision, in the centre and scale of its problem.

    Attributes:
        values: shape (p, 1 + p): the parameters, then the columns of the inverse ``(A' W A)**-1``.
        residuals: shape (runs, 1 + p): ``y - A b``, then minus ``A`` times the columns of the inverse.
        error, residual_error: bounds of the errors of both.
    """

    values: Doubled
    residuals: Doubled
    error: Array
    residual_error: Array


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """The float64 nearest to the exact solution, in the units of the given data.

    Attributes:
        params, std_errors: shape (p,), the intercept first.
        sigma: residual standard deviation of a run of weight 1.
        rss: weighted sum of squared residuals, in the scale of the problem.
    """

    params: Array
    std_errors: Array
    sigma: float
    rss: Doubled


def round_refined(problem: Problem, refined: Refined) -> Estimates | None:
    """Round a refined solution, if its bounds leave no doubt of any bit.

    Args:
        problem: what was solved.
        refined: its solution.

    Returns:
        The estimates, or nothing.

    References:
        Ziv (1991), Fast evaluation of elementary mathematical functions with correctly rounded last bit,
        ACM Trans. Math. Softw. 17, 410-423 (rounding only what is certain).
    """
    rss, share = _sum_of_squares(problem, refined)
    if not rss.hi > 0 or not np.isfinite(refined.error).all():
        return None
    params, wrong = _params(problem, refined)
    variances, variances_wrong = _variances(problem, refined)
    variance = rss / Doubled.of(float(len(problem.weights) - len(problem.units)))
    relative = variances_wrong / variances.hi + share + ROUNDING
    errors, sigma = (variances * variance).sqrt(), variance.sqrt()
    certain = (
        max(relative.max(), share) < SETTLED
        and certainly_rounded(params, wrong).all()
        and certainly_rounded(errors, errors.hi * relative).all()
        and certainly_rounded(sigma, float(sigma.hi) * (share + ROUNDING)).all()
    )
    return _in_units(problem, params.hi, errors.hi, float(sigma.hi), rss) if certain else None


def round_exactly(problem: Problem, exact: ExactSolution) -> Estimates:
    """Round the exact solution.

    Args:
        problem: what was solved.
        exact: its solution.
    """
    params, variances = list(exact.params), [row[i] for i, row in enumerate(exact.inverse)]
    if problem.intercept:
        row = [Fraction(1), *(-Fraction(c) for c in np.ldexp(problem.centre, -problem.units[1:]).tolist())]
        level = Fraction(float(np.ldexp(problem.level, -problem.y_unit)))
        params[0] = level + sum(a * b for a, b in zip(row, params, strict=True))
        seen = [sum(a * b for a, b in zip(row, column, strict=True)) for column in exact.inverse]
        variances[0] = Fraction(sum(a * b for a, b in zip(row, seen, strict=True)))
    variance = exact.rss / (len(problem.weights) - len(params))
    errors = [rounded_sqrt(variance * value) for value in variances]
    nearest = np.array([float(value) for value in params])
    return _in_units(problem, nearest, np.array(errors), rounded_sqrt(variance), doubled([exact.rss])[0])


def _sum_of_squares(problem: Problem, refined: Refined) -> tuple[Doubled, float]:
    """The weighted sum of squared residuals, and a bound of its relative error."""
    residuals, weights = refined.residuals[:, 0], problem.weights
    rss = total(Doubled.of(weights) * (residuals * residuals))
    wrong = refined.residual_error[:, 0]
    # The true sum is the least: a wrong solution enters by its square alone.
    moved = float(np.sqrt(weights @ problem.A.hi**2) @ refined.error[:, 0])
    error = float(weights @ (2.0 * np.abs(residuals.hi) * wrong + wrong**2)) + moved**2
    return rss, 2.0 * error / float(rss.hi) + ROUNDING if rss.hi > 0 else np.inf


def _params(problem: Problem, refined: Refined) -> tuple[Doubled, Array]:
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


def _variances(problem: Problem, refined: Refined) -> tuple[Doubled, Array]:
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


def _in_units(problem: Problem, params: Array, errors: Array, sigma: float, rss: Doubled) -> Estimates:
    scale = problem.y_unit - problem.units
    return Estimates(
        params=np.ldexp(params, scale),
        std_errors=np.ldexp(errors, scale),
        sigma=float(np.ldexp(sigma, problem.y_unit + problem.w_unit // 2)),
        rss=rss,
    )
