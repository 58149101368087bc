"""Words of a block of rows: folded, split, hashed and numbered, each byte of text read once.

The splitter is described in docs/lexical.md. A row is first folded: word characters in lower case, a zero byte for
everything else. A word is then a run of bytes that are not zero, and is read eight bytes at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imine_kernels.hashing import SEED, mix_inner, mix_last
from imine_kernels.jit import helper, kernel
from imine_kernels.unicode_tables import WordTables
from imine_kernels.utf8 import JOINER, MARK, SINGLE, WORD, classify, table_pointers
from imine_kernels.views import (
    address_of,
    bytes_at,
    count_ones,
    load_eight,
    longs_at,
    nonzero_bytes,
    trailing_zeros,
    uints_at,
    ulongs_at,
)

# Zero bytes after each folded row, so that eight bytes can be read from its last one.
PADDING = 16

_ONE = np.uint64(1)
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


@helper
def _fold_one(byte, attached, followed):
    """Folded byte of an ASCII character; a joiner counts between a word and a word character."""
    if _is_alphanumeric(byte):
        return _U8(byte | _U8(0x20)) if byte >= _U8(0x40) else byte
    return byte if attached and followed and _is_joiner(byte) else _U8(0)


@helper
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


@helper
def _starts_word(text, at, end, tables):
    return at < end and classify(text, at, end, tables)[0] == WORD


@helper
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

    A character of one byte stays one; of two can become three; one of three can be preceded by a zero byte. The last
    64 bytes are read, not written, by :func:`find_words`.

    Examples:
        >>> folded_size(1, 10)
        100
    """
    return 2 * n_bytes + PADDING * rows + 64


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
    out, to = bytes_at(address_of(folded)), 0
    for row in range(rows):
        starts[row] = to
        to = _fold_row(addresses[row], max(lengths[row], 0), pointers, out, to)
    starts[rows] = to


@helper
def _positions(bits, at, positions, count):
    """Write where the bits are, eight at a time, since a loop over an unknown number mispredicts; their number."""
    total, done = np.int64(count_ones(bits)), 0
    while done < total:
        for k in range(8):
            positions[count + done + k] = at + np.int64(trailing_zeros(bits))
            bits &= bits - _ONE
        done += 8
    return count + total


@kernel
def find_words(
    folded: NDArray[np.uint8],
    starts: NDArray[np.int64],
    rows: int,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> None:
    """Where the words of a block begin and end, from 64 bytes at once.

    Args:
        folded, starts: of :func:`fold_rows`.
        rows: rows of the block.
        begins, ends: (at least half the bytes of ``folded``, and eight more,) receive the position of the first byte
            of every word and of the zero byte after it, row by row.
        offsets: (at least ``rows + 1``,) receives where the words of each row begin in ``begins``.
    """
    base, n_begins, n_ends = address_of(folded), 0, 0
    begin_of, end_of = longs_at(address_of(begins)), longs_at(address_of(ends))
    for row in range(rows):
        offsets[row] = n_begins
        at, stop, before = starts[row], starts[row + 1], _ZERO
        while at < stop:
            word = nonzero_bytes(base + np.uint64(at))
            if stop - at < 64:
                word &= (_ONE << np.uint64(stop - at)) - _ONE
            shifted = (word << _ONE) | before
            before = word >> np.uint64(63)
            n_begins = _positions(word & ~shifted, at, begin_of, n_begins)
            n_ends = _positions(~word & shifted, at, end_of, n_ends)
            at += 64
    offsets[rows] = n_begins


@helper
def _chunk(address, n_bytes):
    """The first bytes of eight at an address, one to eight; the others as zeros."""
    return load_eight(address) & (~_ZERO >> np.uint64(64 - 8 * n_bytes))


@helper
def _continuations(chunk):
    """Bytes of a chunk that continue a character: 10xxxxxx."""
    return np.int64(count_ones(chunk & ~(chunk << _ONE) & _HIGH_BITS))


@kernel
def hash_words(
    folded: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    count: int,
    hashes: NDArray[np.uint64],
    characters: NDArray[np.uint32],
) -> None:
    """Hash and length of every word of a block.

    Args:
        folded, begins, ends: of :func:`find_words`.
        count: words of the block.
        hashes: (at least ``count``,) receives the hash of every word.
        characters: (the same,) receives the length of every word in code points.
    """
    base = address_of(folded)
    for k in range(count):
        address, n_bytes = base + np.uint64(begins[k]), ends[k] - begins[k]
        state, inner, done = SEED, 0, 0
        while n_bytes - done > 8:
            chunk = load_eight(address + np.uint64(done))
            state, inner, done = mix_inner(state, chunk), inner + _continuations(chunk), done + 8
        chunk = _chunk(address + np.uint64(done), n_bytes - done)
        state, inner = mix_last(state, chunk), inner + _continuations(chunk)
        # Zero marks a free slot of the table in number_words.
        hashes[k] = state if state != _ZERO else _ONE
        characters[k] = n_bytes - inner


def table_size(n_words: int) -> int:
    """Slots of the hash table of a row with this many words: a power of two, at least four times as many.

    Examples:
        >>> table_size(5), table_size(300)
        (32, 2048)
    """
    return max(16, 1 << (4 * n_words - 1).bit_length()) if n_words else 16


@kernel
def number_words(
    hashes: NDArray[np.uint64],
    characters: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    rows: int,
    table: NDArray[np.uint64],
    table_ids: NDArray[np.uint32],
    ids: NDArray[np.uint32],
    counts: NDArray[np.int64],
    types: NDArray[np.int64],
    lengths: NDArray[np.int64],
    squared_lengths: NDArray[np.int64],
) -> None:
    """Number the words of each row from 0 in order of first occurrence, count each, and add up their lengths.

    Args:
        hashes, characters, offsets: of :func:`hash_words` and :func:`find_words`; no hash is zero.
        rows: rows of the block.
        table, table_ids: (at least ``table_size`` of the words of the longest row,) scratch.
        ids: (as ``hashes``) receives the number of every word within its row.
        counts: (as ``hashes``) receives from ``offsets[row]`` on how often each different word of the row occurs.
        types: (at least ``rows``,) receives the number of different words of each row.
        lengths, squared_lengths: (at least ``rows``,) receive the sums over the words of each row of their length in
            code points and of its square.
    """
    hash_of, length_of = ulongs_at(address_of(hashes)), uints_at(address_of(characters))
    slots, numbers = ulongs_at(address_of(table)), uints_at(address_of(table_ids))
    id_of, count_of = uints_at(address_of(ids)), longs_at(address_of(counts))
    for row in range(rows):
        first, stop = offsets[row], offsets[row + 1]
        size = 16
        while size < 4 * (stop - first):
            size *= 2
        for k in range(size):
            slots[k] = _ZERO
        for k in range(first, stop):
            count_of[k] = 0
        mask, n_types, total, squares = np.uint64(size - 1), np.uint32(0), 0, 0
        for k in range(first, stop):
            length = np.int64(length_of[k])
            total += length
            squares += length * length
            word = hash_of[k]
            slot = word & mask
            found = slots[slot]
            while (found != _ZERO) & (found != word):
                slot = (slot + _ONE) & mask
                found = slots[slot]
            # Whether a word is new is as good as random, so nothing branches on it: 0.9 ns a byte instead of 1.2.
            new = found == _ZERO
            known = numbers[slot]
            number = np.uint32(n_types if new else known)
            slots[slot], numbers[slot], id_of[k] = word, number, number
            count_of[first + np.int64(number)] += 1
            n_types = np.uint32(n_types + np.uint32(new))
        types[row], lengths[row], squared_lengths[row] = n_types, total, squares
