"""The rows of an Arrow string-view column as memory addresses: text is read where Arrow has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from imine_kernels.jit import helper, kernel

_INLINE = 12  # Arrow keeps strings of up to 12 bytes in the view itself


class ViewColumn(NamedTuple):
    """Buffers of one chunk of an Arrow string-view column.

    Attributes:
        views: (4 * slots,) the 16-byte views as int32; at least ``offset`` + rows of them.
        addresses: (buffers,) memory address of each data buffer.
        sizes: (buffers,) bytes in each data buffer.
        validity: bitmap, least significant bit first; empty where no row is null.
        offset: slot of the first row, in ``views`` and in ``validity``.
    """

    views: NDArray[np.int32]
    addresses: NDArray[np.uint64]
    sizes: NDArray[np.int64]
    validity: NDArray[np.uint8]
    offset: int


def _pointer_to(item: Any) -> Any:
    @intrinsic
    def pointer(typing_context: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(item)(types.uintp), codegen

    return pointer


# Pointers for the loops that run for every byte or word. A pointer handed to a helper is not reference-counted as an
# array is, and its index is not tested for being negative: numbering words took 1.5 ns a byte with arrays, 0.9 with
# pointers. Each takes an address (uint64).
bytes_at = _pointer_to(types.uint8)
shorts_at = _pointer_to(types.uint16)
ints_at = _pointer_to(types.int32)
uints_at = _pointer_to(types.uint32)
longs_at = _pointer_to(types.int64)
ulongs_at = _pointer_to(types.uint64)


@intrinsic
def address_of(typing_context: Any, array: Any) -> Any:
    """Address of the first item of an array, for the pointers above."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.uint64(array), codegen


@intrinsic
def load_eight(typing_context: Any, address: Any) -> Any:
    """The eight bytes at an address, which need not be a multiple of eight, as one number."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.load(pointer, align=1)

    return types.uint64(types.uintp), codegen


@intrinsic
def trailing_zeros(typing_context: Any, number: Any) -> Any:
    """Zero bits below the lowest one bit; 64 for zero."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen


@intrinsic
def count_ones(typing_context: Any, number: Any) -> Any:
    """One bits of a number."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), codegen


def _bits_of_64(holds: Callable[[Any, Any, Any], Any]) -> Any:
    """One bit for each of the 64 bytes at an address, the first the lowest: whether it ``holds`` beside zero."""

    @intrinsic
    def bits(typing_context: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = ir.VectorType(ir.IntType(8), 64)
            loaded = builder.load(builder.inttoptr(arguments[0], vector.as_pointer()), align=1)
            return builder.bitcast(holds(builder, loaded, ir.Constant(vector, [0] * 64)), ir.IntType(64))

        return types.uint64(types.uintp), codegen

    return bits


nonzero_bytes = _bits_of_64(lambda builder, byte, zero: builder.icmp_unsigned("!=", byte, zero))
# Bytes from 0x80 on: all that are not ASCII.
high_bytes = _bits_of_64(lambda builder, byte, zero: builder.icmp_signed("<", byte, zero))


@helper
def locate(column, start, stop, max_bytes, addresses, lengths):
    """What :func:`locate_rows` does, for kernels."""
    rows, total, has_nulls, n_buffers = 0, 0, column.validity.size > 0, column.sizes.size
    views = np.uint64(column.views.ctypes.data)
    while start + rows < stop and total < max_bytes:
        slot = column.offset + start + rows
        length = np.int64(column.views[4 * slot])
        if has_nulls and not (column.validity[slot >> 3] >> (slot & 7)) & 1:
            addresses[rows], lengths[rows] = 0, -1
        elif 0 <= length <= _INLINE:
            addresses[rows], lengths[rows] = views + np.uint64(16 * slot + 4), length
            total += length
        else:
            buffer, at = column.views[4 * slot + 2], np.int64(column.views[4 * slot + 3])
            if length < 0 or at < 0 or not 0 <= buffer < n_buffers:
                raise ValueError("a string view points to no buffer")
            if at + length > column.sizes[buffer]:
                raise ValueError("a string view ends outside its buffer")
            addresses[rows], lengths[rows] = column.addresses[buffer] + np.uint64(at), length
            total += length
        rows += 1
    return rows, total


@kernel
def locate_rows(
    column: ViewColumn,
    start: int,
    stop: int,
    max_bytes: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
) -> tuple[int, int]:
    """Where the texts of the rows from ``start`` lie, up to ``stop`` or until they have ``max_bytes`` together.

    Args:
        column: the column; text is addressed, not read.
        start, stop: rows, counted from the first of the chunk.
        max_bytes: no further row is taken once this many bytes are reached; one row is always taken.
        addresses: (at least ``stop - start``,) receives the address of each text.
        lengths: (the same,) receives its bytes; -1 for a null row.

    Returns:
        Rows taken, and their bytes together.

    Raises:
        ValueError: a view points outside its buffers.
    """
    return locate(column, start, stop, max_bytes, addresses, lengths)
