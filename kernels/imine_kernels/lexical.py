"""Words and lexical diversity of every row of a string-view column, in one pass over its bytes.

The word splitter is described in docs/lexical.md. A row is split, folded and hashed into a scratch buffer;
the hashes become dense word ids (0, 1, ... in order of first occurrence), and the measures read the ids.
Scratch buffers belong to one call and grow with its longest row: nothing is allocated for a row as such.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from imine_kernels.jit import kernel
from imine_kernels.unicode_tables import WordTables
from imine_kernels.views import ViewColumn

_WORD, _MARK, _SINGLE, _JOINER = 1, 2, 3, 4
_LOOK_CLOSER = 1  # value of WordTables.ascii
_INVALID = (0xFFFD << 3) | 1  # a byte outside any well-formed sequence: one replacement character
_INLINE = 12  # Arrow keeps strings of up to 12 bytes in the view itself

_SEED = np.uint64(0x9E3779B97F4A7C15)
_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(32)
_ONE = np.uint64(1)


def _pointer_to(item: Any) -> Any:
    @intrinsic
    def pointer(typing_context: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(item)(types.uintp), codegen

    return pointer


# Pointers made of addresses: text is read where Arrow has it, and a pointer that is handed to a helper is not
# reference-counted as an array is (with arrays the splitter ran at 62 MB/s, with pointers at 206).
_bytes_at = _pointer_to(types.uint8)
_shorts_at = _pointer_to(types.uint16)
_ints_at = _pointer_to(types.int32)
_hashes_at = _pointer_to(types.uint64)


@kernel
def _decode(text, at, end):
    """Character at a position as ``code_point << 3 | length``; never reads at or after ``end``."""
    lead = np.int64(text[at])
    if lead < 0x80:
        return (lead << 3) | 1
    if lead < 0xC2 or lead > 0xF4:
        return _INVALID
    length = 2 + (lead >= 0xE0) + (lead >= 0xF0)
    if at + length > end:
        return _INVALID
    code_point = lead & (0x7F >> length)
    for k in range(1, length):
        byte = np.int64(text[at + k])
        if byte & 0xC0 != 0x80:
            return _INVALID
        code_point = (code_point << 6) | (byte & 0x3F)
    if (length == 3 and code_point < 0x800) or (length == 4 and not 0x10000 <= code_point <= 0x10FFFF):
        return _INVALID
    return (code_point << 3) | length


@kernel
def _table_pointers(tables):
    return (
        _bytes_at(np.uint64(tables.ascii.ctypes.data)),
        _shorts_at(np.uint64(tables.stage1.ctypes.data)),
        _bytes_at(np.uint64(tables.stage2.ctypes.data)),
        _ints_at(np.uint64(tables.properties.ctypes.data)),
    )


@kernel
def _classify(text, at, end, tables):
    """Class, folded code point and length in bytes of the character at a position."""
    packed = _decode(text, at, end)
    code_point, length = packed >> 3, packed & 7
    _, stage1, stage2, properties = tables
    number = np.int64(stage2[(np.int64(stage1[code_point >> 7]) << 7) | (code_point & 127)])
    return np.int64(properties[2 * number]), code_point + properties[2 * number + 1], length


@kernel
def _mix(state, code_point):
    mixed = (state ^ np.uint64(code_point)) * _FACTOR
    return mixed ^ (mixed >> _SHIFT)


@kernel
def _read_word(text, at, end, tables):
    """Position after the word that begins at ``at``, and its hash; the caller knows that one begins."""
    ascii_fold = tables[0]
    state = _SEED
    if ascii_fold[text[at]] == _LOOK_CLOSER:
        kind, folded, length = _classify(text, at, end, tables)
        state, at = _mix(state, folded), at + length
        if kind == _SINGLE:
            while at < end and ascii_fold[text[at]] == _LOOK_CLOSER:
                kind, folded, length = _classify(text, at, end, tables)
                if kind != _MARK:
                    break
                state, at = _mix(state, folded), at + length
            return at, state
    while at < end:
        folded_byte = ascii_fold[text[at]]
        if folded_byte > _LOOK_CLOSER:
            state, at = _mix(state, folded_byte), at + 1
            continue
        if folded_byte == 0:
            break
        kind, folded, length = _classify(text, at, end, tables)
        if kind == _JOINER and at + length < end:
            kind = _classify(text, at + length, end, tables)[0]
            kind = _WORD if kind == _WORD else 0
        if kind != _WORD and kind != _MARK:
            break
        state, at = _mix(state, folded), at + length
    return at, state


@kernel
def _split(text, end, tables, hashes):
    """Write the hash of every word of a row into ``hashes``; their number."""
    ascii_fold = tables[0]
    at, count = 0, 0
    while at < end:
        folded_byte = ascii_fold[text[at]]
        if folded_byte == 0:
            at += 1
            continue
        if folded_byte == _LOOK_CLOSER:
            kind, _, length = _classify(text, at, end, tables)
            if kind != _WORD and kind != _SINGLE:
                at += length
                continue
        at, hashes[count] = _read_word(text, at, end, tables)
        count += 1
    return count


@kernel
def _number_words(hashes, count, table_hash, table_mark, row_mark, ids):
    """Write the dense id of every word into ``ids``; the number of types.

    A slot of the table holds ``row_mark << 32 | id`` and is free unless it bears the mark of this row. Marks
    grow from row to row, so that nothing is cleared between rows.
    """
    size, n_types = 1, 0
    while size < 2 * count:
        size *= 2
    mask, mark = np.uint64(size - 1), np.uint64(row_mark) << _SHIFT
    for k in range(count):
        word = hashes[k]
        slot = word & mask
        while table_mark[slot] >= mark and table_hash[slot] != word:
            slot = (slot + _ONE) & mask
        if table_mark[slot] < mark:
            table_hash[slot] = word
            table_mark[slot] = mark | np.uint64(n_types)
            n_types += 1
        ids[k] = table_mark[slot]
    return n_types


@kernel
def _mtld_pass(ids, first, step, count, seen, stamp, threshold):
    """Words a factor in one direction, and the last stamp used in ``seen``.

    A word has occurred in the current factor if it bears the stamp of that factor.
    """
    factors, n_words, n_types, ratio = 0.0, 0, 0, 1.0
    stamp += 1
    at = first
    for _ in range(count):
        word = ids[at]
        at += step
        n_words += 1
        n_types += np.int64(seen[word] != stamp)
        seen[word] = stamp
        ratio = n_types / n_words
        if ratio <= threshold:
            factors += 1.0
            n_words, n_types = 0, 0
            stamp += 1
    if n_words > 0:
        factors += (1.0 - ratio) / (1.0 - threshold)
    # No factor at all means that no word occurs twice: the text counts as one factor.
    return count / factors if factors > 0.0 else float(count), stamp


@kernel
def _is_null(column, slot):
    return column.validity.size > 0 and not (column.validity[slot >> 3] >> (slot & 7)) & 1


@kernel
def _address(column, slot):
    """Memory address of the text of a slot; its whole length lies inside the buffer."""
    length = column.views[4 * slot]
    if 0 <= length <= _INLINE:
        return np.uint64(column.views.ctypes.data) + np.uint64(16 * slot + 4)
    buffer, start = column.views[4 * slot + 2], column.views[4 * slot + 3]
    if length < 0 or start < 0 or not 0 <= buffer < column.sizes.size:
        raise ValueError("a string view points to no buffer")
    if np.int64(start) + length > column.sizes[buffer]:
        raise ValueError("a string view ends outside its buffer")
    return column.addresses[buffer] + np.uint64(start)


@kernel
def word_hashes(column: ViewColumn, row: int, tables: WordTables) -> NDArray[np.uint64]:
    """Hashes of the words of one row, in order; of a null row, none."""
    slot = column.offset + row
    if _is_null(column, slot):
        return np.empty(0, dtype=np.uint64)
    text, length = _bytes_at(_address(column, slot)), np.int64(column.views[4 * slot])
    hashes = np.empty(length // 2 + 1, dtype=np.uint64)
    count = _split(text, length, _table_pointers(tables), _hashes_at(np.uint64(hashes.ctypes.data)))
    return hashes[:count].copy()


@kernel
def measure_rows(
    column: ViewColumn,
    start: int,
    stop: int,
    tables: WordTables,
    threshold: float,
    min_words: int,
    words: NDArray[np.int64],
    mtld: NDArray[np.float64],
) -> None:
    """Words and MTLD of the rows ``start`` to ``stop`` of a column, into ``words`` and ``mtld``.

    A null row has -1 words. MTLD is NaN below ``min_words``; with an empty ``mtld`` only words are counted.
    """
    pointers = _table_pointers(tables)
    hashes = np.empty(256, dtype=np.uint64)
    ids = np.empty(256, dtype=np.uint32)
    seen = np.zeros(256, dtype=np.int64)
    table_hash = np.empty(512, dtype=np.uint64)
    table_mark = np.zeros(512, dtype=np.uint64)
    stamp = 0
    for row in range(start, stop):
        slot = column.offset + row
        if _is_null(column, slot):
            words[row] = -1
            if mtld.size > 0:
                mtld[row] = np.nan
            continue
        text, length = _bytes_at(_address(column, slot)), np.int64(column.views[4 * slot])
        # A byte lies between two words, but for single characters, which have three bytes or more.
        if hashes.size < length // 2 + 1:
            hashes = np.empty(length, dtype=np.uint64)
        count = _split(text, length, pointers, _hashes_at(np.uint64(hashes.ctypes.data)))
        words[row] = count
        if mtld.size == 0:
            continue
        if count < min_words:
            mtld[row] = np.nan
            continue
        if ids.size < count:
            ids = np.empty(2 * count, dtype=np.uint32)
            seen = np.zeros(2 * count, dtype=np.int64)
            table_hash = np.empty(8 * count, dtype=np.uint64)
            table_mark = np.zeros(8 * count, dtype=np.uint64)
        _number_words(hashes, count, table_hash, table_mark, np.int64(row - start + 1), ids)
        forward, stamp = _mtld_pass(ids, 0, 1, count, seen, stamp, threshold)
        backward, stamp = _mtld_pass(ids, count - 1, -1, count, seen, stamp, threshold)
        mtld[row] = (forward + backward) / 2.0
