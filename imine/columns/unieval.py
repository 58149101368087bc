"""Columns of the stage ``unieval``."""

from __future__ import annotations

from imine.columns.spec import ColumnSpec

_FORMULA = "P(Yes) / (P(Yes) + P(No))"
_PAPER = "UniEval, arXiv 2210.07197; InstructMining, arXiv 2307.06290, table 1"
_EMPTY = "the response is empty"


def _dimension(name: str, doc: str, direction: str, asked: str, null_when: str = _EMPTY) -> ColumnSpec:
    return ColumnSpec(
        name=name,
        group="unieval",
        doc=doc,
        unit="1",
        direction=direction,
        definition=f"What UniEval's dialogue evaluator, a T5, answers to {asked}: the share of Yes in the "
        "probabilities of Yes and No at the first step of its decoder. What is longer than 1,024 tokens is cut off at "
        "the end.",
        null_when=null_when,
        formula=_FORMULA,
        reference=_PAPER,
        high=1.0,
    )


UNIEVAL = (
    _dimension(
        "naturalness",
        "whether the response is like something that a person would say",
        "more natural response",
        "'Is this a natural response in the dialogue?', seeing the response alone",
    ),
    _dimension(
        "coherence",
        "whether the response serves as a continuation of the prompt",
        "response that fits its prompt better",
        "'Is this a coherent response given the dialogue history?', seeing the response and then instruction and input "
        "(earlier turns before the instruction)",
        f"{_EMPTY}, or there is no prompt, or the response leaves no room for it",
    ),
    _dimension(
        "understandability",
        "whether the response can be understood",
        "response that is easier to understand",
        "'Is this an understandable response in the dialogue?', seeing the response alone",
    ),
)
