"""One frozen spec for every score column; code, ``imine indicators`` and the docs read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """What a score column is.

    Attributes:
        name: column name in ``scores.parquet``.
        group: the stage that computes it: ``lexical``, ``tokens``, ``likelihood`` or ``neighbors``.
        dtype: polars dtype name.
        unit: unit of the values.
        low, high: closed bounds of possible values; ``None`` where unbounded.
        direction: what a larger value says of the text, not of its quality.
        doc: one line for people.
        definition: the exact definition, its source included.
        null_when: when the value is null; the reason stands in ``<name>__why``.
        version: raised when the numbers change for the same text.
    """

    name: str
    group: Literal["lexical", "tokens", "likelihood", "neighbors"]
    dtype: Literal["Float64", "Int64"]
    unit: str
    low: float | None
    high: float | None
    direction: str
    doc: str
    definition: str
    null_when: str
    version: int = 1

    @property
    def why(self) -> str:
        """Name of the column that holds the reason of a null.

        Examples:
            >>> COLUMNS["mtld"].why
            'mtld__why'
        """
        return f"{self.name}__why"


_WORD = (
    "Words as imine splits them (docs/lexical.md): runs of letters, marks and numbers with inner apostrophes "
    "and hyphens; Han, kana and Thai characters one by one."
)

COLUMNS: dict[str, ColumnSpec] = {
    spec.name: spec
    for spec in (
        ColumnSpec(
            "input_words",
            "lexical",
            "Int64",
            "words",
            0,
            None,
            "longer prompt",
            "words of the prompt (instruction and input)",
            _WORD,
            "the instruction is null",
        ),
        ColumnSpec(
            "output_words",
            "lexical",
            "Int64",
            "words",
            0,
            None,
            "longer response",
            "words of the response",
            _WORD,
            "the response is null",
        ),
        ColumnSpec(
            "mtld",
            "lexical",
            "Float64",
            "words a factor",
            0,
            None,
            "more varied vocabulary",
            "measure of textual lexical diversity of the response",
            "McCarthy and Jarvis (2010): mean length of the runs of words that keep the type-token ratio above "
            "0.72, mean of the forward and the backward pass, the last run counted in part, a text in which no "
            "word recurs counted as one run; equal to lexicalrichness 0.5.1 on the same words.",
            "the response has fewer words than the minimum (10), or is null",
        ),
        ColumnSpec(
            "input_length",
            "tokens",
            "Int64",
            "tokens",
            0,
            None,
            "longer prompt",
            "tokens of the prompt (instruction and input)",
            "Tokens of instruction and input, joined by a line break, by the named tokenizer, without special "
            "tokens or template (InstructMining, arXiv 2307.06290, table 1).",
            "never",
        ),
        ColumnSpec(
            "output_length",
            "tokens",
            "Int64",
            "tokens",
            0,
            None,
            "longer response",
            "tokens of the response",
            "Tokens of the response by the named tokenizer, without special tokens (InstructMining, "
            "arXiv 2307.06290, table 1).",
            "never",
        ),
        ColumnSpec(
            "perplexity",
            "likelihood",
            "Float64",
            "1",
            1,
            None,
            "more surprising response",
            "perplexity of the response given the prompt",
            "exp of the mean negative log-likelihood of the response tokens given the templated prompt "
            "(InstructMining, arXiv 2307.06290, table 1).",
            "the response has no tokens, or none is left after truncation",
        ),
        ColumnSpec(
            "log_perplexity",
            "likelihood",
            "Float64",
            "nats a token",
            0,
            None,
            "more surprising response",
            "natural logarithm of the perplexity",
            "Mean negative log-likelihood of the response tokens given the templated prompt: the logarithm of "
            "`perplexity`. Perplexities of one-word responses reach millions, and a mean of them is that of a few "
            "rows; the mean of their logarithms is not.",
            "the response has no tokens, or none is left after truncation",
        ),
        ColumnSpec(
            "knn_6",
            "neighbors",
            "Float64",
            "Euclidean distance",
            0,
            2,
            "further from other examples",
            "distance to the 6th nearest neighbour among the reference set",
            "Euclidean distance between unit-length sentence embeddings of the whole example and of its 6th "
            "nearest neighbour in the reference set (InstructMining, arXiv 2307.06290, section 3.1). Among the pool "
            "itself, only the row itself is left out, so that a duplicate counts; a reference set made for a rule "
            "holds each content once, and what has the same content as the row is left out.",
            "the example has no text, or the reference set has fewer than 6 other examples",
        ),
    )
}
