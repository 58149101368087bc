"""Words of a block of rows: split, hashed and numbered from their folded text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imine_kernels.folding import PADDING, fold_rows
from imine_kernels.hashing import SEED, mix_inner, mix_last
from imine_kernels.jit import helper, kernel
from imine_kernels.unicode_tables import WordTables
from imine_kernels.views import (
    ViewColumn,
    address_of,
    count_ones,
    load_eight,
    locate,
    nonzero_bytes,
    trailing_zeros,
    uints_at,
    ulongs_at,
)

_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_HIGH_BITS = np.uint64(0x8080808080808080)


@helper
def folded_size(rows: int, n_bytes: int) -> int:
    """Bytes that the folded text of a block can need at most.

    A character of one byte stays one; of two can become three; one of three can be preceded by a zero byte. The last
    64 bytes are read, not written, where words are looked for.

    Examples:
        >>> folded_size(1, 10)
        100
    """
    return 2 * n_bytes + PADDING * rows + 64


def most_words(folded: int) -> int:
    """Words that a folded text of this size can have, and room for the positions that are written at once.

    A word has a byte at least, and a zero after it; eight positions are written at once.

    Examples:
        >>> most_words(100)
        58
    """
    return folded // 2 + 8


@helper
def table_size(n_words: int) -> int:
    """Slots of the hash table of a row with this many words: a power of two, at least four times as many.

    Examples:
        >>> table_size(5), table_size(300)
        (32, 2048)
    """
    size = 16
    while size < 4 * n_words:
        size *= 2
    return size


class WordBuffers(NamedTuple):
    """Arrays that receive the words of a block, row by row, and scratch.

    Attributes:
        addresses: (rows,) of the texts, see :func:`imine_kernels.views.locate_rows`.
        lengths: (rows,) bytes of the texts.
        folded: (at least :func:`folded_size`,) see :func:`imine_kernels.folding.fold_rows`.
        starts: (rows + 1,) where each row begins in ``folded``.
        edges: (twice :func:`most_words`,) for every word the position of its first byte and of the zero byte after it.
        offsets: (rows + 1,) number of words before each row.
        n_words: (rows,) number of words; -1 for a null row.
        hashes: (:func:`most_words`,) hash of every word; none is zero.
        characters: (the same,) length of every word in code points.
        ids: (the same,) number of every word within its row, from 0 in order of first occurrence.
        counts: (the same,) from ``offsets[row]`` on, how often each different word of the row occurs.
        types: (rows,) number of different words.
        word_characters, squared_word_characters: (rows,) sums over the words of their length in code points and of its
            square.
        table, table_ids: (at least :func:`table_size`,) scratch.
    """

    addresses: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    folded: NDArray[np.uint8]
    starts: NDArray[np.int64]
    edges: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    n_words: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    characters: NDArray[np.uint32]
    ids: NDArray[np.uint32]
    counts: NDArray[np.uint32]
    types: NDArray[np.int64]
    word_characters: NDArray[np.int64]
    squared_word_characters: NDArray[np.int64]
    table: NDArray[np.uint64]
    table_ids: NDArray[np.uint32]


@helper
def _positions(bits, at, positions, count):
    """Write where the bits are, eight at a time, since a loop over an unknown number mispredicts; their number."""
    total, done = np.int64(count_ones(bits)), 0
    while done < total:
        for k in range(8):
            positions[count + done + k] = np.uint32(at + np.int64(trailing_zeros(bits)))
            bits &= bits - _ONE
        done += 8
    return count + total


@helper
def _find_words(buffers, rows):
    """Where the words of a block begin and end, from 64 bytes at once; the words of its longest row."""
    base, n_edges, longest, edge_of = address_of(buffers.folded), 0, 0, uints_at(address_of(buffers.edges))
    starts, offsets = buffers.starts, buffers.offsets
    offsets[0] = 0
    for row in range(rows):
        at, stop, before = starts[row], starts[row + 1], _ZERO
        while at < stop:
            word = nonzero_bytes(base + np.uint64(at))
            if stop - at < 64:
                word &= (_ONE << np.uint64(stop - at)) - _ONE
            n_edges = _positions(word ^ ((word << _ONE) | before), at, edge_of, n_edges)
            before = word >> np.uint64(63)
            at += 64
        offsets[row + 1] = n_edges >> 1
        n_words = offsets[row + 1] - offsets[row]
        longest = max(longest, n_words)
        buffers.n_words[row] = n_words if buffers.lengths[row] >= 0 else -1
    return longest


@helper
def _chunk(address, n_bytes):
    """The first bytes of eight at an address, one to eight; the others as zeros."""
    return load_eight(address) & (~_ZERO >> np.uint64(64 - 8 * n_bytes))


@helper
def _continuations(chunk):
    """Bytes of a chunk that continue a character: 10xxxxxx."""
    return np.int64(count_ones(chunk & ~(chunk << _ONE) & _HIGH_BITS))


@helper
def _hash_long(address, n_bytes):
    """Hash of a word of more than eight bytes, and how many of them continue a character."""
    state, inner, done = SEED, 0, 0
    while n_bytes - done > 8:
        chunk = load_eight(address + np.uint64(done))
        state, inner, done = mix_inner(state, chunk), inner + _continuations(chunk), done + 8
    chunk = _chunk(address + np.uint64(done), n_bytes - done)
    return mix_last(state, chunk), inner + _continuations(chunk)


@helper
def _hash_words(folded, edges, count, hashes, characters):
    """Hash and length of every word of a block."""
    base, edge_of = address_of(folded), uints_at(address_of(edges))
    hash_of, length_of = ulongs_at(address_of(hashes)), uints_at(address_of(characters))
    for k in range(count):
        begin = np.int64(edge_of[2 * k])
        address, n_bytes = base + np.uint64(begin), np.int64(edge_of[2 * k + 1]) - begin
        if n_bytes <= 8:
            chunk = _chunk(address, n_bytes)
            state, inner = mix_last(SEED, chunk), _continuations(chunk)
        else:
            state, inner = _hash_long(address, n_bytes)
        # Zero marks a free slot of the table in _number_words.
        hash_of[k] = state if state != _ZERO else _ONE
        length_of[k] = n_bytes - inner


@helper
def _number_words(buffers, rows):
    """Number the words of each row, count each, and add up their lengths."""
    offsets = buffers.offsets
    hash_of, length_of = ulongs_at(address_of(buffers.hashes)), uints_at(address_of(buffers.characters))
    slots, numbers = ulongs_at(address_of(buffers.table)), uints_at(address_of(buffers.table_ids))
    id_of, count_of = uints_at(address_of(buffers.ids)), uints_at(address_of(buffers.counts))
    for row in range(rows):
        first, stop = offsets[row], offsets[row + 1]
        size = table_size(stop - first)
        for k in range(size):
            slots[k] = _ZERO
        for k in range(first, stop):
            count_of[k] = np.uint32(0)
        total, squares = 0, 0
        for k in range(first, stop):
            length = np.int64(length_of[k])
            total += length
            squares += length * length
        mask, n_types = np.uint64(size - 1), np.uint32(0)
        for k in range(first, stop):
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
            count_of[first + np.int64(number)] += np.uint32(1)
            n_types = np.uint32(n_types + np.uint32(new))
        buffers.types[row] = n_types
        buffers.word_characters[row], buffers.squared_word_characters[row] = total, squares


@kernel
def read_words(
    column: ViewColumn,
    start: int,
    stop: int,
    max_bytes: int,
    tables: WordTables,
    buffers: WordBuffers,
    numbered: bool,
) -> tuple[int, int, int]:
    """Find, fold, split, hash and number the texts of a block of rows.

    In one kernel, since threads meet at the interpreter's lock before and after each. It stops where a buffer is too
    small, so that one as large as what it returns needs can be given.

    Args:
        column, start, stop, max_bytes: of :func:`imine_kernels.views.locate_rows`.
        tables: classes and folds of characters.
        buffers: receive the block; ``ids`` and what follows only where ``numbered``.
        numbered: whether the words are numbered.

    Returns:
        Rows of the block; their bytes, for which :func:`folded_size` tells what ``folded`` needs; words of the longest
        row, for which :func:`table_size` tells what ``table`` needs, or -1 where ``folded`` is too small.

    Raises:
        ValueError: a view points outside its buffers.
    """
    rows, n_bytes = locate(column, start, stop, max_bytes, buffers.addresses, buffers.lengths)
    if folded_size(rows, n_bytes) > buffers.folded.size:
        return rows, n_bytes, -1
    fold_rows(buffers.addresses, buffers.lengths, rows, tables, buffers.folded, buffers.starts)
    longest = _find_words(buffers, rows)
    _hash_words(buffers.folded, buffers.edges, buffers.offsets[rows], buffers.hashes, buffers.characters)
    if numbered and table_size(longest) <= buffers.table.size:
        _number_words(buffers, rows)
    return rows, n_bytes, longest
