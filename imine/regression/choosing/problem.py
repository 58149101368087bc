"""The data of a choice, prepared once: rows in a fixed order, columns centred and of unit length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError

Array = npt.NDArray[np.float64]
_EPS = float(np.finfo(np.float64).eps)
# Beyond this a square leaves double precision.
_LARGEST = 1e145


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Candidates and response, ready to be orthogonalised.

    Attributes:
        names: the candidates, length k.
        Z: shape (n, k), the candidates centred and divided by ``lengths``; a constant one is zero.
        y: shape (n,), centred.
        centre, lengths: shape (k,), of the candidates as given; ``lengths`` after centring.
        level: mean of ``y``.
        noise: shape (k,), the length that rounding of the given values can give a column of ``Z``.
        total: sum of squares of ``y`` about its mean.
        exact: a residual sum of squares up to this is rounding.
        order: shape (n,), the row of the given data that stands in each row of ``Z``.
    """

    names: tuple[str, ...]
    Z: Array
    y: Array
    centre: Array
    lengths: Array
    level: float
    noise: Array
    total: float
    exact: float
    order: npt.NDArray[np.int64]


def make_problem(X: npt.ArrayLike, y: npt.ArrayLike, names: Sequence[str]) -> Problem:
    """Check and prepare the data.

    The rows are sorted by their values, so that nothing that follows can depend on the order they came in.

    Raises:
        ValueError: shapes or names that do not fit each other.
        RegressionError: values that are not finite.

    Examples:
        >>> problem = make_problem([[1.0], [3.0], [2.0]], [1.0, 2.0, 3.0], ["a"])
        >>> problem.Z.T.round(3).tolist(), problem.order.tolist()
        ([[-0.707, 0.707, 0.0]], [0, 1, 2])
    """
    X, y, names = _checked(X, y, tuple(names))
    order = np.lexsort((*X.T[::-1], y))
    X, y = X[order], y[order]
    n = len(y)
    centre = np.array([math.fsum(column) / n for column in X.T], dtype=np.float64)
    level = math.fsum(y) / n
    away = X - centre
    lengths = _lengths(away)
    rounding = 4.0 * _EPS * math.sqrt(n) * np.max(np.abs(X), axis=0, initial=0.0)
    varies = lengths > rounding
    scale = np.where(varies, lengths, 1.0)
    change = y - level
    slack = (16.0 * _EPS * n) ** 2 * max(math.fsum(y**2), 0.0)
    return Problem(
        names=names,
        Z=np.ascontiguousarray(np.where(varies, away / scale, 0.0)),
        y=change,
        centre=centre,
        lengths=lengths,
        level=level,
        noise=np.where(varies, rounding / scale, 1.0),
        total=math.fsum(change**2),
        exact=slack,
        order=order.astype(np.int64),
    )


def _lengths(X: Array) -> Array:
    """Euclidean lengths of the columns, without squares that leave double precision."""
    largest = np.max(np.abs(X), axis=0, initial=0.0)
    shares = X / np.where(largest > 0, largest, 1.0)
    return largest * np.sqrt(np.array([math.fsum(column**2) for column in shares.T], dtype=np.float64))


def _checked(
    X: npt.ArrayLike, y: npt.ArrayLike, names: tuple[str, ...]
) -> tuple[Array, Array, tuple[str, ...]]:
    X, y = np.array(X, dtype=np.float64, ndmin=2), np.array(y, dtype=np.float64)
    if y.ndim != 1 or X.ndim != 2 or X.shape[0] != y.shape[0]:
        raise ValueError(f"X must have shape (runs, candidates) and y (runs,); got {X.shape} and {y.shape}")
    if len(names) != X.shape[1] or len(set(names)) != len(names):
        raise ValueError(f"names must name each of the {X.shape[1]} columns of X, once; got {list(names)}")
    if len(y) < 3:
        raise RegressionError(f"{len(y)} runs are too few to choose terms: at least 3 are needed")
    bad = [f"run {i}, column {names[j]!r}" for i, j in np.argwhere(~(np.abs(X) < _LARGEST))]
    bad += [f"run {i}, y" for i in np.flatnonzero(~(np.abs(y) < _LARGEST))]
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise RegressionError(
            f"values that are not finite, or not below {_LARGEST:g}: {'; '.join(bad[:5])}{more}"
        )
    return X, y, names
