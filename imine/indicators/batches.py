"""Batches by token budget, the longest first; where memory runs out, smaller ones from there on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from imine.indicators.responses import bucket
from imine.progress import Progress, SilentProgress

# Beginnings and pieces of what torch says, on a CPU, a GPU, and in the libraries below it, when memory runs out.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "status_alloc_failed")


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one batch.

    Attributes:
        rows: positions of the examples in it.
        values: what was computed of them; ``None`` where even this single row took too much memory.
        why: reason of that, else ``None``.
    """

    rows: list[int]
    values: Any
    why: str | None = None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device.

    Examples:
        >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
        True
        >>> is_out_of_memory(RuntimeError("shapes differ")), is_out_of_memory(MemoryError())
        (False, True)
    """
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(part in text for part in _OUT_OF_MEMORY)


def run_batches(
    lengths: Sequence[int],
    compute: Callable[[list[int]], Any],
    *,
    max_tokens: int,
    progress: Progress | None = None,
) -> Iterator[BatchResult]:
    """Run examples in batches of similar length.

    A batch that takes too much memory is halved and tried again, and no later one has more padded tokens than half of
    it had. A single row that does not fit is given back without a value, and the others go on.

    Args:
        lengths: length of each example, in tokens.
        compute: called with the positions of a batch.
        max_tokens: most tokens of a batch, its padding included; a longer example stands alone.
        progress: told when memory ran out.

    Yields:
        One result a batch; every position is in one of them.

    Examples:
        >>> [result.values for result in run_batches([3, 1, 3], lambda rows: rows, max_tokens=6)]
        [[0, 2], [1]]
    """
    waiting = bucket(lengths, max_tokens)[::-1]
    limit = max_tokens
    while waiting:
        rows = waiting.pop()
        size = max(lengths[i] for i in rows) * len(rows)
        if size > limit and len(rows) > 1:
            waiting += _halves(rows)
            continue
        values, full = _attempt(compute, rows)
        if not full:
            yield BatchResult(rows, values)
            continue
        _free_memory()
        if len(rows) == 1:
            yield BatchResult(rows, None, f"memory ran out at the example's {lengths[rows[0]]:,} tokens")
            continue
        limit = size // 2
        (progress or SilentProgress()).note(
            f"memory ran out at {len(rows)} rows of {size:,} tokens together; going on with at most {limit:,}"
        )
        waiting += _halves(rows)


def _attempt(compute: Callable[[list[int]], Any], rows: list[int]) -> tuple[Any, bool]:
    """The values, and whether memory ran out; the error, which holds on to tensors, is gone on return."""
    try:
        return compute(rows), False
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None, True


def _halves(rows: list[int]) -> list[list[int]]:
    middle = (len(rows) + 1) // 2
    return [rows[middle:], rows[:middle]]


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
