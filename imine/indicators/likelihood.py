"""Perplexity of the response given the prompt, under a causal language model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import polars as pl

from imine.columns import require_column
from imine.indicators.cache import ScoreStore
from imine.indicators.models import LoadedModel, load_causal_lm
from imine.indicators.prefix import PrefixCache, shared_prefix
from imine.indicators.responses import bucket, collate, response_sums
from imine.indicators.templates import EncodedExample, Template, encode_examples
from imine.progress import Progress

# Padded tokens a batch.
BATCH_TOKENS = 2048
# Leading tokens that tell one layout of a template from another, and the rows from which a prefix pays.
_HEAD_KEY = 24
_WORTH_A_PREFIX = 16


def perplexity_fingerprint(
    name: str, model_name: str, model_sha256: str, tokenizer_sha256: str, template: Template, max_tokens: int
) -> dict[str, Any]:
    """What makes a column of perplexities or of their logarithms."""
    return {
        "indicator": name,
        "version": require_column(name).version,
        "model": {"name": model_name, "sha256": model_sha256},
        "tokenizer": {"name": model_name, "sha256": tokenizer_sha256},
        "template": {"name": template.name, "sha256": template.sha256},
        "max_tokens": max_tokens,
        "dtype": "float32",
    }


def score_perplexity(
    frame: pl.DataFrame,
    keys: list[str],
    *,
    model_name: str,
    template: Template,
    max_tokens: int,
    store: ScoreStore,
    progress: Progress,
) -> pl.DataFrame:
    """Perplexity of every row; what the store has is not computed again.

    Args:
        frame: records, with ``instruction``, ``input`` and ``output``.
        keys: content key of each row.
        model_name: name or folder of the model.
        template: prompt template.
        max_tokens: longest prompt and response together, see :func:`encode_examples`.
        store: where finished rows are kept.
        progress: told of the tokens done.

    Returns:
        One row a row of ``frame``: ``value`` (Float64) and ``why`` (String, reason of a null).
    """
    missing = store.missing(keys)
    if missing:
        lm = load_causal_lm(model_name)
        columns = [frame[name].gather(missing).to_list() for name in ("instruction", "input", "output")]
        examples = encode_examples(lm.tokenizer, template, *columns, max_tokens=max_tokens, add_eos=False)
        progress.start("perplexity", sum(_length(e) for e in examples), "tokens")
        with store:
            for i, value in _perplexities(lm, examples, progress):
                store.add(
                    keys[missing[i]], value, None if value is not None else "the response has no tokens"
                )
        progress.finish()
    return store.column(keys)


def _length(example: EncodedExample) -> int:
    return len(example.prompt) + len(example.response)


def _perplexities(
    lm: LoadedModel, examples: list[EncodedExample], progress: Progress
) -> Iterator[tuple[int, float | None]]:
    """Longest first within a group that shares the template's head, so that padding and time left stay honest."""
    import torch

    with torch.inference_mode():
        for group, head in _groups(examples):
            cache = PrefixCache(lm.model, head)
            rest = [_without(examples[i], cache.length) for i in group]
            for rows in bucket([_length(e) for e in rest], BATCH_TOKENS):
                values = _batch_perplexities(lm, [rest[k] for k in rows], cache)
                yield from zip((group[k] for k in rows), values, strict=True)
                progress.advance(sum(_length(examples[group[k]]) for k in rows))
    for i, example in enumerate(examples):
        if not example.response:
            yield i, None
            progress.advance(_length(example))


def _groups(examples: list[EncodedExample]) -> Iterator[tuple[list[int], list[int]]]:
    """Rows that share a long beginning of their prompts, with that beginning; truncated rows share none."""
    whole: dict[tuple[int, ...], list[int]] = {}
    rest = []
    for i, example in enumerate(examples):
        if example.response and not example.truncated:
            whole.setdefault(tuple(example.prompt[:_HEAD_KEY]), []).append(i)
        elif example.response:
            rest.append(i)
    for rows in whole.values():
        if len(rows) >= _WORTH_A_PREFIX:
            yield rows, examples[rows[0]].prompt[: shared_prefix(examples, rows)]
        else:
            rest += rows
    if rest:
        yield rest, []


def _without(example: EncodedExample, head: int) -> EncodedExample:
    return EncodedExample(example.prompt[head:], example.response, example.truncated)


def _batch_perplexities(lm: LoadedModel, examples: list[EncodedExample], cache: PrefixCache) -> list[float]:
    batch = collate(examples, lm.tokenizer.pad_token_id).to(lm.model.device)
    sums = response_sums(lm.model, batch, cache.lend(len(examples))).tolist()
    return [math.exp(s / len(e.response)) for s, e in zip(sums, examples, strict=True)]
