"""Write kernels/imine_kernels/unicode_tables.py from the running Python's ``unicodedata``.

Usage: ``python tools/generate_unicode_tables.py``. The file records the Unicode version and is shipped, so
that scores do not depend on the Python that computes them; a table of another Unicode version is another
version of every score that reads words or characters.
"""

from __future__ import annotations

import base64
import unicodedata
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TARGET = Path(__file__).resolve().parents[1] / "kernels" / "imine_kernels" / "unicode_tables.py"
CODE_POINTS = 0x110000
BLOCK = 128

OTHER, WORD, MARK, SINGLE, JOINER = range(5)

# Typographic variants of the inner joiners become one, so that "don’t" and "don't" are one type.
JOINERS = {0x27: 0x27, 0x2019: 0x27, 0x2D: 0x2D, 0x2010: 0x2D, 0x2011: 0x2D}
# Soft hyphen, zero-width non-joiner and joiner are format characters that occur inside words.
INNER_FORMAT = {0xAD, 0x200C, 0x200D}
# The only code point whose str.lower() is two code points, and the sigma whose form depends on its place.
FOLD_SPECIAL = {0x130: 0x69, 0x3C2: 0x3C3}
SINGLE_NAMES = (
    "CJK UNIFIED IDEOGRAPH",
    "CJK COMPATIBILITY IDEOGRAPH",
    "IDEOGRAPHIC ",
    "VERTICAL IDEOGRAPHIC ",
    "HANGZHOU NUMERAL",
    "MASU MARK",
    "HIRAGANA ",
    "HENTAIGANA ",
    "KATAKANA",
    "HALFWIDTH KATAKANA",
    "VERTICAL KANA ",
    "THAI ",
)

# Classes of characters; their order is that of imine_kernels.classes.
UNCLASSED, UPPER, LOWER, LETTER, DIGIT, NUMBER, ACCENT, SPACE, PUNCTUATION, CLOSER, TERMINATOR, WIDE = range(
    12
)
CATEGORIES = {
    "Lu": UPPER,
    "Lt": UPPER,
    "Ll": LOWER,
    "Lm": LETTER,
    "Lo": LETTER,
    "Nd": DIGIT,
    "Nl": NUMBER,
    "No": NUMBER,
    "Mn": ACCENT,
    "Mc": ACCENT,
    "Me": ACCENT,
    "Pc": PUNCTUATION,
    "Pd": PUNCTUATION,
    "Po": PUNCTUATION,
    "Ps": PUNCTUATION,
    "Pe": CLOSER,
    "Pi": CLOSER,
    "Pf": CLOSER,
}
# Straight quotes, and the asterisk and underscore that emphasise in Markdown, close a sentence as brackets do.
CLOSERS = frozenset("\"'*_")
# Latin with the ellipsis and its doubled forms, the full-width stop, Arabic, Urdu, Devanagari, Armenian, Ethiopic.
TERMINATORS = frozenset(".!?\u2026\u203c\u2047\u2048\u2049\uff0e\u061f\u06d4\u0964\u0965\u0589\u1362")
# Those of Chinese and Japanese, which no space follows.
WIDE_TERMINATORS = frozenset("\u3002\uff01\uff1f\uff61")


def word_class(code_point: int) -> int:
    """Class of a code point in the word splitter.

    Examples:
        >>> [word_class(ord(c)) for c in "a' 東"]
        [1, 4, 0, 3]
    """
    if code_point in JOINERS:
        return JOINER
    if code_point in INNER_FORMAT:
        return MARK
    char = chr(code_point)
    category = unicodedata.category(char)
    if category[0] == "M":
        return MARK
    if category[0] not in "LN":
        return OTHER
    is_single = category in ("Lo", "Lm", "Nl") and unicodedata.name(char, "").startswith(SINGLE_NAMES)
    return SINGLE if is_single else WORD


def fold(code_point: int) -> int:
    """Code point that a word character counts as: its lower case where that is one code point.

    Examples:
        >>> chr(fold(ord("Σ"))), chr(fold(ord("’")))
        ('σ', "'")
    """
    if code_point in JOINERS:
        return JOINERS[code_point]
    if code_point in FOLD_SPECIAL:
        return FOLD_SPECIAL[code_point]
    lower = chr(code_point).lower()
    if len(lower) != 1:
        raise ValueError(f"U+{code_point:04X} has a lower case of {len(lower)} code points: decide on it")
    return ord(lower)


def character_class(code_point: int) -> int:
    """Class of a code point for the measures that read characters and sentences.

    Examples:
        >>> [character_class(ord(c)) for c in "aA1 .)$"]
        [2, 1, 4, 7, 10, 9, 0]
    """
    char = chr(code_point)
    for members, kind in ((CLOSERS, CLOSER), (TERMINATORS, TERMINATOR), (WIDE_TERMINATORS, WIDE)):
        if char in members:
            return kind
    return SPACE if char.isspace() else CATEGORIES.get(unicodedata.category(char), UNCLASSED)


def build_characters() -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Two-stage table: block index by ``cp >> 7``, class of character by block."""
    classes = np.array([character_class(code_point) for code_point in range(CODE_POINTS)], dtype=np.uint8)
    return _in_blocks(classes)


def _in_blocks(values: NDArray[np.uint8]) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    blocks, stage1 = np.unique(values.reshape(-1, BLOCK), axis=0, return_inverse=True)
    return stage1.ravel().astype(np.uint16), blocks.ravel()


def build() -> tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.int32]]:
    """Two-stage table: block index by ``cp >> 7``, property number by block, (class, delta) by property."""
    numbers: dict[tuple[int, int], int] = {(OTHER, 0): 0}
    properties = np.zeros(CODE_POINTS, dtype=np.uint8)
    for code_point in range(CODE_POINTS):
        kind = word_class(code_point)
        key = (kind, fold(code_point) - code_point if kind else 0)
        properties[code_point] = numbers.setdefault(key, len(numbers))
    return *_in_blocks(properties), np.array(list(numbers), dtype=np.int32)


def encode(array: NDArray[Any]) -> str:
    """A bytes literal of the zlib-compressed little-endian array, in lines of the house width."""
    little = array.astype(array.dtype.newbyteorder("<"))
    text = base64.b85encode(zlib.compress(little.tobytes(), 9)).decode()
    lines = [text[start : start + 100] for start in range(0, len(text), 100)]
    return "(\n" + "".join(f'    b"{line}"\n' for line in lines) + ")"


def render() -> str:
    """Source text of the generated module."""
    stage1, stage2, properties = build()
    character_stage1, character_stage2 = build_characters()
    return TEMPLATE.format(
        version=unicodedata.unidata_version,
        n_properties=len(properties),
        stage1=encode(stage1),
        stage2=encode(stage2),
        properties=encode(properties),
        character_stage1=encode(character_stage1),
        character_stage2=encode(character_stage2),
    )


TEMPLATE = '''"""Classes of words and characters, and case folding; made by tools/generate_unicode_tables.py."""

from __future__ import annotations

import base64
import zlib
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

UNICODE_VERSION = "{version}"


class WordTables(NamedTuple):
    """Two-stage table: ``properties[stage2[stage1[cp >> 7] * 128 + (cp & 127)]]``.

    Attributes:
        stage1: (8704,) block of each run of 128 code points.
        stage2: (blocks * 128,) property number.
        properties: ({n_properties}, 2) word class (0 other, 1 word, 2 mark, 3 single, 4 joiner) and the
            difference of the folded code point from the code point.
        ascii: (256,) by byte: folded byte of an ASCII letter or digit, 0 for another ASCII byte, 1 where the
            byte alone does not tell (joiners, bytes of longer characters).
    """

    stage1: NDArray[np.uint16]
    stage2: NDArray[np.uint8]
    properties: NDArray[np.int32]
    ascii: NDArray[np.uint8]


@cache
def word_tables() -> WordTables:
    """The tables, unpacked once a process and read-only.

    Examples:
        >>> int(word_tables().ascii[ord("Q")]) == ord("q")
        True
    """
    stage1 = _decode(_STAGE1, "<u2")
    stage2 = _decode(_STAGE2, "u1")
    properties = _decode(_PROPERTIES, "<i4").reshape(-1, 2)
    code_points = np.arange(256)
    kind, delta = properties[stage2[stage1[code_points >> 7].astype(int) * 128 + (code_points & 127)]].T
    ascii_fold = np.where(kind == 1, code_points + delta, 0)
    ascii_fold[(code_points >= 128) | (kind == 4)] = 1
    tables = WordTables(stage1, stage2, properties, ascii_fold.astype(np.uint8))
    for array in tables:
        array.setflags(write=False)
    return tables


class CharacterTables(NamedTuple):
    """Two-stage table: ``stage2[stage1[cp >> 7] * 128 + (cp & 127)]`` is a class of imine_kernels.classes.

    Attributes:
        stage1: (8704,) block of each run of 128 code points.
        stage2: (blocks * 128,) class of the character.
    """

    stage1: NDArray[np.uint16]
    stage2: NDArray[np.uint8]


@cache
def character_tables() -> CharacterTables:
    """The classes of characters, unpacked once a process and read-only.

    Examples:
        >>> tables = character_tables()
        >>> int(tables.stage2.reshape(-1, 128)[tables.stage1[0], ord("Q")])
        1
    """
    tables = CharacterTables(_decode(_CHARACTER_STAGE1, "<u2"), _decode(_CHARACTER_STAGE2, "u1"))
    for array in tables:
        array.setflags(write=False)
    return tables


def _decode(packed: bytes, dtype: str) -> NDArray[Any]:
    values = np.frombuffer(zlib.decompress(base64.b85decode(packed)), dtype=dtype)
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))


_STAGE1 = {stage1}

_STAGE2 = {stage2}

_PROPERTIES = {properties}

_CHARACTER_STAGE1 = {character_stage1}

_CHARACTER_STAGE2 = {character_stage2}
'''


if __name__ == "__main__":
    TARGET.write_text(render())
