"""Columns of the stage ``tokens``."""

from __future__ import annotations

from imine.columns.spec import ColumnSpec

_PAPER = "InstructMining, arXiv 2307.06290, table 1"

TOKENS = (
    ColumnSpec(
        name="input_length",
        group="tokens",
        doc="tokens of the prompt (instruction and input)",
        unit="tokens",
        direction="longer prompt",
        definition="Tokens of instruction and input, joined by a line break, by the named tokenizer, without "
        "special tokens or template.",
        null_when="never",
        reference=_PAPER,
        dtype="Int64",
    ),
    ColumnSpec(
        name="output_length",
        group="tokens",
        doc="tokens of the response",
        unit="tokens",
        direction="longer response",
        definition="Tokens of the response by the named tokenizer, without special tokens.",
        null_when="never",
        reference=_PAPER,
        dtype="Int64",
    ),
)
