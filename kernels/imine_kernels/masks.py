"""Sets of bytes as bits: the 64 bytes at an address become one number, a bit a byte, the first byte the lowest.

The compiler makes a few vector instructions of each, so that text is searched and counted 64 bytes at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from imine_kernels.jit import helper
from imine_kernels.views import bytes_at

WINDOW = 64
# Bytes of the scratch that `window_at` copies the end of a text to.
SCRATCH = 3 * WINDOW

_VECTOR = ir.VectorType(ir.IntType(8), WINDOW)
_MASK = ir.IntType(WINDOW)


def _load(context: Any, builder: Any, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, _VECTOR.as_pointer()), align=1)


def _splat(byte: int) -> Any:
    return ir.Constant(_VECTOR, [byte] * WINDOW)


def _in_range(builder: Any, vector: Any, first: int, last: int) -> Any:
    if first == last:
        return builder.icmp_unsigned("==", vector, _splat(first))
    return builder.icmp_unsigned("<=", builder.sub(vector, _splat(first)), _splat(last - first))


def mask_of(*ranges: tuple[int, int] | int | str) -> Any:
    """A function of an address: the mask of the bytes among the 64 there that lie in one of the ranges.

    Args:
        ranges: first and last byte, both included; or a byte; or a string of ASCII characters.

    Examples:
        >>> import numpy as np
        >>> from imine_kernels.jit import kernel
        >>> vowels = mask_of("aeiou")
        >>> text = np.frombuffer(b"ordinary".ljust(64), dtype=np.uint8)
        >>> find = kernel(lambda array: vowels(np.uint64(array.ctypes.data)))
        >>> bin(find(text))
        '0b101001'
    """
    pairs: list[tuple[int, int]] = []
    for entry in ranges:
        if isinstance(entry, str):
            pairs += [(byte, byte) for byte in entry.encode("ascii")]
        else:
            pairs.append((entry, entry) if isinstance(entry, int) else entry)

    @intrinsic
    def mask(typing_context: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = _load(context, builder, arguments[0])
            found = _in_range(builder, vector, *pairs[0])
            for first, last in pairs[1:]:
                found = builder.or_(found, _in_range(builder, vector, first, last))
            return builder.bitcast(found, _MASK)

        return types.uint64(types.uintp), codegen

    return mask


@intrinsic
def equal_next(typing_context: Any, address: Any) -> Any:
    """Mask of the bytes among the 64 at an address that equal the byte after them; reads 65 bytes."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        here = _load(context, builder, arguments[0])
        after = _load(context, builder, builder.add(arguments[0], ir.Constant(arguments[0].type, 1)))
        return builder.bitcast(builder.icmp_unsigned("==", here, after), _MASK)

    return types.uint64(types.uintp), codegen


@intrinsic
def _copy_window(typing_context: Any, source: Any, target: Any) -> Any:
    """Copy 64 bytes from an address to another."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = _load(context, builder, arguments[0])
        builder.store(vector, builder.inttoptr(arguments[1], _VECTOR.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp), codegen


@intrinsic
def _clear_window(typing_context: Any, target: Any) -> Any:
    """Write 64 zeros to an address."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(_splat(0), builder.inttoptr(arguments[0], _VECTOR.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.uintp), codegen


@intrinsic
def leading_zeros(typing_context: Any, number: Any) -> Any:
    """Zero bits above the highest one bit; 64 for zero."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen


@helper
def _copy_end(address, at, length, scratch):
    """Copy the end of a text, of at most 64 bytes from ``at``, and zeros after it; where it begins."""
    left, middle = np.uint64(length - at), scratch + np.uint64(WINDOW)
    _clear_window(middle + left)
    if length >= WINDOW:
        _copy_window(address + np.uint64(length - WINDOW), scratch + left)
    else:
        text, copy = bytes_at(address), bytes_at(middle)
        for k in range(at, length):
            copy[k - at] = text[k]
    return middle


@helper
def window_at(address, at, length, scratch):
    """Where the bytes of a text from ``at`` on can be read 65 at once; zeros stand after the end of the text.

    Args:
        address, length: of the text.
        at: position in the text.
        scratch: address of ``SCRATCH`` bytes; the end of the text is copied there.
    """
    return address + np.uint64(at) if at + WINDOW < length else _copy_end(address, at, length, scratch)
