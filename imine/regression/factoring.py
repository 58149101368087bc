"""Pivoted QR of the scaled columns: which columns depend on others, and a first solution to refine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError
from imine.regression.doubled import Array, folded_product, folded_sum

# A variance of a slope goes as the inverse square of its column's length: below this it leaves double precision.
SMALLEST = 1e-145


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """``root @ root.T`` is the inverse of the columns' cross-product matrix, in float64.

    Attributes:
        root: shape (k, k).
    """

    root: Array


def factor_columns(
    columns: Array, given: Array, names: tuple[str, ...], centred: bool, units: npt.NDArray[np.int64]
) -> Factor:
    """Scale the columns to unit length and factor them by QR with column pivoting.

    Args:
        columns: shape (runs, k), centred if there is an intercept and times the roots of the weights, scaled.
        given: lengths of the columns before they were centred, shape (k,), in the same scale.
        names: of the columns.
        centred: whether they were.
        units: what one unit of the scale is, of each column, as exponents of two.

    Raises:
        RegressionError: columns that are constant, too small to be squared, or combinations of others.

    References:
        Golub, Van Loan (2013), Matrix Computations, 4th edition, 5.4.2 (QR with column pivoting).
    """
    n, k = columns.shape
    if k == 0:
        return Factor(np.zeros((0, 0)))
    lengths = column_lengths(columns)
    # Rounding of the given values, as a share of what is left of a column once it is centred.
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = max(n, k) * np.finfo(np.float64).eps * (given / lengths)
    _refuse_constant(noise, names, centred)
    _refuse_tiny(np.ldexp(lengths, units), names)
    R, order = pivoted_qr(columns / lengths)
    _refuse_dependent(R, order, float(noise.max()), names)
    root = np.empty((k, k))
    root[order] = inverted(R)
    return Factor(root / lengths[:, None])


def column_lengths(columns: Array) -> Array:
    """Euclidean lengths of the columns, without squares that leave float64."""
    largest = np.max(np.abs(columns), axis=0, initial=0.0)
    safe = np.where(largest > 0, largest, 1.0)
    return largest * np.sqrt(folded_sum((columns / safe) ** 2))


def pivoted_qr(columns: Array) -> tuple[Array, npt.NDArray[np.intp]]:
    """The triangle R, shape (k, k), and the order of the columns, by Householder reflections.

    No library's sums are used, so that the result is the same on every machine.

    Examples:
        >>> R, order = pivoted_qr(np.array([[1.0, 0.0], [0.0, 3.0], [0.0, 4.0]]))
        >>> np.abs(R).tolist(), order.tolist()
        ([[5.0, 0.0], [0.0, 1.0]], [1, 0])
    """
    k = columns.shape[1]
    rest = np.vstack([columns, np.zeros((max(k - len(columns), 0), k))])
    order = np.arange(k)
    for j in range(k):
        lengths = column_lengths(rest[j:, j:])
        pick = j + int(np.argmax(lengths))
        rest[:, [j, pick]], order[[j, pick]] = rest[:, [pick, j]], order[[pick, j]]
        length = lengths[pick - j]
        if length == 0:
            break
        mirror = rest[j:, j] / length
        mirror[0] += np.copysign(1.0, mirror[0])
        along = folded_sum(mirror[:, None] * rest[j:, j:]) / np.abs(mirror[0])
        rest[j:, j:] -= mirror[:, None] * along
    return np.triu(rest[:k]), order


def inverted(R: Array) -> Array:
    """Inverse of an upper triangle, by substitution."""
    k = len(R)
    inverse = np.zeros((k, k))
    for i in range(k - 1, -1, -1):
        right = -folded_product(R[i : i + 1, i + 1 :], inverse[i + 1 :])[0] if i + 1 < k else np.zeros(k)
        right[i] += 1.0
        inverse[i] = right / R[i, i]
    return inverse


def _refuse_constant(noise: Array, names: tuple[str, ...], centred: bool) -> None:
    constant = [name for name, share in zip(names, noise, strict=True) if not share < 1.0]
    if constant:
        kind = "constant" if centred else "zero"
        raise RegressionError(f"{kind} in all runs: {', '.join(constant)}. Leave out these terms.")


def _refuse_tiny(lengths: Array, names: tuple[str, ...]) -> None:
    tiny = [
        f"{name} ({length:.2g})" for name, length in zip(names, lengths, strict=True) if length < SMALLEST
    ]
    if tiny:
        raise RegressionError(
            f"values too small to be squared in double precision: {', '.join(tiny)}. "
            "Give these terms in another unit."
        )


def _refuse_dependent(R: Array, order: npt.NDArray[np.intp], noise: float, names: tuple[str, ...]) -> None:
    rank = int(np.sum(np.abs(np.diag(R)) > noise * abs(R[0, 0])))
    if rank == len(names):
        return
    weights = folded_product(inverted(R[:rank, :rank]), R[:rank, rank:])
    found = []
    for column in range(weights.shape[1]):
        parts = sorted(int(order[i]) for i in np.flatnonzero(np.abs(weights[:, column]) > 1e-6))
        found.append(f"{names[order[rank + column]]!r} is a combination of {[names[i] for i in parts]}")
    raise RegressionError(
        f"the terms do not determine each other's coefficients: {'; '.join(found)}. Leave out one of each."
    )
