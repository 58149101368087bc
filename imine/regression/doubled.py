"""Arithmetic in doubled precision: a number as the unevaluated sum of two float64, about 106 bits.

Only additions, multiplications, divisions and square roots of single float64 are used, each correctly rounded by
IEEE 754, and matrix products whose every partial sum is an integer that float64 holds: so the results are the same
on every machine, whatever the linear algebra library and its threads.

References:
    Dekker (1971), A floating-point technique for extending the available precision, Numer. Math. 18, 224-242.
    Knuth (1997), The Art of Computer Programming 2, 4.2.2, theorem B (error of a sum).
    Ozaki, Ogita, Oishi, Rump (2012), Error-free transformations of matrix multiplication by using fast routines,
    Numer. Algorithms 59, 95-118 (products of slices).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Rounding of one operation here is below 2**-104 of its operands, that of a product of matrices below a few times
# that of the product of their absolute values; the bounds that rest on it are taken wider.
ROUNDING = 2.0**-100

# 2**27 + 1 parts a float64 into two halves of 26 bits whose products are exact (Dekker 1971).
_SPLITTER = 134217729.0


@dataclass(frozen=True, slots=True, eq=False)
class Doubled:
    """An array of numbers ``hi + lo``, where ``hi`` is the float64 nearest to the number.

    Attributes:
        hi, lo: arrays of one shape.

    Examples:
        >>> third = Doubled.of(1.0) / Doubled.of(3.0)
        >>> float((third + third + third).hi), abs(float((third * Doubled.of(3.0) - Doubled.of(1.0)).hi)) < 1e-31
        (1.0, True)
    """

    hi: Array
    lo: Array

    @classmethod
    def of(cls, values: npt.ArrayLike) -> Doubled:
        """The given float64, unchanged."""
        hi = np.asarray(values, dtype=np.float64)
        return cls(hi, np.zeros_like(hi))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.hi.shape

    def __getitem__(self, key: Any) -> Doubled:
        return Doubled(self.hi[key], self.lo[key])

    def __neg__(self) -> Doubled:
        return Doubled(-self.hi, -self.lo)

    def __add__(self, other: Doubled) -> Doubled:
        high, low = two_sum(self.hi, other.hi)
        tail, rest = two_sum(self.lo, other.lo)
        high, low = _renormalised(high, low + tail)
        return Doubled(*_renormalised(high, low + rest))

    def __sub__(self, other: Doubled) -> Doubled:
        return self + (-other)

    def __mul__(self, other: Doubled) -> Doubled:
        high, low = two_prod(self.hi, other.hi)
        return Doubled(*_renormalised(high, low + (self.hi * other.lo + self.lo * other.hi)))

    def __truediv__(self, other: Doubled) -> Doubled:
        first = self.hi / other.hi
        rest = self - other * Doubled.of(first)
        second = rest.hi / other.hi
        third = (rest - other * Doubled.of(second)).hi / other.hi
        return Doubled(*_renormalised(first, second)) + Doubled.of(third)

    def sqrt(self) -> Doubled:
        """Square roots of numbers that are not negative."""
        root = np.sqrt(self.hi)
        rest = (self - Doubled(*two_prod(root, root))).hi
        return Doubled(*_renormalised(root, rest / (2.0 * np.where(root > 0, root, 1.0))))

    def ldexp(self, exponents: npt.ArrayLike) -> Doubled:
        """The numbers times powers of two; exact within the range of float64."""
        return Doubled(np.ldexp(self.hi, exponents), np.ldexp(self.lo, exponents))  # type: ignore[arg-type]


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum and its error, exactly (Knuth 1997)."""
    total = a + b
    moved = total - a
    return total, (a - (total - moved)) + (b - moved)


def two_prod(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded product and its error, exactly where neither leaves float64 (Dekker 1971)."""
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def total(*parts: Doubled) -> Doubled:
    """The sum of all numbers in ``parts``, correctly rounded to the doubled precision: no order of them matters.

    Examples:
        >>> float(total(Doubled.of([1e300, 1.0, -1e300])).hi)
        1.0
    """
    terms: list[float] = []
    for part in parts:
        terms += np.ravel(part.hi).tolist()
        terms += np.ravel(part.lo).tolist()
    hi = math.fsum(terms)
    return Doubled(np.array(hi), np.array(math.fsum([*terms, -hi])))


def folded_sum(values: Array) -> Array:
    """Sum over the first axis by halving, in float64: the same on every machine, other than a library's sum.

    Examples:
        >>> folded_sum(np.arange(12.0).reshape(6, 2)).tolist()
        [30.0, 36.0]
    """
    size = 1 << max(len(values) - 1, 0).bit_length()
    padded = np.zeros((size, *values.shape[1:]))
    padded[: len(values)] = values
    while len(padded) > 1:
        half = len(padded) // 2
        padded = padded[:half] + padded[half:]
    return padded[0]


def folded_product(left: Array, right: Array) -> Array:
    """Matrix product in float64 by :func:`folded_sum`."""
    return folded_sum(left.T[:, :, None] * right[:, None, :])


@dataclass(frozen=True, slots=True, eq=False)
class SlicedMatrix:
    """A matrix cut into slices of a few bits each, whose products with slices of another are exact in float64.

    Attributes:
        slices: the slices side by side, integers, shape (rows, count * columns).
        exponents: of the rows, shape (rows, 1).
        bits, count: bits a slice, and number of slices.
        largest: largest absolute value of each row, shape (rows,).
    """

    slices: Array
    exponents: npt.NDArray[np.int64]
    bits: int
    count: int
    largest: Array

    @classmethod
    def of(cls, matrix: Doubled) -> SlicedMatrix:
        """Cut a matrix of shape (rows, columns)."""
        bits, count = _slicing(matrix.shape[1])
        cut, exponents = _cut(matrix, 1, bits, count)
        return cls(np.hstack(cut), exponents, bits, count, np.max(np.abs(matrix.hi), axis=1, initial=0.0))

    def __matmul__(self, right: Doubled) -> Doubled:
        """Product with a matrix of shape (columns, any), to about 2**-104 of the product of absolute values."""
        cut, exponents = _cut(right, 0, self.bits, self.count)
        stacked, inner = np.vstack(cut[::-1]), right.shape[0]
        result = Doubled.of(np.zeros((len(self.slices), right.shape[1])))
        for level in range(self.count, 0, -1):
            used = level * inner
            exact = self.slices[:, :used] @ stacked[len(stacked) - used :]
            result = result + Doubled.of(np.ldexp(exact, -self.bits * (level + 1)))
        return result.ldexp(self.exponents + exponents)


def _slicing(inner: int) -> tuple[int, int]:
    """Bits and number of slices: sums over ``inner`` times that number stay integers below 2**53."""
    wanted = 110 + max(inner, 1).bit_length()
    for count in range(4, 64):
        bits = (53 - (count * inner).bit_length()) // 2
        if bits * count >= wanted:
            return bits, count
    raise ValueError(f"products over {inner} terms are too long for slices of float64")


def _cut(matrix: Doubled, axis: int, bits: int, count: int) -> tuple[list[Array], npt.NDArray[np.int64]]:
    largest = np.max(np.abs(matrix.hi), axis=axis, keepdims=True, initial=0.0)
    exponents = np.frexp(largest)[1].astype(np.int64)
    rest = matrix.ldexp(-exponents)
    cut = []
    for _ in range(count):
        raised = rest.ldexp(bits)
        whole = np.rint(raised.hi)
        cut.append(whole)
        rest = Doubled(*two_sum(raised.hi - whole, raised.lo))
    return cut, exponents


def certainly_rounded(value: Doubled, bound: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether every number within ``bound`` of ``value`` rounds to ``value.hi`` (Ziv's test).

    Examples:
        >>> certainly_rounded(Doubled(np.array([1.0, 1.0]), np.array([1e-20, 2.0**-53])), 1e-25).tolist()
        [True, False]
    """
    wide = np.asarray(bound) * (1.0 + 2.0**-40) + np.abs(value.lo) * 2.0**-50
    result: npt.NDArray[np.bool_] = (value.hi + (value.lo + wide) == value.hi) & (
        value.hi + (value.lo - wide) == value.hi
    )
    return result


def stacked(parts: Iterable[Doubled], axis: int = 1) -> Doubled:
    """Matrices side by side (``axis`` 1) or one under the other (0)."""
    pieces = list(parts)
    return Doubled(
        np.concatenate([p.hi for p in pieces], axis=axis), np.concatenate([p.lo for p in pieces], axis=axis)
    )


def _renormalised(high: Array, low: Array) -> tuple[Array, Array]:
    rounded = high + low
    return rounded, low - (rounded - high)


def _halves(a: Array) -> tuple[Array, Array]:
    raised = _SPLITTER * a
    high = raised - (raised - a)
    return high, a - high
