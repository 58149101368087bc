"""How sharp the coefficients of a design come out, from the subset means alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log_determinant(means: npt.ArrayLike) -> float:
    """The D-criterion: log determinant of the information on the slopes, a run and a coefficient.

    Two designs with values ``d`` and ``e`` and any numbers of runs need runs in the ratio ``exp(e - d)`` for
    confidence regions of one volume.

    Args:
        means: subset means, shape (runs, indicators), more runs than indicators.

    Returns:
        ``log det(cov) / indicators``, with divisor ``runs``; minus infinity for means that are collinear.

    References:
        Atkinson, Donev, Tobias (2007), Optimum Experimental Designs, with SAS, chapter 11.

    Examples:
        >>> log_determinant([[-1.0], [1.0]]), round(log_determinant([[-2.0], [2.0]]), 3)
        (0.0, 1.386)
    """
    X = np.asarray(means, dtype=np.float64)
    X = X - X.mean(axis=0)
    sign, logdet = np.linalg.slogdet(X.T @ X / len(X))
    return float(logdet) / X.shape[1] if sign > 0 else -np.inf


def interval_widths(means: npt.ArrayLike, sigma: float, level: float = 0.95) -> Array:
    """Expected full widths of the intervals of the slopes, from a regression with an intercept on all indicators.

    ``2 t s(j)`` with ``s(j)^2 = sigma^2 inverse(X'X)(j, j)`` and ``t`` the quantile with ``runs - indicators - 1``
    degrees of freedom: the width where the noise comes out as large as it is.

    Args:
        means: subset means, shape (runs, indicators).
        sigma: standard deviation of the noise of a run, in log loss.
        level: of the intervals.

    Returns:
        Shape (indicators,), in log loss a unit of each indicator.

    Raises:
        ValueError: fewer runs than indicators and 2, or a level that is not between 0 and 1.

    Examples:
        >>> interval_widths([[-1.0], [1.0], [-1.0], [1.0]], sigma=1.0).round(2).tolist()
        [4.3]
    """
    from scipy.stats import t as student

    X = np.asarray(means, dtype=np.float64)
    runs, k = X.shape
    if runs < k + 2 or not 0.0 < level < 1.0:
        raise ValueError(
            f"runs must be at least {k + 2} for {k} indicators and level between 0 and 1; got {runs}, {level}"
        )
    X = X - X.mean(axis=0)
    scale = np.sqrt((X**2).mean(axis=0))
    # Perplexities and distances to neighbours differ by ten orders: invert correlations, not products.
    inverse = np.linalg.inv((X / scale).T @ (X / scale))
    half: Array = student.isf(0.5 * (1.0 - level), runs - k - 1) * sigma * np.sqrt(np.diag(inverse)) / scale
    return 2.0 * half
