"""Ordinary least squares by column-scaled, pivoted QR of the centred columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError
from imine.regression.results import Array, OlsResults

INTERCEPT = "intercept"

# A variance of a slope goes as the inverse square of its column's length: beyond these it leaves double precision.
_SMALLEST, _LARGEST = 1e-145, 1e145


def fit_ols(
    X: npt.ArrayLike, y: npt.ArrayLike, names: Sequence[str], *, intercept: bool = True
) -> OlsResults:
    """Regress ``y`` on the columns of ``X`` by ordinary least squares.

    With an intercept the columns and ``y`` are centred first; every column is then scaled to unit length and
    the matrix factored by pivoted QR, so that columns of very different size do not harm each other. A column
    that the others determine is an error, never hidden by a pseudo-inverse.

    Args:
        X: shape (runs, terms), finite; without the column of ones.
        y: shape (runs,), finite.
        names: one name a column of ``X``.
        intercept: whether a constant is fitted; its parameter comes first.

    Returns:
        Estimates, their covariance and the quantities of each run.

    Raises:
        RegressionError: not more runs than parameters, values that are not finite, or columns that are
            constant, a combination of others, or too small to be squared; the message names them.
        ValueError: shapes or names that do not fit each other.

    References:
        Golub, Van Loan (2013), Matrix Computations, 4th edition, 5.4.2 (QR with column pivoting).

    Examples:
        >>> results = fit_ols([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.1, 4.9, 7.0], ["x"])
        >>> results.names
        ('intercept', 'x')
        >>> results.params.round(3).tolist()
        [1.03, 1.98]
    """
    X, y, names = _checked(X, y, tuple(names), intercept)
    centre = _mean(X) if intercept else np.zeros(X.shape[1])
    level = float(_mean(y[:, None])[0]) if intercept else 0.0
    solved = _solve(X, X - centre, y - level, names, intercept)
    return _results(X, y, names, intercept, centre, level, solved)


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """Slopes, the inverse of their cross-product matrix, the squared row lengths of Q, and inflation factors."""

    slopes: Array
    inverse: Array
    row_norms: Array
    vif: Array


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


def _mean(X: Array) -> Array:
    """Correctly rounded column means."""
    return np.array([math.fsum(column) / len(column) for column in X.T], dtype=np.float64)


def _solve(X: Array, centred: Array, y: Array, names: tuple[str, ...], intercept: bool) -> _Solved:
    from scipy.linalg import qr, solve_triangular

    n, k = X.shape
    if k == 0:
        return _Solved(np.zeros(0), np.zeros((0, 0)), np.zeros(n), np.zeros(0))
    scale = _lengths(centred)
    # Rounding of the given values, as a share of what is left of a column once it is centred.
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = max(n, k) * np.finfo(np.float64).eps * (_lengths(X) / scale)
    _refuse_constant(noise, names, intercept)
    _refuse_tiny(scale, names)
    Q, R, order = qr(centred / scale, mode="economic", pivoting=True)
    _refuse_dependent(R, order, float(noise.max()), names)
    inverse_root = solve_triangular(R, np.eye(k))
    slopes, inverse = np.empty(k), np.empty((k, k))
    slopes[order] = solve_triangular(R, Q.T @ y)
    inverse[np.ix_(order, order)] = inverse_root @ inverse_root.T
    unscaled = inverse / scale[:, None] / scale[None, :]
    return _Solved(slopes / scale, unscaled, np.einsum("ij,ij->i", Q, Q), np.diag(inverse))


def _lengths(X: Array) -> Array:
    """Euclidean lengths of the columns, without squares that leave double precision."""
    largest = np.max(np.abs(X), axis=0)
    return largest * np.linalg.norm(X / np.where(largest > 0, largest, 1.0), axis=0)


def _refuse_tiny(scale: Array, names: tuple[str, ...]) -> None:
    tiny = [f"{name} ({length:.2g})" for name, length in zip(names, scale, strict=True) if length < _SMALLEST]
    if tiny:
        raise RegressionError(
            f"values too small to be squared in double precision: {', '.join(tiny)}. "
            "Give these terms in another unit."
        )


def _refuse_constant(noise: Array, names: tuple[str, ...], intercept: bool) -> None:
    constant = [name for name, share in zip(names, noise, strict=True) if not share < 1.0]
    if constant:
        kind = "constant" if intercept else "zero"
        raise RegressionError(f"{kind} in all runs: {', '.join(constant)}. Leave out these terms.")


def _refuse_dependent(R: Array, order: npt.NDArray[Any], noise: float, names: tuple[str, ...]) -> None:
    from scipy.linalg import solve_triangular

    rank = int(np.sum(np.abs(np.diag(R)) > noise * abs(R[0, 0])))
    if rank == len(names):
        return
    weights = solve_triangular(R[:rank, :rank], R[:rank, rank:])
    found = []
    for column in range(weights.shape[1]):
        parts = sorted(int(order[i]) for i in np.flatnonzero(np.abs(weights[:, column]) > 1e-6))
        found.append(f"{names[order[rank + column]]!r} is a combination of {[names[i] for i in parts]}")
    raise RegressionError(
        f"the terms do not determine each other's coefficients: {'; '.join(found)}. Leave out one of each."
    )


def _results(
    X: Array,
    y: Array,
    names: tuple[str, ...],
    intercept: bool,
    centre: Array,
    level: float,
    solved: _Solved,
) -> OlsResults:
    n, k = X.shape
    fitted_change = (X - centre) @ solved.slopes
    residuals = (y - level) - fitted_change
    df_resid = n - k - intercept
    variance = math.fsum(residuals**2) / df_resid
    params, unscaled = _with_intercept(solved, centre, level, n, intercept)
    assert unscaled.shape == (len(params), len(params))
    std_errors, t, p = _tests(params, variance, unscaled, df_resid)
    leverage = solved.row_norms + (1.0 / n if intercept else 0.0)
    return OlsResults(
        names=(INTERCEPT, *names) if intercept else names,
        intercept=intercept,
        params=_locked(params),
        covariance=_locked(variance * unscaled),
        std_errors=_locked(std_errors),
        t=_locked(t),
        p=_locked(p),
        n_runs=n,
        df_model=k,
        df_resid=df_resid,
        sigma=math.sqrt(variance),
        residuals=_locked(residuals),
        fitted=_locked(level + fitted_change),
        leverage=_locked(leverage),
        vif=_locked(solved.vif),
        centre=_locked(centre),
        **_whole(residuals, leverage, y - level, k, intercept),
    )


def _whole(residuals: Array, leverage: Array, change: Array, k: int, intercept: bool) -> dict[str, Any]:
    """Statistics of the fit as a whole, in sample and left out; ``change`` is ``y`` about its level."""
    n, df_resid = len(residuals), len(residuals) - k - intercept
    rss, sst = math.fsum(residuals**2), math.fsum(change**2)
    loo = _leave_one_out(residuals, leverage)
    press = math.fsum(loo**2)
    f, f_p = _f_test(sst - rss, rss / df_resid, k, df_resid)
    log_likelihood, aic, aicc, bic = _likelihood(rss, n, k + intercept)
    return {
        "r2": _ratio(rss, sst),
        "adjusted_r2": _ratio(rss / df_resid, sst / (n - intercept)),
        "f": f,
        "f_p": f_p,
        "log_likelihood": log_likelihood,
        "aic": aic,
        "aicc": aicc,
        "bic": bic,
        "loo_residuals": _locked(loo),
        "press": press,
        "press_r2": _ratio(press, sst),
    }


def _with_intercept(
    solved: _Solved, centre: Array, level: float, n: int, intercept: bool
) -> tuple[Array, Array]:
    """Parameters and unscaled covariance, mapped back from the centred columns."""
    if not intercept:
        return solved.slopes, solved.inverse
    constant = math.fsum([level, *(-centre * solved.slopes)])
    cross = -solved.inverse @ centre
    corner = 1.0 / n - centre @ cross
    unscaled = np.block([[np.array([[corner]]), cross[None, :]], [cross[:, None], solved.inverse]])
    return np.concatenate([[constant], solved.slopes]), unscaled


def _leave_one_out(residuals: Array, leverage: Array) -> Array:
    """``e / (1 - h)``; not a number for a run without which the parameters are not determined."""
    left = 1.0 - leverage
    determined = left > 1e-10
    return np.where(determined, residuals / np.where(determined, left, 1.0), np.nan)


def _ratio(part: float, whole: float) -> float:
    return 1.0 - part / whole if whole > 0 else math.nan


def _tests(params: Array, variance: float, unscaled: Array, df_resid: int) -> tuple[Array, Array, Array]:
    from scipy.stats import t as student

    errors = np.sqrt(variance * np.diag(unscaled))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = params / errors
    return errors, t, 2.0 * student.sf(np.abs(t), df_resid)


def _f_test(explained: float, variance: float, df_model: int, df_resid: int) -> tuple[float, float]:
    from scipy.stats import f as fisher

    if df_model == 0:
        return math.nan, math.nan
    statistic = max(explained, 0.0) / df_model / variance if variance > 0 else math.inf
    return statistic, float(fisher.sf(statistic, df_model, df_resid))


def _likelihood(rss: float, n: int, k: int) -> tuple[float, float, float, float]:
    """Normal log-likelihood, AIC, AICc, BIC; the error variance counts as a parameter, as in R's AIC()."""
    counted = k + 1
    log_likelihood = -0.5 * n * (math.log(2 * math.pi * rss / n) + 1) if rss > 0 else math.inf
    aic = 2 * counted - 2 * log_likelihood
    spare = n - counted - 1
    aicc = aic + 2 * counted * (counted + 1) / spare if spare > 0 else math.nan
    return log_likelihood, aic, aicc, counted * math.log(n) - 2 * log_likelihood


def _locked(values: npt.ArrayLike) -> Array:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array
