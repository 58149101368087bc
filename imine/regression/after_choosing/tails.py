"""Logarithms of probabilities of intervals, exact in relative terms far out and for narrow intervals."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from imine.regression.results import Array

# Gauss-Legendre nodes for intervals on which the log density moves by less than 2: error below 1e-15.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def log_survival(t: npt.ArrayLike, df: float = math.inf) -> Array:
    """``log P(T > t)`` of Student's t, or of the normal distribution for infinite ``df``.

    Args:
        t: any shape; infinite values are allowed.
        df: degrees of freedom.

    Examples:
        >>> log_survival([0.0, 40.0]).round(3).tolist()
        [-0.693, -804.608]
        >>> log_survival([1e30], df=119.0).round(2).tolist()
        [-7939.18]
    """
    from scipy.special import log_ndtr, stdtr

    t = np.asarray(t, dtype=np.float64)
    if math.isinf(df):
        return np.asarray(log_ndtr(-t))
    tail = stdtr(df, -np.abs(t))
    with np.errstate(divide="ignore"):
        # Below zero, as the complement: the logarithm of a value near one keeps its digits.
        logs = np.asarray(np.where(t > 0, np.log(tail), np.log1p(-tail)))
    far = np.isfinite(t) & (t > 0) & (t * t > df)
    if far.any():
        logs[far] = _log_far_tail(t[far], df)
    return logs


def _log_far_tail(t: Array, df: float) -> Array:
    """Half the regularised incomplete beta function at ``x = df / (df + t^2) < 1/2``, by its 2F1 series.

    Abramowitz and Stegun (1964), 26.5.4 and 26.5.27, 26.7.1; no value underflows before its logarithm is taken.
    """
    from scipy.special import betaln, hyp2f1

    a, b = 0.5 * df, 0.5
    log_x = math.log(df) - 2.0 * np.log(t) - np.log1p(df / t / t)
    x = np.exp(log_x)
    return (
        a * log_x + b * np.log1p(-x) - math.log(2.0 * a) - betaln(a, b) + np.log(hyp2f1(a + b, 1, a + 1, x))
    )


def log_mass(low: npt.ArrayLike, high: npt.ArrayLike, df: float = math.inf) -> Array:
    """``log P(low < T < high)``, elementwise; minus infinity for an empty interval.

    Args:
        low, high: ends, of one shape; infinite values are allowed.
        df: degrees of freedom of Student's t; infinite for the normal distribution.

    Examples:
        >>> log_mass([-1.96, 50.0, 9.0], [1.96, np.inf, 9.0 + 1e-12]).round(3).tolist()
        [-0.051, -1254.831, -69.05]
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    flip = low + np.where(np.isinf(low) & np.isinf(high), 0.0, high) < 0.0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    logs = np.full(a.shape, -np.inf)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # Differences of tails lose what the interval is narrower than the tail; a sum over its inside does not.
        narrow = np.isfinite(a) & np.isfinite(b) & ((b - a < 1.0) | (a > 0.0)) & (b > a)
        narrow &= np.abs(_log_density(b, df) - _log_density(a, df)) < 2.0
        for chosen, way in (
            (narrow, _by_quadrature),
            (~narrow & (b > a) & (a < 0.0), _around_zero),
            (~narrow & (b > a) & (a >= 0.0), _in_tail),
        ):
            if chosen.any():
                logs[chosen] = way(a[chosen], b[chosen], df)
    return logs


def _around_zero(a: Array, b: Array, df: float) -> Array:
    """One less both tails."""
    return np.log1p(-(np.exp(log_survival(-a, df)) + np.exp(log_survival(b, df))))


def _in_tail(a: Array, b: Array, df: float) -> Array:
    """Survival of ``a`` less that of ``b``."""
    upper, beyond = log_survival(a, df), log_survival(b, df)
    return upper + np.log(-np.expm1(beyond - upper))


def _by_quadrature(a: Array, b: Array, df: float) -> Array:
    half = 0.5 * (b - a)
    points = 0.5 * (a + b)[..., None] + half[..., None] * _NODES
    density = _log_density(points, df)
    top = density.max(axis=-1)
    return np.log(half) + top + np.log(np.exp(density - top[..., None]) @ _WEIGHTS)


def _log_density(t: Array, df: float) -> Array:
    from scipy.special import gammaln

    if math.isinf(df):
        return -0.5 * t * t - 0.5 * math.log(2.0 * math.pi)
    constant = gammaln(0.5 * df + 0.5) - gammaln(0.5 * df) - 0.5 * math.log(df * math.pi)
    return constant - 0.5 * (df + 1.0) * np.log1p(t * t / df)
