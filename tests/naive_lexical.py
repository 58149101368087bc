"""Slow plain twins of imine_kernels.lexical, written from docs/lexical.md and not from the kernels."""

from __future__ import annotations

import re
import unicodedata

_SINGLE_RANGES = (
    (0x0E01, 0x0E46),  # Thai
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark and zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3031, 0x3035),  # vertical kana repeat marks
    (0x3038, 0x303C),
    (0x3041, 0x30FF),  # kana
    (0x31F0, 0x31FF),
    (0xFF66, 0xFF9F),
    (0x1AFF0, 0x1B16F),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3134F),
)
_APOSTROPHES, _HYPHENS, _FORMAT = "'’", "-‐‑", "\u00ad\u200c\u200d"
_WORD_PATTERN = re.compile("W[WM]*(?:JW[WM]*)*|SM*")
_MASK = (1 << 64) - 1


def letter_class(char: str) -> str:
    """W word, S single, M mark, J joiner, or a space for everything else."""
    if char in _APOSTROPHES or char in _HYPHENS:
        return "J"
    category = unicodedata.category(char)
    if category[0] == "M" or char in _FORMAT:
        return "M"
    if category in ("Lo", "Lm", "Nl") and any(low <= ord(char) <= high for low, high in _SINGLE_RANGES):
        return "S"
    return "W" if category[0] in "LN" else " "


def fold(char: str) -> str:
    if char in _APOSTROPHES:
        return "'"
    if char in _HYPHENS:
        return "-"
    return {"İ": "i", "ς": "σ"}.get(char, char.lower())


def words(text: str) -> list[str]:
    classes = "".join(map(letter_class, text))
    return ["".join(map(fold, text[m.start() : m.end()])) for m in _WORD_PATTERN.finditer(classes)]


def word_hash(word: str) -> int:
    state = 0x9E3779B97F4A7C15
    for char in word:
        state = (state ^ ord(char)) * 0xD6E8FEB86659FD93 & _MASK
        state ^= state >> 32
    return state


def mtld(tokens: list[str], threshold: float = 0.72) -> float:
    return (_mtld_pass(tokens, threshold) + _mtld_pass(tokens[::-1], threshold)) / 2


def _mtld_pass(tokens: list[str], threshold: float) -> float:
    factors, segment, ratio = 0.0, [], 1.0
    for token in tokens:
        segment.append(token)
        ratio = len(set(segment)) / len(segment)
        if ratio <= threshold:
            factors += 1
            segment = []
    if segment:
        factors += (1 - ratio) / (1 - threshold)
    return len(tokens) / (factors or 1)
