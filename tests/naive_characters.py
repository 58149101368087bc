"""Slow plain twins of the kernels of characters, written from docs/lexical_characters.md and not from the kernels."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby, pairwise

TERMINATORS, WIDE, WEAK = ".!?…‼⁇⁈⁉．؟۔।॥։።", "。！？｡", ".…"
VOWELS = "aeiou"


def character_counts(text: str) -> list[int]:
    """Characters, digits, capitals, punctuation, non-ASCII, white space, longest run."""
    categories = [unicodedata.category(char) for char in text]
    return [
        len(text),
        categories.count("Nd"),
        categories.count("Lu") + categories.count("Lt"),
        sum(category[0] == "P" for category in categories),
        sum(not char.isascii() for char in text),
        sum(map(str.isspace, text)),
        max((len(list(run)) for _, run in groupby(text)), default=0),
    ]


def is_word_character(char: str) -> bool:
    return unicodedata.category(char)[0] in "LN"


def _is_closer(char: str) -> bool:
    return char in "\"'*_" or unicodedata.category(char) in ("Pe", "Pf", "Pi")


def _letter(char: str) -> str:
    """T terminator, C closer, n line break, s other white space, x else."""
    if char in TERMINATORS + WIDE:
        return "T"
    if _is_closer(char):
        return "C"
    return "n" if char == "\n" else "s" if char.isspace() else "x"


def _number_opens(line: str) -> bool:
    """Whether a line up to a full stop is the number of an item, perhaps with signs before it."""
    match = re.search("(?<![0-9])[0-9]{1,3}$", line)
    return match is not None and not any(map(is_word_character, line[: match.start()]))


def _is_initial(before: str) -> bool:
    if not before or unicodedata.category(before[-1])[0] != "L":
        return False
    return len(before) == 1 or not is_word_character(before[-2])


def _marks_end(text: str, start: int, stop: int, following: int) -> bool:
    marks = [char for char in text[start:stop] if char in TERMINATORS + WIDE]
    if following < len(text) and following == stop and not set(marks) & set(WIDE):
        return False
    if not set(marks) <= set(WEAK):
        return True
    if following < len(text) and unicodedata.category(text[following]) == "Ll":
        return False
    if marks == ["."] and following < len(text):
        before = text[:start]
        return not (_is_initial(before) or _number_opens(before.rpartition("\n")[2]))
    return True


def sentences(text: str) -> int:
    letters = "".join(map(_letter, text))
    cuts = set()
    for space in re.finditer("[sn]+", letters):
        breaks = space.group().count("n")
        rest = text[space.end() :]
        item = rest[:1] in ("-", "*", "#", "•") or re.match(r"[0-9]{1,3}[.)](\s|$)", rest)
        if breaks > 1 or (breaks == 1 and item):
            cuts.add(space.start())
    for marks in re.finditer("T[TC]*", letters):
        following = marks.end() + len(re.match("[sn]*", letters[marks.end() :]).group())
        if _marks_end(text, marks.start(), marks.end(), following):
            cuts.add(marks.end())
    edges = [0, *sorted(cuts), len(text)]
    pieces = [text[start:stop] for start, stop in pairwise(edges)]
    return sum(any(map(is_word_character, piece)) for piece in pieces)


def _part_syllables(part: str) -> int:
    vowels = [
        char in VOWELS
        or (char == "y" and not (part[k - 1 : k] in list(VOWELS) and part[k + 1 : k + 2] in list(VOWELS)))
        for k, char in enumerate(part)
    ]
    shape = "".join("V" if vowel else "c" for vowel in vowels)
    count = max(len(re.findall("V+", shape)), 1)
    for k in range(shape.find("V") + 1, len(part)):
        if part[k] == "e" and shape[k - 1] == "c":
            count -= _is_silent(part, shape, k)
    for pattern in (
        "(?<![cgst])i(?=a)",
        "(?<![cgstx])i(?=o)",
        "(?<![gq])u(?=a)",
        "i(?=et)",
        "i(?=sm($|'))",
        "(?<=[ds])n(?='t)",
    ):
        count += len(re.findall(pattern, part))
    return count + sum(shape[m.start() - 1 : m.start()] == "V" for m in re.finditer("ings?($|')", part))


def _is_silent(part: str, shape: str, k: int) -> bool:
    before, after = part[:k], part[k + 1 :]
    after_l = before.endswith("l") and shape[k - 2 : k - 1] == "c"
    if re.match("($|')", after):
        return not after_l
    if re.match("s($|')", after):
        return not after_l and not re.search("([cgsxz]|ch|sh)$", before)
    if re.match("d($|')", after):
        return not re.search("[dt]$", before)
    return bool(re.match("ly|ment", after)) and shape[k - 2 : k - 1] == "V"


def syllables(words: list[str]) -> int:
    return sum(_part_syllables(part) for word in words for part in word.split("-"))


def duplicates(text: str) -> list[int]:
    """Lines, duplicate lines, their characters; the same of paragraphs."""
    return [*_find_duplicates(re.split("\n+", text)), *_find_duplicates(re.split("\n{2,}", text.strip()))]


def _find_duplicates(parts: list[str]) -> tuple[int, int, int]:
    again = [part for k, part in enumerate(parts) if part in parts[:k]]
    return len(parts), len(again), sum(map(len, again))
