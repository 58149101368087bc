"""Tokens of a study, counted with its own tokenizer over the very rows that it draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imine.indicators.responses import bucket, trainable_tokens
from imine.indicators.templates import EncodedExample
from imine.study.design import Subset
from imine.study.finetune.schedule import micro_batches, step_batches
from imine.study.planning.parts import PoolPlan, Tokens
from imine.study.recipe import FinetuneConfig

Encoded = Mapping[str, EncodedExample]


def count_tokens(examples: Sequence[EncodedExample]) -> Tokens:
    """Rows and tokens of examples, without padding.

    Examples:
        >>> count_tokens([EncodedExample([1, 2], [3], 0), EncodedExample([1], [3, 4], 5)])
        Tokens(rows=2, tokens=6, response=3, padded=0, cut=1)
    """
    return Tokens(
        rows=len(examples),
        tokens=sum(_length(e) for e in examples),
        response=sum(trainable_tokens(e) for e in examples),
        cut=sum(e.truncated > 0 for e in examples),
    )


def padded(lengths: Sequence[int], groups: Sequence[Sequence[int]]) -> int:
    """Tokens of examples that go through a model in groups, padding included.

    Examples:
        >>> padded([10, 100, 90, 12], [[1, 2], [3, 0]])
        224
    """
    return sum(len(group) * max(lengths[i] for i in group) for group in groups)


def count_evaluation(examples: Sequence[EncodedExample], settings: FinetuneConfig) -> Tokens:
    """One evaluation of a set."""
    lengths = [_length(e) for e in examples]
    width = padded(lengths, bucket(lengths, settings.micro_tokens))
    return count_tokens(examples) + Tokens(padded=width)


def count_run(subset: Subset, encoded: Encoded, settings: FinetuneConfig) -> tuple[Tokens, int]:
    """Tokens of a finetune, all epochs together, and its optimizer steps.

    The steps are those that the finetune will take, so the padding is not an estimate.
    """
    examples = [encoded[id] for id in subset.ids]
    lengths = [_length(e) for e in examples]
    steps = step_batches(len(examples), settings, subset.seed)
    width = sum(_step_width([lengths[i] for i in step], settings) for step in steps)
    return count_tokens(examples).times(settings.epochs) + Tokens(padded=width), len(steps)


def _step_width(lengths: Sequence[int], settings: FinetuneConfig) -> int:
    return padded(lengths, micro_batches(lengths, settings.micro_tokens, rank=0, world=1))


def count_pools(
    subsets: Sequence[Subset], encoded: Encoded, candidates: Mapping[str, int], epochs: int
) -> tuple[PoolPlan, ...]:
    """What the subsets take of every pool."""
    drawn: dict[str, list[str]] = {name: [] for name in candidates}
    for subset in subsets:
        for pool, id in zip(subset.pools, subset.ids, strict=True):
            drawn[pool].append(id)
    return tuple(
        PoolPlan(
            name,
            candidates[name],
            len(set(ids)),
            count_tokens([encoded[id] for id in ids]).times(epochs),
        )
        for name, ids in drawn.items()
    )


def _length(example: EncodedExample) -> int:
    return len(example.prompt) + len(example.response)
