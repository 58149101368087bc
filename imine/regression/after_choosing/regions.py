"""Unions of intervals of the real line, where polynomial conditions hold."""

from __future__ import annotations

import numpy as np

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
    low, high = parts[:, 0], parts[:, 1]
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
    if not len(quadratics) or not len(region):
        return region
    parts = cells(region, roots(quadratics))
    at = middles(parts)
    a, b, c = (column[:, None] for column in quadratics.T)
    # Divided by x^2 far out, so that the sign survives where x^2 would overflow.
    far = np.abs(at) > 1.0
    x = np.where(far, 1.0 / np.where(far, at, 1.0), at)
    values = np.where(far, a + (b + c * x) * x, (a * x + b) * x + c)
    return joined(parts[(values >= 0.0).all(axis=0)])


def roots(quadratics: Array) -> Array:
    """Real roots of ``a x^2 + b x + c``, not a number or infinite where there is none.

    Examples:
        >>> roots(np.array([[1.0, 0.0, -4.0]])).tolist()
        [-2.0, 2.0]
    """
    a, b, c = quadratics.T
    discriminant = b * b - 4.0 * a * c
    with np.errstate(all="ignore"):
        # The form without cancellation: one root from q / a, the other from c / q.
        q = -0.5 * (b + np.copysign(np.sqrt(discriminant), b))
        return np.concatenate([q / a, c / q])
