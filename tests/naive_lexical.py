"""Slow plain twins of the lexical kernels, written from docs/lexical.md and not from the kernels."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from statistics import fmean, pstdev

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
    state, text = 0x9E3779B97F4A7C15, word.encode()
    for at in range(0, len(text), 8):
        state = _mix(state ^ int.from_bytes(text[at : at + 8], "little"))
        if at + 8 < len(text):
            state = _mix(state)
    return state


def _mix(state: int) -> int:
    state = state * 0xD6E8FEB86659FD93 & _MASK
    return state ^ state >> 32


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


def strict_mtld(tokens: list[str], threshold: float = 0.72, shortest: int = 10) -> float | None:
    ahead, back = (_strict_factors(side, threshold, shortest) for side in (tokens, tokens[::-1]))
    return (len(tokens) / ahead + len(tokens) / back) / 2 if ahead and back else None


def _strict_factors(tokens: list[str], threshold: float, shortest: int) -> float:
    factors, segment = 0.0, []
    for token in tokens[:-1]:
        segment.append(token)
        if len(segment) >= shortest and ttr(segment) < threshold:
            factors, segment = factors + 1, []
    return factors + (1 - ttr([*segment, tokens[-1]])) / (1 - threshold)


def moving_mtld(
    tokens: list[str], follow: list[str], threshold: float = 0.72, shortest: int = 10
) -> float | None:
    """Mean length of the factors from each word on, in the text with ``follow`` after it."""
    text, lengths = tokens + follow, []
    for start in range(len(tokens)):
        for stop in range(start + shortest, len(text) + 1):
            if ttr(text[start:stop]) < threshold:
                lengths.append(stop - start)
                break
    return fmean(lengths) if lengths else None


def moving_mtld_bidirectional(tokens: list[str], threshold: float = 0.72, shortest: int = 10) -> float | None:
    both = [moving_mtld(side, [], threshold, shortest) for side in (tokens, tokens[::-1])]
    return None if None in both else fmean(both)


def ttr(tokens: list[str]) -> float:
    return len(set(tokens)) / len(tokens)


def mattr(tokens: list[str], window: int = 50) -> float:
    return fmean(ttr(tokens[k : k + window]) for k in range(len(tokens) - window + 1))


def hdd(tokens: list[str], draws: int = 42) -> float:
    n = len(tokens)
    absent = {f: math.comb(n - f, draws) / math.comb(n, draws) for f in Counter(tokens).values()}
    return sum(1 - absent[f] for f in Counter(tokens).values()) / draws


def entropy(tokens: list[str]) -> float:
    shares = [f / len(tokens) for f in Counter(tokens).values()]
    return -sum(share * math.log2(share) for share in shares)


def yule_k(tokens: list[str]) -> float:
    n = len(tokens)
    return 1e4 * (sum(f * f for f in Counter(tokens).values()) / n**2 - 1 / n)


def simpson_d(tokens: list[str]) -> float:
    n = len(tokens)
    return sum(f * (f - 1) for f in Counter(tokens).values()) / (n * (n - 1))


def word_lengths(tokens: list[str]) -> tuple[float, float]:
    lengths = [len(token) for token in tokens]
    return fmean(lengths), pstdev(lengths)


def duplicate_characters(tokens: list[str], n: int) -> int:
    seen, at, total = set(), 0, 0
    while at + n <= len(tokens):
        gram = tuple(tokens[at : at + n])
        if gram in seen:
            total += sum(map(len, gram))
            at += n
        else:
            seen.add(gram)
            at += 1
    return total


def top_characters(tokens: list[str], n: int) -> int:
    grams = [" ".join(tokens[k : k + n]) for k in range(len(tokens) - n + 1)]
    gram, count = Counter(grams).most_common(1)[0]
    return len(gram) * count
