"""Ordinary and weighted least squares, correctly rounded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError
from imine.regression.doubled import Array, Doubled, total
from imine.regression.influence import influence_of_runs
from imine.regression.posing import Problem, off_centre, pose, weighted_lengths
from imine.regression.results import COVARIANCES, CovarianceKind, OlsResults
from imine.regression.robust import covariance_of, group_indices, root_of, spread_rows, wald_f
from imine.regression.solving import Solution, solve

INTERCEPT = "intercept"

# A variance of a slope goes as the inverse square of its column's length: beyond this it leaves float64.
_LARGEST = 1e145


def fit_ols(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    names: Sequence[str],
    *,
    intercept: bool = True,
    weights: npt.ArrayLike | None = None,
    covariance: CovarianceKind = "classical",
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
) -> OlsResults:
    """Regress ``y`` on the columns of ``X`` by ordinary or weighted least squares.

    The columns are centred, scaled and factored by pivoted QR, and the solution refined with residuals in doubled
    precision until parameters and standard errors are the float64 nearest to those of the exact solution for the
    given float64 values. They are the same to the last bit whatever the order of the rows, the linear algebra
    library and its threads. A column that the others determine is an error, never hidden by a pseudo-inverse.

    Args:
        X: shape (runs, terms), finite; without the column of ones.
        y: shape (runs,), finite.
        names: one name a column of ``X``.
        intercept: whether a constant is fitted; its parameter comes first.
        weights: shape (runs,), positive: inverse variances of the runs' errors up to a common factor, taken as
            the exact numbers that are given. By default all 1.
        covariance: ``classical``: ``sigma**2 (X'WX)**-1``; ``HC0`` to ``HC3``: robust against unequal variances
            that the weights do not describe; ``cluster``: robust against errors that vary together in ``groups``.
        groups: for ``cluster`` one label a run (its base pool, or its seed).

    Returns:
        Estimates, their covariance and the quantities of each run, in the order of the given rows.

    Raises:
        RegressionError: not more runs than parameters, values that are not finite, weights that are not positive,
            fewer than two groups, a run of leverage 1 under ``HC2`` or ``HC3``, or columns that are constant, a
            combination of others, or too small to be squared; the message names them.
        ValueError: shapes, names, or a kind of covariance that do not fit each other.

    References:
        Golub, Van Loan (2013), Matrix Computations, 4th edition, 5.3.8 (refinement), 5.4.2 (pivoting).

    Examples:
        >>> results = fit_ols([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.1, 4.9, 7.0], ["x"])
        >>> results.names
        ('intercept', 'x')
        >>> results.params.tolist()
        [1.03, 1.98]
    """
    X, y, names = _checked(X, y, tuple(names), intercept)
    w = _checked_weights(weights, len(y))
    labels = _checked_groups(covariance, groups, len(y))
    problem = pose(X, y, w, intercept)
    solution = solve(problem, weighted_lengths(X, problem), names)
    spread = _spread(problem, solution, covariance, labels)
    return _results(problem, solution, spread, names, w, covariance)


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """Covariance of the parameters about zero, its root about the centre, and the test of all slopes, scaled."""

    covariance: Array
    root: Array
    df: int
    wald_f: float | None
    groups: int | None


def _checked(
    X: npt.ArrayLike, y: npt.ArrayLike, names: tuple[str, ...], intercept: bool
) -> tuple[Array, Array, tuple[str, ...]]:
    X, y = np.array(X, dtype=np.float64, ndmin=2), np.array(y, dtype=np.float64)
    if y.ndim != 1 or X.ndim != 2 or X.shape[0] != y.shape[0]:
        raise ValueError(f"X must have shape (runs, terms) and y (runs,); got {X.shape} and {y.shape}")
    if len(names) != X.shape[1]:
        raise ValueError(f"names must name each of the {X.shape[1]} columns of X; got {len(names)} names")
    taken = (INTERCEPT, *names) if intercept else names
    if len(set(taken)) != len(taken) or not taken:
        raise ValueError(f"names must differ from each other and from {INTERCEPT!r}; got {list(names)}")
    _refuse_non_finite(X, y, names)
    if X.shape[0] <= len(taken):
        raise RegressionError(
            f"{X.shape[0]} runs are too few for {len(taken)} parameters ({', '.join(taken)}): "
            f"at least {len(taken) + 1} are needed. Use more runs or fewer terms."
        )
    return X, y, names


def _refuse_non_finite(X: Array, y: Array, names: tuple[str, ...]) -> None:
    bad = [f"run {i}, column {names[j]!r}" for i, j in np.argwhere(~(np.abs(X) < _LARGEST))]
    bad += [f"run {i}, y" for i in np.flatnonzero(~(np.abs(y) < _LARGEST))]
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise RegressionError(
            f"values that are not finite, or not below {_LARGEST:g}: {'; '.join(bad[:5])}{more}"
        )


def _checked_weights(weights: npt.ArrayLike | None, n: int) -> Array:
    if weights is None:
        return np.ones(n)
    w = np.array(weights, dtype=np.float64)
    if w.shape != (n,):
        raise ValueError(f"weights must have shape ({n},), one a run; got {w.shape}")
    bad = np.flatnonzero(~((w > 1.0 / _LARGEST) & (w < _LARGEST)))
    if len(bad):
        raise RegressionError(
            f"weights must be positive and finite (between {1 / _LARGEST:g} and {_LARGEST:g}); not so in run "
            f"{', '.join(str(i) for i in bad[:5])}. Leave out runs that should not count."
        )
    return w


def _checked_groups(
    covariance: str, groups: Sequence[Any] | npt.NDArray[Any] | None, n: int
) -> npt.NDArray[np.intp] | None:
    if covariance not in COVARIANCES:
        raise ValueError(f"covariance must be one of {', '.join(COVARIANCES)}; got {covariance!r}")
    if (groups is not None) != (covariance == "cluster"):
        raise ValueError("groups must be given with covariance='cluster', and only with it")
    return None if groups is None else group_indices(groups, n)


def _spread(
    problem: Problem, solution: Solution, kind: CovarianceKind, labels: npt.NDArray[np.intp] | None
) -> _Spread:
    n, p = problem.A.shape
    if kind == "classical":
        variance = solution.rss / Doubled.of(float(n - p))
        inverse = _about_zero(problem, solution.inverse)
        sigma = math.sqrt(float(variance.hi))
        return _Spread((inverse * variance).hi, solution.root * sigma, n - p, None, None)
    sorted_labels = None if labels is None else labels[problem.order]
    scores = Doubled.of(problem.weights) * solution.residuals
    left = _left(problem, solution)
    about_centre = spread_rows(kind, solution.influence, scores, left, sorted_labels, problem.order)
    about_zero = spread_rows(
        kind, off_centre(problem, solution.influence), scores, left, sorted_labels, problem.order
    )
    groups = None if labels is None else int(labels.max()) + 1
    df = n - p if groups is None else groups - 1
    first = int(problem.intercept)
    f = wald_f(about_centre[:, first:], solution.beta.hi[first:])
    return _Spread(covariance_of(about_zero), root_of(about_centre), df, f, groups)


def _about_zero(problem: Problem, inverse: Doubled) -> Doubled:
    rows = off_centre(problem, inverse)
    both = off_centre(problem, Doubled(rows.hi.T, rows.lo.T))
    upper = np.triu(np.ones(both.shape, dtype=bool))
    return Doubled(np.where(upper, both.hi, both.hi.T), np.where(upper, both.lo, both.lo.T))


def _left(problem: Problem, solution: Solution) -> Doubled:
    """One minus the leverages: the share of each run's error that its residual keeps."""
    leverage = Doubled.of(np.zeros(len(problem.weights)))
    for j in range(problem.A.shape[1]):
        leverage = leverage + problem.A[:, j] * solution.influence[:, j]
    return Doubled.of(1.0) - Doubled.of(problem.weights) * leverage


def _results(
    problem: Problem,
    solution: Solution,
    spread: _Spread,
    names: tuple[str, ...],
    weights: Array,
    kind: CovarianceKind,
) -> OlsResults:
    n, p = problem.A.shape
    scale = problem.y_unit - problem.units
    covariance = np.ldexp(spread.covariance, scale[:, None] + scale[None, :])
    errors = (
        solution.estimates.std_errors
        if kind == "classical"
        else np.ldexp(np.sqrt(np.diag(spread.covariance)), scale)
    )
    t, p_values = _tests(solution.estimates.params, errors, spread.df)
    back = np.argsort(problem.order)
    fitted = Doubled.of(problem.level) + (problem.y - solution.residuals).ldexp(problem.y_unit)
    centre_value = Doubled.of(problem.level) + solution.beta[0].ldexp(problem.y_unit)
    return OlsResults(
        names=(INTERCEPT, *names) if problem.intercept else names,
        intercept=problem.intercept,
        params=_locked(solution.estimates.params),
        covariance=_locked(covariance),
        std_errors=_locked(errors),
        t=_locked(t),
        p=_locked(p_values),
        n_runs=n,
        df_model=p - problem.intercept,
        df_resid=n - p,
        sigma=solution.estimates.sigma,
        residuals=_locked(solution.residuals.ldexp(problem.y_unit).hi[back]),
        fitted=_locked(fitted.hi[back]),
        vif=_locked(_inflation(problem, solution)),
        centre=_locked(problem.centre),
        weights=_locked(weights),
        weighted=bool(np.any(weights != 1.0)),
        covariance_kind=kind,
        df_inference=spread.df,
        n_groups=spread.groups,
        centre_value=float(centre_value.hi) if problem.intercept else 0.0,
        root=_locked(np.ldexp(spread.root, scale[:, None])),
        **_runs(problem, solution, back),
        **_whole(problem, solution, spread),
    )


def _runs(problem: Problem, solution: Solution, back: npt.NDArray[np.intp]) -> dict[str, Any]:
    """Quantities of each run, in the order of the given rows, and those summed over the left-out runs."""
    left = _left(problem, solution)
    runs = influence_of_runs(solution.residuals, left, problem.weights, solution.rss, problem.A.shape[1])
    press = total(Doubled.of(problem.weights) * (runs.loo_residuals * runs.loo_residuals))
    sst = _sst(problem)
    return {
        "leverage": _locked((Doubled.of(1.0) - left).hi[back]),
        "loo_residuals": _locked(runs.loo_residuals.ldexp(problem.y_unit).hi[back]),
        "studentised_internal": _locked(runs.internal[back]),
        "studentised_external": _locked(runs.external[back]),
        "cooks_distance": _locked(runs.cooks_distance[back]),
        "dffits": _locked(runs.dffits[back]),
        "press": float(np.ldexp(press.hi, 2 * problem.y_unit + problem.w_unit)),
        "press_r2": _ratio(press, sst),
    }


def _whole(problem: Problem, solution: Solution, spread: _Spread) -> dict[str, Any]:
    """Statistics of the fit as a whole."""
    n, p = problem.A.shape
    k, df_resid = p - problem.intercept, n - p
    rss, sst = solution.rss, _sst(problem)
    variance = rss / Doubled.of(float(df_resid))
    f = _f(sst - rss, variance, k) if spread.wald_f is None else spread.wald_f
    log_likelihood, aic, aicc, bic = _likelihood(problem, float(rss.hi), p)
    return {
        "r2": _ratio(rss, sst),
        "adjusted_r2": _ratio(variance, sst / Doubled.of(float(n - problem.intercept))),
        "f": f,
        "f_p": _f_p(f, k, spread.df),
        "log_likelihood": log_likelihood,
        "aic": aic,
        "aicc": aicc,
        "bic": bic,
    }


def _sst(problem: Problem) -> Doubled:
    """Weighted squares of ``y`` about its weighted mean, or about zero when there is no intercept."""
    return _about_mean(problem, problem.y)


def _about_mean(problem: Problem, values: Doubled) -> Doubled:
    weights = Doubled.of(problem.weights)
    squares = total(weights * (values * values))
    if not problem.intercept:
        return squares
    summed = total(weights * values)
    spread = squares - summed * summed / total(weights)
    # Values that are all alike differ from their centre by its rounding, and nothing must be made of that.
    return spread if spread.hi > 2.0**-95 * squares.hi else Doubled.of(0.0)


def _inflation(problem: Problem, solution: Solution) -> Array:
    first = int(problem.intercept)
    columns = range(first, problem.A.shape[1])
    return np.array(
        [float((solution.inverse[j, j] * _about_mean(problem, problem.A[:, j])).hi) for j in columns]
    )


def _ratio(part: Doubled, whole: Doubled) -> float:
    return float((Doubled.of(1.0) - part / whole).hi) if whole.hi > 0 else math.nan


def _tests(params: Array, errors: Array, df: int) -> tuple[Array, Array]:
    from scipy.stats import t as student

    with np.errstate(divide="ignore", invalid="ignore"):
        t = params / errors
    return t, 2.0 * student.sf(np.abs(t), df)


def _f(explained: Doubled, variance: Doubled, k: int) -> float:
    if k == 0 or not (explained.hi > 0 or variance.hi > 0):
        return math.nan
    if not variance.hi > 0:
        return math.inf
    return max(float((explained / Doubled.of(float(k)) / variance).hi), 0.0)


def _f_p(f: float, k: int, df: int) -> float:
    from scipy.stats import f as fisher

    return float(fisher.sf(f, k, df)) if k and df > 0 else math.nan


def _likelihood(problem: Problem, rss: float, p: int) -> tuple[float, float, float, float]:
    """Normal log-likelihood, AIC, AICc, BIC; the error variance counts as a parameter, as in R's AIC()."""
    n, counted = len(problem.weights), p + 1
    if rss > 0:
        log_rss = math.log(rss) + 2 * problem.y_unit * math.log(2.0)
        heavy = math.fsum(map(math.log, problem.weights.tolist()))
        log_likelihood = -0.5 * n * (math.log(2 * math.pi / n) + log_rss + 1) + 0.5 * heavy
    else:
        log_likelihood = math.inf
    aic = 2 * counted - 2 * log_likelihood
    spare = n - counted - 1
    aicc = aic + 2 * counted * (counted + 1) / spare if spare > 0 else math.nan
    return log_likelihood, aic, aicc, counted * math.log(n) - 2 * log_likelihood


def _locked(values: npt.ArrayLike) -> Array:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array
