"""Columns of the stage ``lexical``: each measure of the response, of the prompt, or of both by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from imine.columns.characters import CHARACTERS
from imine.columns.diversity import DIVERSITY
from imine.columns.repetition import COPIED, REPETITION
from imine.columns.spec import ColumnSpec

Side = Literal["input", "output", "both"]
SIDES: dict[Side, str] = {
    "input": "the prompt (instruction and input)",
    "output": "the response",
    "both": "the whole example (instruction, input and response)",
}

# Measures by their own name, defined of "the text"; a column is a measure of one side.
MEASURES: dict[str, ColumnSpec] = {spec.name: spec for spec in (*DIVERSITY, *REPETITION, *CHARACTERS, COPIED)}
# Measures that take longer than all the others together: listed, but not in the group ``lexical``.
SLOW = ("mtld_ma_bid", "mtld_ma_wrap", "compression_ratio")
# Measures that compare the two sides are columns of the response alone.
_OUTPUT_ONLY = {COPIED.name}


def split_name(name: str) -> tuple[Side, str] | None:
    """Side and measure that a lexical column's name stands for; a plain name stands for the response.

    Examples:
        >>> split_name("input_mtld"), split_name("mtld"), split_name("speed")
        (('input', 'mtld'), ('output', 'mtld'), None)
    """
    for side in SIDES:
        measure = name.removeprefix(f"{side}_")
        if measure != name and measure in MEASURES and (side == "output" or measure not in _OUTPUT_ONLY):
            return side, measure
    return ("output", name) if name in MEASURES else None


def other_name(name: str) -> str | None:
    """The other name of the same column: a measure of the response is called with ``output_`` and without.

    Examples:
        >>> other_name("mtld"), other_name("output_mtld"), other_name("input_mtld")
        ('output_mtld', 'mtld', None)
    """
    side, measure = split_name(name) or (None, "")
    if side != "output":
        return None
    return f"output_{measure}" if name == measure else measure


def find_lexical_column(name: str) -> ColumnSpec | None:
    """The column of a name such as ``mtld``, ``output_mtld``, ``input_words`` or ``both_ttr``.

    Examples:
        >>> find_lexical_column("input_words").doc
        'words of the prompt (instruction and input)'
    """
    found = split_name(name)
    if found is None:
        return None
    side, measure = found
    spec, what = MEASURES[measure], SIDES[side]
    return replace(
        spec,
        name=name,
        doc=spec.doc.replace("the text", what),
        direction=spec.direction.replace("the text", what),
        null_when=spec.null_when.replace("the text", what),
    )


def _listed() -> tuple[ColumnSpec, ...]:
    """One column a measure: of the response, but for words, where the prompt has its own."""
    names = [n for m in MEASURES for n in (("input_words", "output_words") if m == "words" else (m,))]
    return tuple(spec for name in names if (spec := find_lexical_column(name)))


LEXICAL = _listed()
