"""From the quantities of a text to its measures: values, and from how many words on there is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imine.columns.parameters import LexicalParameters
from imine.indicators.lexical.passes import CHARACTER_COUNTS, PART_COUNTS
from imine.indicators.lexical.scratch import Outputs

Values = NDArray[Any]
Rows = NDArray[np.bool_]
_WHOLE = 2.0**62  # below it, sums and products of these quantities fit into int64


@dataclass(frozen=True, slots=True)
class Formula:
    """How a measure comes from quantities.

    Attributes:
        passes: passes that give the quantities, beside ``words``.
        value: from quantities to values; what it gives where there is no value does not matter.
        least: words that a text has at least to have a value.
        lacks: which texts have none though their words are enough; all others must give a finite number.
        otherwise: the reason of those.
    """

    passes: tuple[str, ...]
    value: Callable[[Outputs], Values]
    least: Callable[[LexicalParameters], int]
    lacks: Callable[[Outputs], Rows] | None = None
    otherwise: str = ""


def _at_least(number: int) -> Callable[[LexicalParameters], int]:
    return lambda _: number


def _formula(passes: str, value: Callable[[Outputs], Values], least: int = 1) -> Formula:
    return Formula(tuple(passes.split()), value, _at_least(least))


def _log_words(q: Outputs) -> Values:
    return np.log(q["words"])


def _mean_length(q: Outputs) -> Values:
    return q["word_characters"] / q["words"]


def _sd_length(q: Outputs) -> Values:
    n, total, squares = q["words"], q["word_characters"], q["squared_word_characters"]
    # Whole numbers as long as they fit, since the difference of two means would cancel; beyond, one word is so much
    # longer than the others that it does not.
    exact = np.sqrt(np.maximum(n * squares - total * total, 0)) / n
    fits = n.astype(np.float64) * squares < _WHOLE
    if fits.all():
        return exact
    return np.where(fits, exact, np.sqrt(np.maximum(squares / n - (total / n) ** 2, 0.0)))


def _yule_k(q: Outputs) -> Values:
    n = q["words"].astype(np.float64)
    return 1e4 * (q["squared_counts"] / n**2 - 1 / n)


def _simpson_d(q: Outputs) -> Values:
    n = q["words"].astype(np.float64)
    return (q["squared_counts"] - q["words"]) / (n * (n - 1))


def _variant(name: str, otherwise: str = "no factor ends in the {what}") -> Formula:
    return Formula(
        (name,),
        lambda q: q[name],
        lambda p: p.min_words,
        lambda q: np.isnan(q[name]),
        otherwise,
    )


def _characters(q: Outputs, what: str = "characters") -> Values:
    return q["character_counts"][:, CHARACTER_COUNTS.index(what)]


def _parts(q: Outputs, what: str) -> Values:
    return q["part_counts"][:, PART_COUNTS.index(what)]


def _duplicate(n: int) -> Formula:
    return _formula("repetition characters", lambda q: q["duplicate_ngrams"][:, n - 2] / _characters(q))


def _top(n: int) -> Formula:
    return _formula("repetition characters", lambda q: q["top_ngrams"][:, n - 2] / _characters(q), n)


def _of_characters(name: str) -> Formula:
    """A share of the characters, or another value that an empty text does not have."""
    return _unless_empty(("characters",), lambda q: _characters(q, name) / _characters(q))


def _is_empty(q: Outputs) -> Rows:
    return np.asarray(_characters(q) == 0)


def _unless_empty(passes: tuple[str, ...], value: Callable[[Outputs], Values]) -> Formula:
    return Formula(("characters", *passes), value, _at_least(0), _is_empty, "{what} is empty")


def _part_share(part: str) -> Formula:
    return _unless_empty(("lines",), lambda q: _parts(q, f"duplicate_{part}s") / _parts(q, f"{part}s"))


def _part_character_share(part: str) -> Formula:
    return _unless_empty(("lines",), lambda q: _parts(q, f"duplicate_{part}_characters") / _characters(q))


def _has_no_prompt(q: Outputs) -> Rows:
    return np.asarray(q["copied"] < 0)


def _reading_ease(q: Outputs) -> Values:
    return 206.835 - 1.015 * (q["words"] / q["sentences"]) - 84.6 * (q["syllables"] / q["words"])


def _grade(q: Outputs) -> Values:
    return 0.39 * (q["words"] / q["sentences"]) + 11.8 * (q["syllables"] / q["words"]) - 15.59


FORMULAS: dict[str, Formula] = {
    "words": _formula("", lambda q: q["words"], 0),
    "types": _formula("types", lambda q: q["types"], 0),
    "mean_word_length": _formula("types", _mean_length),
    "sd_word_length": _formula("types", _sd_length),
    "ttr": _formula("types", lambda q: q["types"] / q["words"]),
    "root_ttr": _formula("types", lambda q: q["types"] / np.sqrt(q["words"])),
    "corrected_ttr": _formula("types", lambda q: q["types"] / np.sqrt(2 * q["words"])),
    "herdan_c": _formula("types", lambda q: np.log(q["types"]) / _log_words(q), 2),
    "maas": _formula("types", lambda q: (_log_words(q) - np.log(q["types"])) / _log_words(q) ** 2, 2),
    "yule_k": _formula("spectrum", _yule_k),
    "simpson_d": _formula("spectrum", _simpson_d, 2),
    "word_entropy": _formula("spectrum", lambda q: q["entropy"]),
    "mtld": Formula(("mtld",), lambda q: q["mtld"], lambda p: p.min_words),
    "mtld_lexical_diversity": _variant("mtld_lexical_diversity", "no word recurs in the {what}"),
    "mtld_ma_bid": _variant("mtld_ma_bid"),
    "mtld_ma_wrap": _variant("mtld_ma_wrap"),
    "hdd": Formula(("spectrum",), lambda q: q["hdd"], lambda p: p.draws),
    "mattr": Formula(("moving",), lambda q: q["mattr"], lambda p: p.window),
    **{f"duplicate_{n}gram_share": _duplicate(n) for n in range(2, 11)},
    **{f"top_{n}gram_share": _top(n) for n in range(2, 5)},
    "characters": _formula("characters", _characters, 0),
    "digit_share": _of_characters("digits"),
    "upper_share": _of_characters("upper"),
    "punctuation_share": _of_characters("punctuation"),
    "non_ascii_share": _of_characters("non_ascii"),
    "whitespace_share": _of_characters("white_space"),
    "longest_run": _formula("characters", lambda q: _characters(q, "longest_run"), 0),
    "sentences": _formula("sentences", lambda q: q["sentences"], 0),
    "mean_sentence_length": _formula("sentences", lambda q: q["words"] / q["sentences"]),
    "flesch_reading_ease": _formula("sentences syllables", _reading_ease),
    "flesch_kincaid_grade": _formula("sentences syllables", _grade),
    "duplicate_line_share": _part_share("line"),
    "duplicate_line_character_share": _part_character_share("line"),
    "duplicate_paragraph_share": _part_share("paragraph"),
    "duplicate_paragraph_character_share": _part_character_share("paragraph"),
    "compression_ratio": _unless_empty(("compression",), lambda q: q["bytes"] / q["compressed_bytes"]),
    "stop_word_share": _formula("stop", lambda q: q["stop_words"] / q["words"]),
    "copied_share": Formula(
        ("copied",), lambda q: q["copied"] / q["words"], _at_least(1), _has_no_prompt, "prompt is null"
    ),
}
