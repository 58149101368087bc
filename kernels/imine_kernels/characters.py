"""Counts of the characters of each row, and its longest run of one character."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imine_kernels.classes import DIGIT, PUNCTUATION, SPACE, UPPER, class_at, class_pointers
from imine_kernels.jit import helper, kernel
from imine_kernels.masks import SCRATCH, WINDOW, equal_next, leading_zeros, mask_of, window_at
from imine_kernels.unicode_tables import CharacterTables
from imine_kernels.views import address_of, bytes_at, count_ones, longs_at, trailing_zeros

# Columns of the result of `count_characters`.
COUNTS = ("characters", "digits", "upper", "punctuation", "non_ascii", "white_space", "longest_run")

_digits = mask_of((0x30, 0x39))
_upper = mask_of((0x41, 0x5A))
_white_space = mask_of((0x09, 0x0D), (0x1C, 0x20))
# Category P of ASCII: all signs but $ + < = > ^ ` | ~, which are symbols.
_punctuation = mask_of(
    (0x21, 0x23), (0x25, 0x2A), (0x2C, 0x2F), (0x3A, 0x3B), (0x3F, 0x40), (0x5B, 0x5D), "_{}"
)
_not_ascii = mask_of((0x80, 0xFF))

# Typed: numba compiles a helper once more for a plain literal.
_NONE = np.int64(0)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_WINDOW = np.uint64(WINDOW)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@helper
def _longest_of(pairs):
    """Longest run of ones."""
    longest = _ZERO
    while pairs != _ZERO:
        pairs >>= trailing_zeros(pairs)
        length = trailing_zeros(~pairs)
        longest = max(longest, length)
        pairs = pairs >> length if length < _WINDOW else _ZERO
    return np.int64(longest)


@helper
def _lengthen(pairs, open_run, longest):
    """Longest run so far and the run still open, both in pairs of equal neighbours, after a window of them."""
    first = np.int64(trailing_zeros(~pairs))
    longest = max(longest, open_run + first)
    if first == WINDOW:
        return longest, open_run + WINDOW
    longest = max(longest, np.int64(pairs != _ZERO))
    # Windows have a pair often, and two or three in a row seldom: few of them are searched run by run.
    twice = pairs & (pairs >> _ONE)
    if (twice if longest < 2 else twice & (pairs >> np.uint64(2))) != _ZERO:
        longest = max(longest, _longest_of(pairs))
    return longest, np.int64(leading_zeros(~pairs))


@helper
def _count_wide(text, mask, base, length, tables, state, tally):
    """Count the characters that are not ASCII in a window; where the last ends, which may be behind the window.

    Args:
        mask: the window's bytes that are not ASCII and not yet counted.
        state: end, code point and run of the last such character.
    """
    end, previous, run = state
    while mask != _ZERO:
        at = base + np.int64(trailing_zeros(mask))
        kind, code_point, n_bytes = class_at(text, at, length, tables)
        run = run + 1 if at == end and code_point == previous else 1
        end, previous = at + n_bytes, code_point
        tally[1] += np.int64(kind == DIGIT)
        tally[2] += np.int64(kind == UPPER)
        tally[3] += np.int64(kind >= PUNCTUATION)
        tally[4] += 1
        tally[5] += np.int64(kind == SPACE)
        tally[6] = max(tally[6], run)
        mask = mask & (_ALL << np.uint64(end - base)) if end - base < WINDOW else _ZERO
    return end, previous, run


@helper
def _count_row(address, length, tables, spare, tally):
    """Fill the tally of a row."""
    text = bytes_at(address)
    for k in range(len(COUNTS)):
        tally[k] = 0
    digits = upper = punctuation = white_space = not_ascii = _ZERO
    longest, open_run, state = _NONE, _NONE, (_NONE, _NONE, _NONE)
    for base in range(0, length, WINDOW):
        window = window_at(address, base, length, spare)
        digits += count_ones(_digits(window))
        upper += count_ones(_upper(window))
        punctuation += count_ones(_punctuation(window))
        white_space += count_ones(_white_space(window))
        high, pairs = _not_ascii(window), equal_next(window)
        if length - base <= WINDOW:
            pairs &= (_ONE << np.uint64(length - base - 1)) - _ONE
        longest, open_run = _lengthen(pairs & ~high, open_run, longest)
        if high != _ZERO:
            not_ascii += count_ones(high)
            fresh = high & (_ALL << np.uint64(max(state[0] - base, 0)))
            state = _count_wide(text, fresh, base, length, tables, state, tally)
    tally[0] = tally[4] + length - np.int64(not_ascii)
    tally[1] += np.int64(digits)
    tally[2] += np.int64(upper)
    tally[3] += np.int64(punctuation)
    tally[5] += np.int64(white_space)
    tally[6] = max(tally[6], longest + 1) if length > 0 else 0


@kernel
def count_characters(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    rows: int,
    tables: CharacterTables,
    counts: NDArray[np.int64],
) -> None:
    """Count the characters of a block of rows.

    A byte outside any well-formed sequence counts as one replacement character, U+FFFD.

    Args:
        addresses, lengths: (at least ``rows``,) of :func:`imine_kernels.views.locate_rows`.
        rows: rows of the block.
        tables: classes of characters.
        counts: (at least ``rows``, 7) receives the counts that ``COUNTS`` names, in code points: all characters;
            decimal digits (Nd); capitals (Lu, Lt); punctuation (P*); those that are not ASCII; white space
            (``str.isspace``); and the longest run of one code point. Zeros for an empty or a null row.
    """
    scratch, pointers = np.empty(SCRATCH, dtype=np.uint8), class_pointers(tables)
    # A row of the counts would be an array of its own, made and let go for every row.
    tally = np.empty(len(COUNTS), dtype=np.int64)
    for row in range(rows):
        # Addresses are taken in the loop: what is not used any more after them is let go.
        spare, own = address_of(scratch), longs_at(address_of(tally))
        _count_row(addresses[row], max(lengths[row], 0), pointers, spare, own)
        for k in range(len(COUNTS)):
            counts[row, k] = own[k]
