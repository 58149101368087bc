"""Words of a block of rows: folded, split, hashed and numbered, each byte of text read once.

The splitter is described in docs/lexical.md. A row is first folded: word characters in lower case, a zero byte for
everything else. A word is then a run of bytes that are not zero, and is read eight bytes at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imine_kernels.jit import kernel
from imine_kernels.unicode_tables import WordTables
from imine_kernels.utf8 import JOINER, MARK, SINGLE, WORD, classify, table_pointers
from imine_kernels.views import bytes_at, count_ones, load_eight, trailing_zeros

# Zero bytes after each folded row, so that eight bytes can be read from its last one.
PADDING = 16

_SEED = np.uint64(0x9E3779B97F4A7C15)
_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_ONE = np.uint64(1)
_THREE = np.uint64(3)
_EIGHT = np.uint64(8)
_ZERO = np.uint64(0)
_LOW_HALF = np.uint64(0xFFFFFFFF)
_LOW_BITS = np.uint64(0x0101010101010101)
_HIGH_BITS = np.uint64(0x8080808080808080)

_OUTSIDE, _IN_WORD, _IN_SINGLE = 0, 1, 2
_U8 = np.uint8


@kernel
def _is_alphanumeric(byte):
    lower = _U8(byte | _U8(0x20))
    return (_U8(lower - _U8(0x61)) < _U8(26)) | (_U8(byte - _U8(0x30)) < _U8(10))


@kernel
def _is_joiner(byte):
    return (byte == _U8(0x27)) | (byte == _U8(0x2D))


@kernel
def _fold_inner(text, at, end, out, to):
    """Fold the bytes from ``at`` to ``end``, which are ASCII and have ASCII on both sides.

    Without branches, so that the compiler folds many bytes at once: 0.3 ns a byte, by a table 0.5.
    """
    for i in range(end - at):
        byte, before, after = text[at + i], text[at + i - 1], text[at + i + 1]
        lower = _U8(byte | _U8(0x20))
        letter = _U8(lower - _U8(0x61)) < _U8(26)
        digit = _U8(byte - _U8(0x30)) < _U8(10)
        joins = _is_joiner(byte) & _is_alphanumeric(before) & _is_alphanumeric(after)
        out[to + i] = lower if letter else (byte if (digit | joins) else _U8(0))


@kernel
def _fold_one(byte, attached, followed):
    """Folded byte of an ASCII character; a joiner counts between a word and a word character."""
    if _is_alphanumeric(byte):
        return _U8(byte | _U8(0x20)) if byte >= _U8(0x40) else byte
    return byte if attached and followed and _is_joiner(byte) else _U8(0)


@kernel
def _end_of_ascii(address, at, end):
    """First position from ``at`` whose byte is not ASCII, or ``end``."""
    text = bytes_at(address)
    while at + 8 <= end:
        high = load_eight(address + np.uint64(at)) & _HIGH_BITS
        if high != _ZERO:
            return at + np.int64(trailing_zeros(high) >> _THREE)
        at += 8
    while at < end and text[at] < 0x80:
        at += 1
    return at


@kernel
def _starts_word(text, at, end, tables):
    return at < end and classify(text, at, end, tables)[0] == WORD


@kernel
def _fold_run(text, at, stop, end, tables, state, out, to):
    """Fold the ASCII run from ``at`` to ``stop`` in a text that ends at ``end``; the new state and position."""
    if state == _IN_SINGLE:
        out[to] = 0
        to += 1
    last = stop - 1
    if at < last:
        out[to] = _fold_one(text[at], state == _IN_WORD, _is_alphanumeric(text[at + 1]))
        _fold_inner(text, at + 1, last, out, to + 1)
        to += last - at
        attached = _is_alphanumeric(text[last - 1])
    else:
        attached = state == _IN_WORD
    folded = text[last]
    followed = attached and _is_joiner(folded) and _starts_word(text, stop, end, tables)
    folded = _fold_one(folded, attached, followed)
    out[to] = folded
    return (_IN_WORD if folded != 0 else _OUTSIDE), to + 1


@kernel
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


@kernel
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


@kernel
def _fold_row(address, length, tables, out, to):
    """Write the folded text of a row and its padding; the position after them."""
    text = bytes_at(address)
    at, state = 0, _OUTSIDE
    while at < length:
        stop = _end_of_ascii(address, at, length)
        if stop > at:
            state, to = _fold_run(text, at, stop, length, tables, state, out, to)
            at = stop
        while at < length and text[at] >= 0x80:
            state, at, to = _fold_character(text, at, length, tables, state, out, to)
    for _ in range(PADDING):
        out[to] = 0
        to += 1
    return to


def folded_size(rows: int, n_bytes: int) -> int:
    """Bytes that the folded text of a block can need at most.

    A character of one byte stays one; of two can become three; one of three can be preceded by a zero byte.

    Examples:
        >>> folded_size(1, 10)
        36
    """
    return 2 * n_bytes + PADDING * rows


@kernel
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
    out, to = bytes_at(np.uint64(folded.ctypes.data)), 0
    for row in range(rows):
        starts[row] = to
        to = _fold_row(addresses[row], max(lengths[row], 0), pointers, out, to)
    starts[rows] = to


@kernel
def _mix(state, chunk):
    mixed = (state ^ chunk) * _FACTOR
    return mixed ^ (mixed >> _HALF)


@kernel
def _characters(chunk):
    """Bytes of a chunk, zero or not, that begin a character: all that are not 10xxxxxx."""
    return np.uint32(_EIGHT - count_ones(chunk & ~(chunk << _ONE) & _HIGH_BITS))


@kernel
def _read_word(base, at):
    """Hash of the word that begins at ``at``, its characters, and the position of the zero byte after it."""
    state, characters = _SEED, np.uint32(0)
    while True:
        chunk = load_eight(base + np.uint64(at))
        # The lowest bit set marks the first zero byte.
        zero = (chunk - _LOW_BITS) & ~chunk & _HIGH_BITS
        if zero == _ZERO:
            state, at = _mix(state, chunk), at + 8
            characters += _characters(chunk)
            continue
        n_bytes = trailing_zeros(zero) >> _THREE
        if n_bytes > _ZERO:
            chunk &= (_ONE << (n_bytes << _THREE)) - _ONE
            state = _mix(state, chunk)
            characters += _characters(chunk) - np.uint32(_EIGHT - n_bytes)
        return state, characters, at + np.int64(n_bytes)


@kernel
def hash_words(
    folded: NDArray[np.uint8],
    starts: NDArray[np.int64],
    rows: int,
    hashes: NDArray[np.uint64],
    characters: NDArray[np.uint32],
    offsets: NDArray[np.int64],
) -> None:
    """Hashes of the words of a block, and their lengths.

    Args:
        folded, starts: of :func:`fold_rows`.
        rows: rows of the block.
        hashes: (at least half the bytes of ``folded``,) receives the hash of every word, row by row.
        characters: (the same,) receives the length of every word in code points.
        offsets: (at least ``rows + 1``,) receives where the words of each row begin in ``hashes``.
    """
    base, text = np.uint64(folded.ctypes.data), bytes_at(np.uint64(folded.ctypes.data))
    count = 0
    for row in range(rows):
        offsets[row] = count
        at, end = starts[row], starts[row + 1] - PADDING
        while at < end:
            if text[at] == 0:
                chunk = load_eight(base + np.uint64(at))
                at += np.int64(trailing_zeros(chunk) >> _THREE)
                continue
            hashes[count], characters[count], at = _read_word(base, at)
            count += 1
            at += 1
    offsets[rows] = count


@kernel
def number_words(
    hashes: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    rows: int,
    table: NDArray[np.uint64],
    marks: NDArray[np.uint64],
    last_mark: int,
    ids: NDArray[np.uint32],
    types: NDArray[np.int64],
) -> int:
    """Number the words of each row from 0 in order of first occurrence.

    A slot of the table holds ``mark << 32 | id`` and is free unless it bears the mark of this row. Marks grow from
    row to row, so that nothing is cleared between rows.

    Args:
        hashes, offsets: of :func:`hash_words`.
        rows: rows of the block.
        table, marks: (a power of two, at least twice the words of the longest row,) scratch; ``marks`` starts as
            zeros and belongs to ``last_mark``.
        last_mark: the last mark that was used in ``marks``.
        ids: (as ``hashes``) receives the number of every word within its row.
        types: (at least ``rows``,) receives the number of different words of each row.

    Returns:
        The last mark used.
    """
    for row in range(rows):
        first, stop = offsets[row], offsets[row + 1]
        size = 16
        while size < 2 * (stop - first):
            size *= 2
        last_mark += 1
        mask, mark, n_types = np.uint64(size - 1), np.uint64(last_mark) << _HALF, np.uint32(0)
        for k in range(first, stop):
            word = hashes[k]
            slot = word & mask
            # Whether a word is new is as good as random: it decides what is written, not which way is taken.
            while (marks[slot] >= mark) & (table[slot] != word):
                slot = (slot + _ONE) & mask
            found = marks[slot]
            new = found < mark
            found = mark | np.uint64(n_types) if new else found
            table[slot], marks[slot] = word, found
            n_types += np.uint32(new)
            ids[k] = np.uint32(found & _LOW_HALF)
        types[row] = n_types
    return last_mark
