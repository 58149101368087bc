"""Unions of intervals of the real line, where polynomial conditions hold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imine.regression.results import Array

WHOLE_LINE = np.array([[-np.inf, np.inf]])


def cells(region: Array, breaks: Array) -> Array:
    """The region cut at the breaks, shape (cells, 2).

    Args:
        region: disjoint intervals in order, shape (intervals, 2).
        breaks: points in any order; what is not finite is passed over.

    Examples:
        >>> cells(WHOLE_LINE, np.array([1.0, np.nan])).tolist()
        [[-inf, 1.0], [1.0, inf]]
    """
    points = np.unique(breaks[np.isfinite(breaks)])
    parts = []
    for low, high in region:
        inside = points[(points > low) & (points < high)]
        ends = np.concatenate([[low], inside, [high]])
        parts.append(np.column_stack([ends[:-1], ends[1:]]))
    return np.concatenate(parts) if parts else np.zeros((0, 2))


def middles(parts: Array) -> Array:
    """A point inside each interval, unbounded ones included.

    Examples:
        >>> middles(np.array([[-np.inf, 1.0], [1.0, 2.0], [4.0, np.inf]])).tolist()
        [0.0, 1.5, 8.0]
    """
    low, high = parts[..., 0], parts[..., 1]
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isinf(low), high - np.maximum(np.abs(high), 1.0), 0.5 * low + 0.5 * high)
        middle = np.where(np.isinf(high), low + np.maximum(np.abs(low), 1.0), middle)
    return np.where(np.isinf(low) & np.isinf(high), 0.0, middle)


def joined(parts: Array) -> Array:
    """Sorted intervals with those that touch made one.

    Examples:
        >>> joined(np.array([[1.0, 2.0], [0.0, 1.0], [3.0, 4.0]])).tolist()
        [[0.0, 2.0], [3.0, 4.0]]
    """
    if len(parts) < 2:
        return parts
    parts = parts[np.argsort(parts[:, 0])]
    starts = np.concatenate([[True], parts[1:, 0] > parts[:-1, 1]])
    ends = np.concatenate([starts[1:], [True]])
    return np.column_stack([parts[starts, 0], parts[ends, 1]])


def where_all(region: Array, quadratics: Array) -> Array:
    """The part of a region where every ``a x^2 + b x + c`` is at least zero.

    Args:
        region: disjoint intervals in order, shape (intervals, 2).
        quadratics: rows ``(a, b, c)``, shape (conditions, 3).

    Examples:
        >>> where_all(WHOLE_LINE, np.array([[1.0, 0.0, -4.0], [0.0, 1.0, 3.0]])).tolist()
        [[-3.0, -2.0], [2.0, inf]]
    """
    parts = cells_where(region, quadratics[None])[0]
    return joined(parts[parts[:, 0] < parts[:, 1]])


def cells_where(region: Array, quadratics: Array) -> Array:
    """Cells of a region on which every condition holds, for several sets of conditions at once.

    Args:
        region: disjoint intervals in order, shape (intervals, 2).
        quadratics: shape (sets, conditions, 3).

    Returns:
        Ends of cells, shape (sets, cells, 2); one on which a condition fails is without width.
    """
    sets, conditions, _ = quadratics.shape
    found = roots(quadratics)
    parts = np.empty((sets, len(region), 2 * conditions + 1, 2))
    for i, (low, high) in enumerate(region):
        inside = np.sort(np.clip(np.where(np.isnan(found), low, found), low, high), axis=1)
        parts[:, i, 1:, 0] = parts[:, i, :-1, 1] = inside
        parts[:, i, 0, 0], parts[:, i, -1, 1] = low, high
    parts = parts.reshape(sets, -1, 2)
    parts[~_all_hold(quadratics, middles(parts))] = 0.0
    return parts


def _all_hold(quadratics: Array, at: Array) -> npt.NDArray[np.bool_]:
    """Whether all conditions of a set hold at its points, shape (sets, points)."""
    a, b, c = (quadratics[:, None, :, i] for i in range(3))
    # Divided by x^2 far out, so that the sign survives where x^2 would overflow.
    far = (np.abs(at) > 1.0)[:, :, None]
    x = np.where(far[:, :, 0], 1.0 / np.where(far[:, :, 0], at, 1.0), at)[:, :, None]
    values = np.where(far, a + (b + c * x) * x, (a * x + b) * x + c)
    return np.asarray((values >= 0.0).all(axis=2))


def roots(quadratics: Array) -> Array:
    """Real roots of ``a x^2 + b x + c``, not a number or infinite where there is none.

    Args:
        quadratics: shape (..., conditions, 3).

    Returns:
        Shape (..., 2 conditions).

    Examples:
        >>> roots(np.array([[1.0, 0.0, -4.0]])).tolist()
        [-2.0, 2.0]
    """
    a, b, c = np.moveaxis(quadratics, -1, 0)
    with np.errstate(all="ignore"):
        # The form without cancellation: one root from q / a, the other from c / q.
        q = -0.5 * (b + np.copysign(np.sqrt(b * b - 4.0 * a * c), b))
        return np.concatenate([q / a, c / q], axis=-1)
