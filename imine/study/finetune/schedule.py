"""The order of the examples, the learning rate of every step, and what of a step falls to which rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from imine.indicators.responses import bucket

if TYPE_CHECKING:
    from imine.study.recipe import FinetuneConfig

# Adding up the gradients of all weights takes about as long as this many tokens of a 135M model on a CPU.
_OVERHEAD = 64


def step_batches(count: int, settings: FinetuneConfig, seed: int) -> list[list[int]]:
    """Examples of every optimizer step: a fresh order each epoch, the last step of an epoch may be smaller.

    Args:
        count: number of examples.
        settings: for the batch size and the epochs.
        seed: seed of the run.

    Examples:
        >>> from imine.study.recipe import FinetuneConfig
        >>> batches = step_batches(5, FinetuneConfig(batch_size=2, epochs=2), seed=1)
        >>> [len(batch) for batch in batches], sorted(sum(batches[:3], []))
        ([2, 2, 1, 2, 2, 1], [0, 1, 2, 3, 4])
    """
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(count).tolist() for _ in range(settings.epochs)]
    size = settings.batch_size
    return [order[i : i + size] for order in orders for i in range(0, count, size)]


def learning_rate_factor(step: int, total: int, warmup: float, schedule: str) -> float:
    """Share of the peak learning rate at a step, counted from 0.

    The warm-up rises linearly to the peak at its last step; the decay never quite reaches 0, since a step
    at rate 0 would be wasted.

    Examples:
        >>> [round(learning_rate_factor(s, 6, 0.3, "cosine"), 3) for s in range(6)]
        [0.5, 1.0, 0.905, 0.655, 0.345, 0.095]
    """
    rising = math.ceil(warmup * total)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising + bool(rising)) / (total - rising + 1)
    return {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[schedule]


def deal(lengths: Sequence[int], world: int) -> list[list[int]]:
    """Share examples out among ranks: the longest first, each to the rank with the fewest tokens so far.

    Args:
        lengths: tokens of each example.
        world: number of ranks.

    Returns:
        For each rank the indices of its examples, rising; a rank may get none.

    Examples:
        >>> deal([10, 90, 50, 30], 2)
        [[1], [0, 2, 3]]
    """
    shares: list[list[int]] = [[] for _ in range(world)]
    tokens = [0] * world
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        rank = tokens.index(min(tokens))
        shares[rank].append(index)
        tokens[rank] += lengths[index]
    return [sorted(share) for share in shares]


def micro_batches(lengths: Sequence[int], max_tokens: int, rank: int, world: int) -> list[list[int]]:
    """Micro-batches of one rank in an optimizer step; every rank gets the same number of them.

    Stages 2 and 3 of ZeRO communicate in every micro-batch, so that a rank with fewer would be waited for without
    end: its missing ones are empty lists.

    Args:
        lengths: tokens of each example of the step, of all ranks.
        max_tokens: most tokens of a micro-batch, padding included.
        rank, world: this rank and the number of ranks.

    Examples:
        >>> micro_batches([10, 90, 50, 30], 60, 0, 2), micro_batches([10, 90, 50, 30], 60, 1, 2)
        ([[1], []], [[2], [3, 0]])
    """
    shares = deal(lengths, world)
    split = [bucket([lengths[i] for i in share], max_tokens, _OVERHEAD) for share in shares]
    mine = [[shares[rank][i] for i in group] for group in split[rank]]
    return mine + [[] for _ in range(max(map(len, split)) - len(mine))]
