"""Repeated runs of words, and words found in a list or in another text, for a block of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imine_kernels.hashing import FACTOR, HALF
from imine_kernels.jit import helper, kernel
from imine_kernels.views import address_of, longs_at, uints_at, ulongs_at
from imine_kernels.words import table_size

LONGEST = 10  # words of the longest n-gram that is counted
TOP = 4  # words of the longest n-gram whose most frequent one is measured

_ZERO = np.uint64(0)
_ONE = np.uint64(1)


@helper
def _repeated_words(id_of, length_of, count_of, first, stop, before, positions, classes):
    """Positions of the words that occur twice or more, with their ids; their number.

    ``before`` receives the characters of the words before each, and of all.
    """
    found, total = 0, 0
    for k in range(stop - first):
        before[k] = total
        total += np.int64(length_of[first + k])
        number = np.int64(id_of[first + k])
        positions[found], classes[found] = k, number
        found += np.int64(count_of[first + number] > 1)
    before[stop - first] = total
    return found


@helper
def _classify_pairs(positions, classes, found, table, numbers, counts, keys):
    """N-grams from two repeated (n - 1)-grams that stand one word apart: numbered in order of first occurrence.

    ``positions`` and ``classes`` are overwritten by those of the n-grams; their number and that of the classes.
    """
    kept = 0
    for k in range(found - 1):
        # Which ones stand side by side is as good as random: nothing branches on it, here and below.
        keys[kept] = ((classes[k] + 1) << 32) | classes[k + 1]
        at = positions[k]
        positions[kept] = at
        kept += np.int64(positions[k + 1] == at + 1)
    size = 16
    while size < 2 * kept:
        size *= 2
    for k in range(size):
        table[k] = _ZERO
    for k in range(kept):
        counts[k] = 0
    mask, n_classes = np.uint64(size - 1), np.uint32(0)
    for k in range(kept):
        key = np.uint64(keys[k])
        slot = (key * FACTOR) >> HALF & mask
        found_key = table[slot]
        while (found_key != _ZERO) & (found_key != key):
            slot = (slot + _ONE) & mask
            found_key = table[slot]
        new, known = found_key == _ZERO, numbers[slot]
        number = np.uint32(n_classes if new else known)
        table[slot], numbers[slot], classes[k] = key, number, number
        counts[number] += 1
        n_classes = np.uint32(n_classes + np.uint32(new))
    return kept, np.int64(n_classes)


@helper
def _keep_repeated(positions, classes, found, counts, n_classes, renumbered):
    """Drop the n-grams that occur once and close the gaps in their numbers; the numbers of both that are left."""
    kept_classes, kept = 0, 0
    for number in range(n_classes):
        renumbered[number] = kept_classes if counts[number] > 1 else -1
        counts[kept_classes] = counts[number]
        kept_classes += np.int64(counts[number] > 1)
    for k in range(found):
        number = renumbered[classes[k]]
        positions[kept], classes[kept] = positions[k], number
        kept += np.int64(number >= 0)
    return kept, kept_classes


@helper
def _duplicate_characters(positions, classes, found, n, before, seen, n_classes):
    """Characters of the n-grams that occurred earlier in a scan that steps over each repetition."""
    for number in range(n_classes):
        seen[number] = 0
    total, free = 0, 0
    for k in range(found):
        at = positions[k]
        if at < free:
            continue
        if seen[classes[k]] != 0:
            total += before[at + n] - before[at]
            free = at + n
        seen[classes[k]] = 1
    return total


@helper
def _top_characters(positions, classes, found, n, before, counts, n_classes):
    """Characters of the most frequent n-gram, its spaces included, times its count; of equals the first."""
    best, top = 1, -1
    for number in range(n_classes):
        if counts[number] > best:
            best, top = counts[number], number
    k = 0
    while top >= 0 and classes[k] != top:
        k += 1
    at = positions[k] if top >= 0 else 0
    return best * (before[at + n] - before[at] + n - 1)


@kernel
def measure_repetition(
    ids: NDArray[np.uint32],
    characters: NDArray[np.uint32],
    counts: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    rows: int,
    table: NDArray[np.uint64],
    table_ids: NDArray[np.uint32],
    scratch: NDArray[np.int64],
    duplicate: NDArray[np.int64],
    top: NDArray[np.int64],
) -> None:
    """Characters in repeated n-grams of each row, after Rae et al. (2021), arXiv 2112.11446, table A1.

    An n-gram can only be repeated where both its (n - 1)-grams are, so each length is searched among the repeated
    ones of the length before, which are few.

    Args:
        ids, characters, counts, offsets: of :class:`imine_kernels.words.WordBuffers`.
        rows: rows of the block.
        table, table_ids: scratch, of :class:`imine_kernels.words.WordBuffers`.
        scratch: (at least five times the words of the longest row and one,) scratch.
        duplicate: (rows, 9) receives for n from 2 to 10 the characters of the n-grams that occurred before, in a
            scan that steps over each repetition.
        top: (rows, 3) receives for n from 2 to 4 the characters of the most frequent n-gram with single spaces
            between its words, times its count; -1 with fewer than n words.
    """
    id_of, length_of, count_of = (
        uints_at(address_of(ids)),
        uints_at(address_of(characters)),
        uints_at(address_of(counts)),
    )
    slots, numbers = ulongs_at(address_of(table)), uints_at(address_of(table_ids))
    part = np.uint64(8 * (scratch.size // 5))
    before = longs_at(address_of(scratch))
    positions = longs_at(address_of(scratch) + part)
    classes = longs_at(address_of(scratch) + np.uint64(2) * part)
    grams = longs_at(address_of(scratch) + np.uint64(3) * part)
    marks = longs_at(address_of(scratch) + np.uint64(4) * part)
    for row in range(rows):
        first, stop = offsets[row], offsets[row + 1]
        found = _repeated_words(id_of, length_of, count_of, first, stop, before, positions, classes)
        for n in range(2, LONGEST + 1):
            duplicate[row, n - 2], n_classes = 0, 0
            if found > 0:
                found, n_classes = _classify_pairs(positions, classes, found, slots, numbers, grams, marks)
                found, n_classes = _keep_repeated(positions, classes, found, grams, n_classes, marks)
                duplicate[row, n - 2] = _duplicate_characters(
                    positions, classes, found, n, before, marks, n_classes
                )
            if n <= TOP:
                top[row, n - 2] = -1
                if stop - first >= n:
                    top[row, n - 2] = _top_characters(positions, classes, found, n, before, grams, n_classes)


@helper
def _slot_of(slots, mask, word):
    """Where a hash stands in a table, or the free slot that it would take."""
    slot = word & mask
    while (slots[slot] != _ZERO) & (slots[slot] != word):
        slot = (slot + _ONE) & mask
    return slot


@helper
def _count_known(slots, mask, hash_of, first, stop):
    """How many of the hashes from ``first`` to ``stop`` are in a table."""
    total = 0
    for k in range(first, stop):
        total += np.int64(slots[_slot_of(slots, mask, hash_of[k])] == hash_of[k])
    return total


@kernel
def count_members(
    hashes: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    rows: int,
    members: NDArray[np.uint64],
    found: NDArray[np.int64],
) -> None:
    """Words of each row that are in a set.

    Args:
        hashes, offsets: of :class:`imine_kernels.words.WordBuffers`.
        rows: rows of the block.
        members: (a power of two,) hash table of the set, zero where free, the slot a hash's lowest bits.
        found: (rows,) receives the counts.
    """
    mask, slots, hash_of = (
        np.uint64(members.size - 1),
        ulongs_at(address_of(members)),
        ulongs_at(address_of(hashes)),
    )
    for row in range(rows):
        found[row] = _count_known(slots, mask, hash_of, offsets[row], offsets[row + 1])


@kernel
def count_copied(
    hashes: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    other_hashes: NDArray[np.uint64],
    other_offsets: NDArray[np.int64],
    rows: int,
    table: NDArray[np.uint64],
    found: NDArray[np.int64],
) -> None:
    """Words of each row that occur in the same row of another column.

    Args:
        hashes, offsets: words of the rows.
        other_hashes, other_offsets: words of the other column's rows.
        rows: rows of the block.
        table: (at least ``table_size`` of the words of the other column's longest row,) scratch.
        found: (rows,) receives the counts.
    """
    slots, hash_of, other = (
        ulongs_at(address_of(table)),
        ulongs_at(address_of(hashes)),
        ulongs_at(address_of(other_hashes)),
    )
    for row in range(rows):
        size = table_size(other_offsets[row + 1] - other_offsets[row])
        for k in range(size):
            slots[k] = _ZERO
        mask = np.uint64(size - 1)
        for k in range(other_offsets[row], other_offsets[row + 1]):
            slots[_slot_of(slots, mask, other[k])] = other[k]
        found[row] = _count_known(slots, mask, hash_of, offsets[row], offsets[row + 1])
