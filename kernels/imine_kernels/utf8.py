"""Characters of UTF-8 text: decoding that never reads outside, and the classes of words."""

from __future__ import annotations

import numpy as np

from imine_kernels.jit import helper
from imine_kernels.views import bytes_at, ints_at, shorts_at

WORD, MARK, SINGLE, JOINER = 1, 2, 3, 4
_INVALID = (0xFFFD << 3) | 1  # a byte outside any well-formed sequence: one replacement character


@helper
def decode(text, at, end):
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


@helper
def table_pointers(tables):
    """Pointers into :class:`imine_kernels.unicode_tables.WordTables`, for :func:`classify`."""
    return (
        bytes_at(np.uint64(tables.ascii.ctypes.data)),
        shorts_at(np.uint64(tables.stage1.ctypes.data)),
        bytes_at(np.uint64(tables.stage2.ctypes.data)),
        ints_at(np.uint64(tables.properties.ctypes.data)),
    )


@helper
def classify(text, at, end, tables):
    """Class (0 for none), folded code point and length in bytes of the character at a position."""
    packed = decode(text, at, end)
    code_point, length = packed >> 3, packed & 7
    _, stage1, stage2, properties = tables
    number = np.int64(stage2[(np.int64(stage1[code_point >> 7]) << 7) | (code_point & 127)])
    return np.int64(properties[2 * number]), code_point + properties[2 * number + 1], length
