"""Words of a block of rows: split, hashed and numbered from their folded text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imine_kernels.folding import fold_rows
from imine_kernels.hashing import SEED, mix_inner, mix_last
from imine_kernels.jit import helper, kernel
from imine_kernels.unicode_tables import WordTables
from imine_kernels.views import (
    address_of,
    count_ones,
    load_eight,
    longs_at,
    nonzero_bytes,
    trailing_zeros,
    uints_at,
    ulongs_at,
)

_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_HIGH_BITS = np.uint64(0x8080808080808080)


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


@helper
def _find_words(folded, starts, rows, edges, offsets):
    """Where the words of a block begin and end, from 64 bytes at once; the words of its longest row."""
    base, n_edges, longest, edge_of = address_of(folded), 0, 0, longs_at(address_of(edges))
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
        longest = max(longest, offsets[row + 1] - offsets[row])
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
    base, edge_of = address_of(folded), longs_at(address_of(edges))
    hash_of, length_of = ulongs_at(address_of(hashes)), uints_at(address_of(characters))
    for k in range(count):
        begin = edge_of[2 * k]
        address, n_bytes = base + np.uint64(begin), edge_of[2 * k + 1] - begin
        if n_bytes <= 8:
            chunk = _chunk(address, n_bytes)
            state, inner = mix_last(SEED, chunk), _continuations(chunk)
        else:
            state, inner = _hash_long(address, n_bytes)
        # Zero marks a free slot of the table in number_words.
        hash_of[k] = state if state != _ZERO else _ONE
        length_of[k] = n_bytes - inner


@kernel
def read_words(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    rows: int,
    tables: WordTables,
    folded: NDArray[np.uint8],
    starts: NDArray[np.int64],
    edges: NDArray[np.int64],
    offsets: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    characters: NDArray[np.uint32],
) -> int:
    """Fold, split and hash the texts of a block of rows.

    In one kernel, since threads meet at the interpreter's lock before and after each.

    Args:
        addresses, lengths, rows, tables, folded, starts: of :func:`imine_kernels.folding.fold_rows`.
        edges: (at least the bytes of ``folded``, and eight more,) receives for every word, row by row, the position
            of its first byte and of the zero byte after it.
        offsets: (at least ``rows + 1``,) receives the number of words before each row.
        hashes: (at least half the bytes of ``folded``,) receives the hash of every word; none is zero.
        characters: (the same,) receives the length of every word in code points.

    Returns:
        Words of the longest row.
    """
    fold_rows(addresses, lengths, rows, tables, folded, starts)
    longest = _find_words(folded, starts, rows, edges, offsets)
    _hash_words(folded, edges, offsets[rows], hashes, characters)
    return longest


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
        hashes, characters, offsets: of :func:`read_words`.
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
            count_of[first + np.int64(number)] += 1
            n_types = np.uint32(n_types + np.uint32(new))
        types[row], lengths[row], squared_lengths[row] = n_types, total, squares
