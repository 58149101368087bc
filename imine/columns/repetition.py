"""Measures of repetition and of common words, defined of "the text"."""

from __future__ import annotations

from imine.columns.spec import ColumnSpec

_GOPHER = "Rae et al. (2021), arXiv 2112.11446, table A1; counted as datatrove 0.5.0 does, on imine's words"


def _duplicate(n: int) -> ColumnSpec:
    return ColumnSpec(
        name=f"duplicate_{n}gram_share",
        group="lexical",
        doc=f"share of the characters of the text in repeated {n}-grams",
        unit="1",
        direction="more repetition",
        definition=f"Characters of the words of {n}-grams that occurred before, in a scan that steps over each "
        "repetition, over all characters of the text.",
        null_when="the text has no words, or is null",
        reference=_GOPHER,
        high=1.0,
    )


def _top(n: int) -> ColumnSpec:
    return ColumnSpec(
        name=f"top_{n}gram_share",
        group="lexical",
        doc=f"characters of the most frequent {n}-gram of the text, over all its characters",
        unit="1",
        direction="more repetition",
        definition=f"Characters of the most frequent {n}-gram with single spaces between its words, times its count, "
        "over all characters of the text; of equally frequent ones the first. Above 1 where it overlaps itself.",
        null_when=f"the text has fewer than {n} words, or is null",
        reference=_GOPHER,
    )


REPETITION = (
    *(_duplicate(n) for n in range(2, 11)),
    *(_top(n) for n in range(2, 5)),
)

COPIED = ColumnSpec(
    name="copied_share",
    group="lexical",
    doc="share of the words of the response that occur in the prompt",
    unit="1",
    direction="more copying from the prompt",
    definition="Words of the response that are also words of the prompt (instruction and input), over all words of the "
    "response; case folded.",
    null_when="the response has no words, or response or instruction is null",
    high=1.0,
)
