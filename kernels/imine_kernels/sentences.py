"""Sentences of each row, by the rule in docs/lexical_characters.md."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imine_kernels.classes import (
    CLOSER,
    LETTER,
    LOWER,
    SPACE,
    TERMINATOR,
    UPPER,
    WIDE,
    class_at,
    class_before,
    class_pointers,
    is_word_class,
)
from imine_kernels.jit import helper, kernel
from imine_kernels.masks import SCRATCH, WINDOW, mask_of, window_at
from imine_kernels.unicode_tables import CharacterTables
from imine_kernels.views import bytes_at, trailing_zeros

_LINE_BREAK, _SPACE, _STOP, _BRACKET = 0x0A, 0x20, 0x2E, 0x29
_ELLIPSIS, _BULLET = 0x2026, 0x2022
_NUMBER_DIGITS = 3  # the longest number of a list item

_may_end = mask_of("\n.!?", (0x80, 0xFF))

# Typed: numba compiles a helper once more for a plain literal.
_START = np.int64(0)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


@helper
def _is_digit(byte):
    return 0x30 <= byte <= 0x39


@helper
def _space_at(text, at, end, tables):
    return at < end and class_at(text, at, end, tables)[0] == SPACE


@helper
def _skip_space(text, at, end, tables):
    """Position after the white space at ``at``, and the line breaks in it."""
    breaks = 0
    while at < end:
        kind, code_point, length = class_at(text, at, end, tables)
        if kind != SPACE:
            break
        breaks += code_point == _LINE_BREAK
        at += length
    return at, breaks


@helper
def _starts_item(text, at, end, tables):
    """Whether a list item or a heading begins here: - * # or a bullet, or a short number with . or ) and space."""
    byte = text[at]
    if byte == 0x2D or byte == 0x2A or byte == 0x23:
        return True
    if byte >= 0x80:
        return class_at(text, at, end, tables)[1] == _BULLET
    digits = 0
    while digits <= _NUMBER_DIGITS and at < end and _is_digit(text[at]):
        digits, at = digits + 1, at + 1
    if not 1 <= digits <= _NUMBER_DIGITS or at == end or (text[at] != _STOP and text[at] != _BRACKET):
        return False
    return at + 1 == end or _space_at(text, at + 1, end, tables)


@helper
def _after_initial(text, stop, tables):
    """Whether one single letter stands before the full stop."""
    if stop == 0:
        return False
    kind, start = class_before(text, stop, tables)
    if not UPPER <= kind <= LETTER:
        return False
    return start == 0 or not is_word_class(class_before(text, start, tables)[0])


@helper
def _after_item_number(text, stop, tables):
    """Whether a short number that no letter or number precedes in its line stands before the full stop."""
    at = stop
    while at > 0 and stop - at <= _NUMBER_DIGITS and _is_digit(text[at - 1]):
        at -= 1
    if not 1 <= stop - at <= _NUMBER_DIGITS:
        return False
    while at > 0 and text[at - 1] != _LINE_BREAK:
        kind, at = class_before(text, at, tables)
        if is_word_class(kind):
            return False
    return True


@helper
def _has_word(text, start, stop, tables):
    """Whether a letter or number stands between two positions; searched from the end, where one is near."""
    while stop > start:
        kind, stop = class_before(text, stop, tables)
        if is_word_class(kind):
            return True
    return False


@helper
def _read_marks(text, at, end, tables):
    """The run of terminators and closers from a terminator: where it ends, its terminators, and how sure they are.

    Returns:
        Position; number of terminators; whether all of them are stops or ellipses; whether one is wide.
    """
    terminators, weak, wide = 0, True, False
    while at < end:
        kind, code_point, length = class_at(text, at, end, tables)
        if kind < CLOSER:
            break
        if kind != CLOSER:
            terminators += 1
            weak &= code_point in (_STOP, _ELLIPSIS)
            wide |= kind == WIDE
        at += length
    return at, terminators, weak, wide


@helper
def _read_end(text, at, end, tables):
    """Whether a sentence ends at a line break or terminator, and where to read on."""
    if text[at] == _LINE_BREAK:
        after, terminators, weak, wide = at, 0, True, False
    else:
        after, terminators, weak, wide = _read_marks(text, at, end, tables)
    following, breaks = _skip_space(text, after, end, tables)
    if following == end or breaks > 1 or (breaks == 1 and _starts_item(text, following, end, tables)):
        return True, following
    if terminators == 0 or (following == after and not wide):
        return False, following
    if weak and class_at(text, following, end, tables)[0] == LOWER:
        return False, following
    if weak and terminators == 1 and text[at] == _STOP:
        return not (_after_initial(text, at, tables) or _after_item_number(text, at, tables)), following
    return True, following


@helper
def _plain_end(text, at, end):
    """Where to read on after a sentence that ends in the usual way, or -1 where :func:`_read_end` must tell.

    That is a full stop after two small letters of ASCII, and then the end of the text, a space or line break and a
    capital, or an empty line and no white space.
    """
    if at < 2 or text[at] != _STOP:
        return -1
    before, last = text[at - 2], text[at - 1]
    if not ((before >= 0x61) & (before <= 0x7A) & (last >= 0x61) & (last <= 0x7A)):
        return -1
    if at + 3 >= end:
        return end if at + 1 == end else -1
    gap, first, second = text[at + 1], text[at + 2], text[at + 3]
    if ((gap == _SPACE) | (gap == _LINE_BREAK)) & (first >= 0x41) & (first <= 0x5A):
        return at + 2
    empty_line = (gap == _LINE_BREAK) & (first == _LINE_BREAK)
    return at + 3 if empty_line & (second > _SPACE) & (second < 0x7F) else -1


@helper
def _count_row(address, length, tables, scratch):
    text, spare = bytes_at(address), np.uint64(scratch.ctypes.data)
    count, since, at = 0, _START, _START
    for base in range(0, length, WINDOW):
        mask = _may_end(window_at(address, base, length, spare))
        while mask != _ZERO:
            here = base + np.int64(trailing_zeros(mask))
            mask &= mask - _ONE
            if here < at:
                continue
            # Most sentences end so, and what follows would find the same with a dozen branches.
            following = _plain_end(text, here, length) if since < here else -1
            if following >= 0:
                count, since, at = count + 1, following, following
                continue
            if text[here] >= 0x80:
                kind, _, n_bytes = class_at(text, here, length, tables)
                if kind < TERMINATOR:
                    at = here + n_bytes
                    continue
            ends, at = _read_end(text, here, length, tables)
            if ends:
                count += _has_word(text, since, here, tables)
                since = at
    return count + _has_word(text, since, length, tables)


@kernel
def count_sentences(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    rows: int,
    tables: CharacterTables,
    sentences: NDArray[np.int64],
) -> None:
    """Count the sentences of a block of rows.

    Args:
        addresses, lengths: (at least ``rows``,) of :func:`imine_kernels.views.locate_rows`.
        rows: rows of the block.
        tables: classes of characters.
        sentences: (at least ``rows``,) receives the number of sentences: at least one where the row has a letter
            or a number, else none; 0 for a null row.
    """
    scratch, pointers = np.empty(SCRATCH, dtype=np.uint8), class_pointers(tables)
    for row in range(rows):
        sentences[row] = _count_row(addresses[row], max(lengths[row], 0), pointers, scratch)
