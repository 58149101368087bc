"""Folding the text of a block of rows, each byte of it read once: the first half of the splitter.

The splitter is described in docs/lexical.md. A row is first folded: word characters in lower case, a zero byte for
everything else. A word is then a run of bytes that are not zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from imine_kernels.jit import helper
from imine_kernels.unicode_tables import WordTables
from imine_kernels.utf8 import JOINER, MARK, SINGLE, WORD, classify, table_pointers
from imine_kernels.views import address_of, bytes_at, high_bytes, load_eight, trailing_zeros

# Zero bytes after each folded row, so that eight bytes can be read from its last one.
PADDING = 16

_THREE = np.uint64(3)
_ZERO = np.uint64(0)
_HIGH_BITS = np.uint64(0x8080808080808080)

_OUTSIDE, _IN_WORD, _IN_SINGLE = 0, 1, 2
_U8 = np.uint8


@helper
def _is_alphanumeric(byte):
    lower = _U8(byte | _U8(0x20))
    return (_U8(lower - _U8(0x61)) < _U8(26)) | (_U8(byte - _U8(0x30)) < _U8(10))


@helper
def _is_joiner(byte):
    return (byte == _U8(0x27)) | (byte == _U8(0x2D))


@helper
def _fold_one(byte, attached, followed):
    """Folded byte of an ASCII character; a joiner counts between a word and a word character."""
    if _is_alphanumeric(byte):
        return _U8(byte | _U8(0x20)) if byte >= _U8(0x40) else byte
    return byte if attached and followed and _is_joiner(byte) else _U8(0)


def _fold_many(width: int) -> Any:
    """Folds ``width`` ASCII bytes that have ASCII on both sides, from one address to another.

    By instructions for many bytes at once: 0.3 ns a byte, by a table 0.5.
    """

    @intrinsic
    def fold(typing_context: Any, source: Any, target: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = ir.VectorType(ir.IntType(8), width)
            address, to = arguments

            def every(byte: int) -> Any:
                return ir.Constant(vector, [byte] * width)

            def load(shift: int) -> Any:
                at = builder.add(address, ir.Constant(address.type, shift))
                return builder.load(builder.inttoptr(at, vector.as_pointer()), align=1)

            def between(byte: Any, first: str, count: int) -> Any:
                return builder.icmp_unsigned("<", builder.sub(byte, every(ord(first))), every(count))

            def alphanumeric(byte: Any) -> Any:
                lower = builder.or_(byte, every(0x20))
                return builder.or_(between(lower, "a", 26), between(byte, "0", 10))

            byte, before, after = load(0), load(-1), load(1)
            joiner = builder.or_(*(builder.icmp_unsigned("==", byte, every(ord(each))) for each in "'-"))
            joins = builder.and_(joiner, builder.and_(alphanumeric(before), alphanumeric(after)))
            kept = builder.or_(between(byte, "0", 10), joins)
            lower = builder.or_(byte, every(0x20))
            folded = builder.select(between(lower, "a", 26), lower, builder.select(kept, byte, every(0)))
            builder.store(folded, builder.inttoptr(to, vector.as_pointer()), align=1)
            return context.get_dummy_value()

        return types.none(types.uintp, types.uintp), codegen

    return fold


_fold_32, _fold_8 = _fold_many(32), _fold_many(8)


@helper
def _fold_inner(source, count, target):
    """Fold ``count`` bytes, which are ASCII and have ASCII on both sides, from one address to another.

    The last ones of a run are folded together with some before them a second time: a loop over what is left would
    take as long as the rest of a short text.
    """
    if count >= 32:
        for i in range(0, count - 32, 32):
            _fold_32(source + np.uint64(i), target + np.uint64(i))
        _fold_32(source + np.uint64(count - 32), target + np.uint64(count - 32))
    elif count >= 8:
        for i in range(0, count - 8, 8):
            _fold_8(source + np.uint64(i), target + np.uint64(i))
        _fold_8(source + np.uint64(count - 8), target + np.uint64(count - 8))
    else:
        text, out = bytes_at(source), bytes_at(target)
        for i in range(count):
            joins = _is_alphanumeric(text[i - 1])
            out[i] = _fold_one(text[i], joins, _is_alphanumeric(text[i + 1]))


@helper
def _end_of_ascii(address, at, end):
    """First position from ``at`` whose byte is not ASCII, or ``end``."""
    while at + 64 <= end:
        high = high_bytes(address + np.uint64(at))
        if high != _ZERO:
            return at + np.int64(trailing_zeros(high))
        at += 64
    while at + 8 <= end:
        high = load_eight(address + np.uint64(at)) & _HIGH_BITS
        if high != _ZERO:
            return at + np.int64(trailing_zeros(high) >> _THREE)
        at += 8
    text = bytes_at(address)
    while at < end and text[at] < 0x80:
        at += 1
    return at


@helper
def _starts_word(text, at, end, tables):
    return at < end and classify(text, at, end, tables)[0] == WORD


@helper
def _fold_run(address, at, stop, end, tables, state, target, to):
    """Fold the ASCII run from ``at`` to ``stop`` in a text that ends at ``end``; the new state and position."""
    text, out = bytes_at(address), bytes_at(target)
    if state == _IN_SINGLE:
        out[to] = 0
        to += 1
    last = stop - 1
    if at < last:
        out[to] = _fold_one(text[at], state == _IN_WORD, _is_alphanumeric(text[at + 1]))
        _fold_inner(address + np.uint64(at + 1), last - at - 1, target + np.uint64(to + 1))
        to += last - at
        attached = _is_alphanumeric(text[last - 1])
    else:
        attached = state == _IN_WORD
    folded = text[last]
    followed = attached and _is_joiner(folded) and _starts_word(text, stop, end, tables)
    folded = _fold_one(folded, attached, followed)
    out[to] = folded
    return (_IN_WORD if folded != 0 else _OUTSIDE), to + 1


@helper
def _write_character(code_point, out, to):
    """Write a character as UTF-8; the position after it."""
    if code_point < 0x80:
        out[to] = code_point
        return to + 1
    if code_point < 0x800:
        out[to] = 0xC0 | (code_point >> 6)
    elif code_point < 0x10000:
        out[to] = 0xE0 | (code_point >> 12)
    else:
        out[to] = 0xF0 | (code_point >> 18)
        to += 1
        out[to] = 0x80 | ((code_point >> 12) & 0x3F)
    if code_point >= 0x800:
        to += 1
        out[to] = 0x80 | ((code_point >> 6) & 0x3F)
    out[to + 1] = 0x80 | (code_point & 0x3F)
    return to + 2


@helper
def _fold_character(text, at, end, tables, state, out, to):
    """Fold one character that is not ASCII; the new state and positions in text and output."""
    kind, folded, length = classify(text, at, end, tables)
    at += length
    if kind == JOINER:
        kind = WORD if state == _IN_WORD and _starts_word(text, at, end, tables) else 0
    if kind == WORD:
        joined, after = state == _IN_WORD, _IN_WORD
    elif kind == SINGLE:
        joined, after = False, _IN_SINGLE
    elif kind == MARK and state != _OUTSIDE:
        joined, after = True, state
    else:
        joined, after = False, _OUTSIDE
    if not joined and state != _OUTSIDE:
        out[to] = 0
        to += 1
    if after != _OUTSIDE:
        to = _write_character(folded, out, to)
    return after, at, to


@helper
def _fold_row(address, length, tables, target, to):
    """Write the folded text of a row and its padding; the position after them."""
    text, out = bytes_at(address), bytes_at(target)
    at, state = 0, _OUTSIDE
    while at < length:
        stop = _end_of_ascii(address, at, length)
        if stop > at:
            state, to = _fold_run(address, at, stop, length, tables, state, target, to)
            at = stop
        while at < length and text[at] >= 0x80:
            state, at, to = _fold_character(text, at, length, tables, state, out, to)
    for _ in range(PADDING):
        out[to] = 0
        to += 1
    return to


@helper
def fold_rows(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    rows: int,
    tables: WordTables,
    folded: NDArray[np.uint8],
    starts: NDArray[np.int64],
) -> None:
    """Fold the texts of a block of rows.

    Args:
        addresses, lengths: (at least ``rows``,) of :func:`imine_kernels.views.locate_rows`.
        rows: rows of the block.
        tables: classes and folds of characters.
        folded: (at least ``folded_size``,) receives the folded texts one after another, each padded by zeros.
        starts: (at least ``rows + 1``,) receives where each begins; the last is where the next would begin.
    """
    pointers = table_pointers(tables)
    target, to = address_of(folded), 0
    for row in range(rows):
        starts[row] = to
        to = _fold_row(addresses[row], max(lengths[row], 0), pointers, target, to)
    starts[rows] = to
