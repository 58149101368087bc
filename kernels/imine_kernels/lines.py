"""Duplicate lines and paragraphs of each row, as Gopher's filters count them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imine_kernels.classes import SPACE, class_at, class_before, class_pointers
from imine_kernels.hashing import SEED, mix_inner
from imine_kernels.jit import helper, kernel
from imine_kernels.masks import SCRATCH, WINDOW, equal_next, mask_of, window_at
from imine_kernels.unicode_tables import CharacterTables
from imine_kernels.views import address_of, bytes_at, count_ones, load_eight, longs_at, trailing_zeros

# Columns of the result of `count_duplicates`.
DUPLICATES = (
    "lines",
    "duplicate_lines",
    "duplicate_line_characters",
    "paragraphs",
    "duplicate_paragraphs",
    "duplicate_paragraph_characters",
)

_line_breaks = mask_of("\n")

_LINE_BREAK = 0x0A
# Typed: numba compiles a helper once more for a plain literal.
_START, _LINES, _PARAGRAPHS = np.int64(0), np.int64(1), np.int64(2)
_NO_MARK, _FIRST_MARK = np.int64(0), np.int64(1)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


@helper
def _count_breaks(address, length, scratch):
    """Line breaks of a text, and how many of them another one follows."""
    breaks = pairs = _ZERO
    for base in range(0, length, WINDOW):
        window = window_at(address, base, length, scratch)
        found = _line_breaks(window)
        breaks += count_ones(found)
        pairs += count_ones(found & equal_next(window))
    return np.int64(breaks), np.int64(pairs)


@helper
def _place_breaks(address, length, scratch, positions):
    """Write where the line breaks of a text are."""
    found = 0
    for base in range(0, length, WINDOW):
        mask = _line_breaks(window_at(address, base, length, scratch))
        while mask != _ZERO:
            positions[found] = base + np.int64(trailing_zeros(mask))
            mask &= mask - _ONE
            found += 1


@helper
def _hash_bytes(address, start, stop, length):
    """Hash of the bytes from ``start`` to ``stop`` of a text of ``length`` bytes.

    Two states take turns, since each waits for its own last product. The first is mixed once more before they meet, or
    lines with their chunks exchanged between the two would be equal.
    """
    even, odd, at = SEED ^ np.uint64(stop - start), SEED, start
    while at + 16 <= stop:
        even = mix_inner(even, load_eight(address + np.uint64(at)))
        odd = mix_inner(odd, load_eight(address + np.uint64(at + 8)))
        at += 16
    if at + 8 <= stop:
        even, at = mix_inner(even, load_eight(address + np.uint64(at))), at + 8
    left = stop - at
    if left > 0:
        odd = mix_inner(odd, _last_bytes(address, stop, left, length))
    return mix_inner(mix_inner(SEED, even), odd)


@helper
def _last_bytes(address, stop, left, length):
    """One to seven bytes in front of ``stop``, read with as many others of the text as make eight."""
    if stop - left + 8 <= length:
        return load_eight(address + np.uint64(stop - left)) & ((_ONE << np.uint64(8 * left)) - _ONE)
    if stop >= 8:
        return load_eight(address + np.uint64(stop - 8)) >> np.uint64(64 - 8 * left)
    text, last = bytes_at(address), _ZERO
    for k in range(left):
        last |= np.uint64(text[stop - left + k]) << np.uint64(8 * k)
    return last


@helper
def _is_known(word, table, marks, mask, mark):
    """Whether a hash was entered under this mark before; enters it."""
    slot = word & mask
    while marks[slot] == mark:
        if table[slot] == word:
            return True
        slot = (slot + _ONE) & mask
    table[slot], marks[slot] = word, mark
    return False


@helper
def _count_starts(text, start, stop):
    """Characters of valid UTF-8: bytes that are not 10xxxxxx."""
    characters = 0
    for at in range(start, stop):
        characters += (text[at] & 0xC0) != 0x80
    return characters


@helper
def _read_parts(address, start, stop, length, breaks, least, table, marks, mark):
    """Parts between runs of at least ``least`` line breaks: their number, the duplicates, their characters.

    Args:
        address, length: of the text.
        start, stop: where its first part begins and its last one ends.
        breaks: pointer to the positions of its line breaks, and their number.
        table, marks, mark: where duplicates are looked for; with no mark they are not.
    """
    positions, n_breaks = breaks
    text, mask = bytes_at(address), np.uint64(table.size - 1)
    parts, duplicates, characters, k = 0, 0, 0, 0
    while k < n_breaks and positions[k] < start:
        k += 1
    while True:
        here = after = stop
        if k < n_breaks and positions[k] < stop:
            here, k = positions[k], k + 1
            after = here + 1
            while k < n_breaks and positions[k] == after:
                after, k = after + 1, k + 1
            if after - here < least:
                continue
        parts += 1
        if mark != _NO_MARK and _is_known(
            _hash_bytes(address, start, here, length), table, marks, mask, mark
        ):
            duplicates += 1
            characters += _count_starts(text, start, here)
        if here == stop:
            return parts, duplicates, characters
        start = after


@helper
def _strip(text, length, tables):
    """First position that is not white space, and the one after the last."""
    start, stop = _START, length
    while start < length:
        kind, _, n_bytes = class_at(text, start, length, tables)
        if kind != SPACE:
            break
        start += n_bytes
    while stop > start:
        kind, before = class_before(text, stop, tables)
        if kind != SPACE:
            break
        stop = before
    return start, stop


@helper
def _only_breaks(text, start, stop):
    while start < stop and text[start] == _LINE_BREAK:
        start += 1
    return start == stop


@helper
def _count_row(address, length, breaks, pairs, tables, table, marks, mark, counts):
    """Fill the counts of a row that has line breaks; two marks from ``mark`` on are used."""
    text = bytes_at(address)
    lines, duplicates, characters = _read_parts(
        address, _START, length, length, breaks, _LINES, table, marks, mark
    )
    counts[0], counts[1], counts[2] = lines, duplicates, characters
    if pairs == 0:
        return
    start, stop = _strip(text, length, tables)
    # Without a duplicate line there is no duplicate paragraph, unless stripping changed the first or last line.
    whole = _only_breaks(text, _START, start) and _only_breaks(text, stop, length)
    mark = _NO_MARK if duplicates == 0 and whole else mark + 1
    parts, duplicates, characters = _read_parts(
        address, start, stop, length, breaks, _PARAGRAPHS, table, marks, mark
    )
    counts[3], counts[4], counts[5] = parts, duplicates, characters


@kernel
def count_duplicates(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    rows: int,
    tables: CharacterTables,
    counts: NDArray[np.int64],
) -> None:
    """Count the lines and paragraphs of a block of rows that repeat an earlier one of the same row.

    Lines are parted by runs of line breaks, paragraphs by runs of two and more. The white space around a row is
    removed for its paragraphs, not for its lines: a row that begins or ends with a line break has an empty line
    there, and one that does both has an empty duplicate. Two parts are equal when their 64-bit hashes are.

    Args:
        addresses, lengths: (at least ``rows``,) of :func:`imine_kernels.views.locate_rows`.
        rows: rows of the block.
        tables: classes of characters, which say what white space is.
        counts: (at least ``rows``, 6) receives what ``DUPLICATES`` names; characters are code points. An empty or
            a null row has one line and one paragraph.
    """
    scratch, pointers = np.empty(SCRATCH, dtype=np.uint8), class_pointers(tables)
    table, marks, mark = np.empty(256, dtype=np.uint64), np.zeros(256, dtype=np.int64), _FIRST_MARK
    positions = np.empty(128, dtype=np.int64)
    for row in range(rows):
        # Addresses are taken in the loop: what is not used any more after them is let go.
        length, spare = max(lengths[row], 0), address_of(scratch)
        n_breaks, pairs = _count_breaks(addresses[row], length, spare)
        counts[row] = 0
        counts[row, 0] = counts[row, 3] = 1
        if n_breaks == 0:
            continue
        if table.size < 2 * (n_breaks + 1):
            size = table.size
            while size < 2 * (n_breaks + 1):
                size *= 2
            table, marks = np.empty(size, dtype=np.uint64), np.zeros(size, dtype=np.int64)
            positions = np.empty(size // 2, dtype=np.int64)
        breaks = longs_at(address_of(positions)), n_breaks
        _place_breaks(addresses[row], length, spare, breaks[0])
        _count_row(addresses[row], length, breaks, pairs, pointers, table, marks, mark, counts[row])
        mark += 2
