"""What must hold between the numbers of a rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# As a share of the standard errors: rounding of a covariance stored in full leaves less than 1e-14.
_ROUNDING = 1e-9
# On standard errors: half of what it is on variances.
_ERROR_RTOL = 5e-7

_INDEFINITE = "covariance: not positive semidefinite: it would give some sets a negative variance"


def check_covariance(rows: Sequence[Sequence[float]], size: int) -> None:
    """Refuse a matrix that is no covariance of ``size`` coefficients.

    Args:
        rows: the matrix.
        size: of the intercept and the terms.

    Raises:
        ValueError: wrong shape, not symmetric, or not positive semidefinite beyond rounding.

    Examples:
        >>> check_covariance([[4.0, 3.0], [3.0, 1.0]], 2)
        Traceback (most recent call last):
        ...
        ValueError: covariance: not positive semidefinite: it would give some sets a negative variance
    """
    if len(rows) != size or any(len(row) != size for row in rows):
        raise ValueError(f"covariance: must be {size} by {size} (intercept and {size - 1} terms)")
    V = np.array(rows, dtype=np.float64)
    variances = np.diag(V)
    if (variances < 0).any():
        raise ValueError("covariance: a variance is negative")
    errors = np.sqrt(variances)
    # A coefficient without error covaries with nothing: its row must be zero, which a divisor of 1 leaves to see.
    divisor = np.where(errors > 0, errors, 1.0)
    with np.errstate(over="ignore"):
        scaled = V / divisor[:, None] / divisor[None, :]
    if np.abs(scaled).max() > 1.0 + _ROUNDING:
        raise ValueError(_INDEFINITE)
    skew = np.argwhere(np.abs(scaled - scaled.T) > _ROUNDING)
    if len(skew):
        raise ValueError(f"covariance: not symmetric at row {skew[0].max()}, column {skew[0].min()}")
    if np.linalg.eigvalsh(scaled).min() < -_ROUNDING * size:
        raise ValueError(_INDEFINITE)


def check_std_error(where: str, std_error: float | None, variance: float) -> None:
    """Refuse a standard error that is not the root of its variance.

    Args:
        where: key of the estimate.
        std_error: its standard error, if it has one.
        variance: of the covariance's diagonal.

    Raises:
        ValueError: they differ by more than one part in a million of the variance.

    Examples:
        >>> check_std_error("intercept", 0.5, 0.25)
    """
    root = variance**0.5
    if std_error is not None and abs(std_error - root) > _ERROR_RTOL * root:
        raise ValueError(
            f"{where}.std_error: {std_error:.7g} is not the root of its variance in covariance ({root:.7g})"
        )
