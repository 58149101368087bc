"""Columns of the stage ``likelihood``."""

from __future__ import annotations

from imine.columns.spec import ColumnSpec

_NO_TOKENS = "the response has no tokens, or none is left after truncation"

LIKELIHOOD = (
    ColumnSpec(
        name="perplexity",
        group="likelihood",
        doc="perplexity of the response given the prompt",
        unit="1",
        direction="more surprising response",
        definition="exp of the mean negative log-likelihood of the response tokens given the templated prompt.",
        null_when=_NO_TOKENS,
        formula="exp(-1/T sum_t log p(y_t | prompt, y_<t))",
        reference="InstructMining, arXiv 2307.06290, table 1",
        low=1.0,
    ),
    ColumnSpec(
        name="log_perplexity",
        group="likelihood",
        doc="natural logarithm of the perplexity",
        unit="nats a token",
        direction="more surprising response",
        definition="Mean negative log-likelihood of the response tokens given the templated prompt: the logarithm of "
        "`perplexity`. Perplexities of one-word responses reach millions, and a mean of them is that of a few "
        "rows; the mean of their logarithms is not.",
        null_when=_NO_TOKENS,
        formula="-1/T sum_t log p(y_t | prompt, y_<t)",
    ),
)
