"""Durbin and Watson's statistic and its exact distribution."""

from __future__ import annotations

import math

import numpy as np

from imine.regression.doubled import Array

# Eigenvalues of a matrix of runs by runs take a second or so beyond this; the normal approximation with the exact
# mean and variance is then closer than any reader needs.
_MOST_RUNS_EXACT = 400


def durbin_watson(residuals: Array) -> float:
    """Sum of squared differences of neighbours over the sum of squares: near 2 without serial correlation.

    Examples:
        >>> durbin_watson(np.array([1.0, -1.0, 1.0, -1.0]))
        3.0
    """
    return float(np.sum(np.diff(residuals) ** 2) / np.sum(residuals**2))


def durbin_watson_p(statistic: float, columns: Array) -> float:
    """Two-sided p-value, ``2 min(P(d <= statistic), P(d >= statistic))``, under independent normal errors.

    Up to 400 runs the exact distribution for these columns, by Imhof's integral; beyond, the normal distribution
    with the exact mean and variance.

    Args:
        statistic: of the residuals.
        columns: all columns of the regression, the constant included, shape (runs, p).

    References:
        Durbin, Watson (1950), Biometrika 37, 409-428; Imhof (1961), Biometrika 48, 419-426.

    Examples:
        >>> columns = np.column_stack([np.ones(15), np.arange(15.0)])
        >>> round(durbin_watson_p(1.0, columns), 4)
        0.0123
    """
    basis = np.linalg.qr(columns)[0]
    many = len(columns) > _MOST_RUNS_EXACT
    below = _normal(statistic, basis) if many else _imhof(_eigenvalues(basis) - statistic)
    return min(max(2.0 * min(below, 1.0 - below), 0.0), 1.0)


def _differences(n: int) -> Array:
    """The matrix whose quadratic form is the sum of squared differences."""
    matrix = 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    matrix[0, 0] = matrix[-1, -1] = 1.0
    return matrix


def _eigenvalues(basis: Array) -> Array:
    """Those of the differences seen by residuals, without the zeros of the fitted directions."""
    n, p = basis.shape
    others = np.linalg.qr(basis, mode="complete")[0][:, p:]
    return np.asarray(np.linalg.eigvalsh(others.T @ _differences(n) @ others))


def _imhof(weights: Array) -> float:
    """``P(sum weights_i z_i**2 <= 0)`` for independent standard normal ``z``."""
    from scipy.integrate import quad

    scaled = weights / np.abs(weights).max()

    def integrand(u: float) -> float:
        angle = 0.5 * np.sum(np.arctan(scaled * u))
        return float(np.sin(angle) * np.exp(-0.25 * np.sum(np.log1p((scaled * u) ** 2))) / u)

    whole = sum(
        quad(integrand, low, high, epsabs=1e-13, epsrel=1e-11, limit=400)[0]
        for low, high in ((0.0, 1.0), (1.0, 10.0), (10.0, math.inf))
    )
    return min(max(0.5 - whole / math.pi, 0.0), 1.0)


def _normal(statistic: float, basis: Array) -> float:
    from scipy.stats import norm

    n, p = basis.shape
    # Differences of the basis' columns give the traces without a matrix of runs by runs.
    applied = np.diff(basis, axis=0, prepend=basis[:1], append=basis[-1:])
    seen = -np.diff(applied, axis=0)
    inner = basis.T @ seen
    trace = 2.0 * (n - 1) - np.trace(inner)
    squared = (6.0 * n - 8.0) - 2.0 * np.sum(seen**2) + np.sum(inner**2)
    mean = trace / (n - p)
    variance = 2.0 * (squared - trace * mean) / ((n - p) * (n - p + 2.0))
    return float(norm.cdf((statistic - mean) / math.sqrt(variance)))
