"""Columns of the stage ``likelihood``."""

from __future__ import annotations

from imine.columns.spec import ColumnSpec

_NO_TOKENS = "the response has no tokens, or memory does not suffice for the example"
_ALONE = (
    "the response has no tokens, or a single one and the tokenizer puts none before it that could predict it, or "
    "memory does not suffice for the example"
)
_CHERRY = "IFD of Cherry LLM, Li et al. 2024, arXiv 2308.12032, section 2.2"

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
    ColumnSpec(
        name="loss",
        group="likelihood",
        doc="loss of the response given the prompt",
        unit="nats a token",
        direction="more surprising response",
        definition="The number of `log_perplexity` under the name that finetuning gives it: the loss that transformers "
        "computes of the example alone, with labels on the response only. The mean over a pool's tokens is the sum of "
        "`loss` times `response_tokens` over the sum of `response_tokens`.",
        null_when=_NO_TOKENS,
        formula="-1/T sum_t log p(y_t | prompt, y_<t)",
    ),
    ColumnSpec(
        name="perplexity_alone",
        group="likelihood",
        doc="perplexity of the response without the prompt",
        unit="1",
        direction="more surprising text",
        definition="exp of the mean negative log-likelihood of the response tokens read from the start of a text: "
        "after the token that the tokenizer puts before every text, where it puts one; else the first "
        "response token, which nothing predicts, is left out of the mean. The same tokens of the response "
        "are read as for `perplexity`, also where it was cut.",
        null_when=_ALONE,
        formula="exp(-1/T sum_t log p(y_t | y_<t))",
        low=1.0,
    ),
    ColumnSpec(
        name="log_perplexity_alone",
        group="likelihood",
        doc="loss of the response without the prompt",
        unit="nats a token",
        direction="more surprising text",
        definition="The logarithm of `perplexity_alone`; the direct answer score of Cherry LLM.",
        null_when=_ALONE,
        formula="-1/T sum_t log p(y_t | y_<t)",
        reference=_CHERRY,
    ),
    ColumnSpec(
        name="ifd",
        group="likelihood",
        doc="instruction-following difficulty: loss given the prompt over loss alone",
        unit="1",
        direction="the prompt helps less with the response",
        definition="`loss` / `log_perplexity_alone`: the ratio of the mean losses, as the paper defines it and its "
        "selection code computes it. Over 1 the prompt makes the response less likely. The ratio of the "
        "perplexities is `ifd_ppl`.",
        null_when=_ALONE + ", or the loss alone is 0",
        formula="s(A|Q) / s(A), s a mean of -log p",
        reference=_CHERRY,
    ),
    ColumnSpec(
        name="ifd_ppl",
        group="likelihood",
        doc="instruction-following difficulty as a ratio of perplexities",
        unit="1",
        direction="the prompt helps less with the response",
        definition="`perplexity` / `perplexity_alone`, as the later work of the same authors defines IFD.",
        null_when=_ALONE,
        formula="PPL(y | x) / PPL(y)",
        reference="Superfiltering, Li et al. 2024, arXiv 2402.00530",
    ),
    ColumnSpec(
        name="response_tokens",
        group="likelihood",
        doc="response tokens that the loss is the mean of",
        unit="tokens",
        direction="longer response",
        definition="Response tokens that were read given the prompt: all but those that were cut. 0 where there is no "
        "loss.",
        null_when="never",
        dtype="Int64",
    ),
    ColumnSpec(
        name="cut_tokens",
        group="likelihood",
        doc="tokens of prompt and response that did not fit",
        unit="tokens",
        direction="more of the example was not read",
        definition="Tokens of the templated prompt and of the response over `max_tokens`. The response keeps its "
        "beginning, at least half of `max_tokens` of it where it is that long; the prompt keeps its end, "
        "and the token that the tokenizer puts before every text.",
        null_when="never",
        dtype="Int64",
    ),
)
