"""Classes of characters: what kind of letter, number, space or punctuation mark a code point is."""

from __future__ import annotations

import numpy as np

from imine_kernels.jit import kernel
from imine_kernels.utf8 import decode
from imine_kernels.views import bytes_at, shorts_at

# In the order of tools/generate_unicode_tables.py: letters and numbers from UPPER to NUMBER, punctuation from
# PUNCTUATION on.
UPPER, LOWER, LETTER, DIGIT, NUMBER, ACCENT, SPACE, PUNCTUATION, CLOSER, TERMINATOR, WIDE = range(1, 12)


@kernel
def class_pointers(tables):
    """Pointers into :class:`imine_kernels.unicode_tables.CharacterTables`, for the functions below."""
    stage2 = np.uint64(tables.stage2.ctypes.data)
    ascii_block = bytes_at(stage2 + np.uint64(tables.stage1[0]) * np.uint64(128))
    return shorts_at(np.uint64(tables.stage1.ctypes.data)), bytes_at(stage2), ascii_block


@kernel
def _wide_class_at(text, at, end, tables):
    packed = decode(text, at, end)
    code_point, length = packed >> 3, packed & 7
    stage1, stage2, _ = tables
    block = np.int64(stage1[code_point >> 7])
    return np.int64(stage2[(block << 7) | (code_point & 127)]), code_point, length


@kernel
def class_at(text, at, end, tables):
    """Class, code point and length in bytes of the character at a position before ``end``."""
    byte = np.int64(text[at])
    # Short enough to be inlined: most characters are ASCII.
    return (np.int64(tables[2][byte]), byte, 1) if byte < 0x80 else _wide_class_at(text, at, end, tables)


@kernel
def class_before(text, at, tables):
    """Class and position of the character that ends before ``at``, which is not the start of the text."""
    start = at - 1
    while start > 0 and at - start < 4 and text[start] & 0xC0 == 0x80:
        start -= 1
    kind, _, length = class_at(text, start, at, tables)
    # Stray bytes are characters by themselves.
    return (kind, start) if start + length == at else (0, at - 1)


@kernel
def is_word_class(kind):
    """Whether characters of a class make words."""
    return UPPER <= kind <= NUMBER
