"""Batches of rows through a model: on one device in this process, on several in one process each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from imine.indicators.batches import BatchResult, run_batches
from imine.indicators.processes import Work, run_in_processes
from imine.progress import Progress

Compute = Callable[[list[Any]], list[Any]]
"""From the items of a batch to a value each."""

# Batches in what one of several processes does at a time.
_BATCHES_A_PIECE = 16


def run_spread(
    prepare: Callable[[str], Compute],
    items: Sequence[Any],
    lengths: Sequence[int],
    devices: Sequence[str],
    budgets: Mapping[str, int],
    progress: Progress,
) -> Iterator[BatchResult]:
    """Run items in batches of similar length, the longest first; where memory runs out, in smaller ones.

    Args:
        prepare: called with a device, once in each process: loads the model there. With several devices a function of
            a module, or a partial of one.
        items: what a batch is made of; with several devices they are sent to the processes.
        lengths: of each item, in tokens.
        devices: as torch names them.
        budgets: most padded tokens of a batch, by the type of the device.
        progress: told when memory ran out.

    Yields:
        One result a batch; every position is in one of them. ``values`` has one entry a row.

    Raises:
        WorkerError: one of several processes failed; the message holds its error.
    """
    if not items:
        return
    budget = budgets.get(devices[0].partition(":")[0], budgets["cpu"])
    if len(devices) == 1:
        compute = prepare(devices[0])
        yield from run_batches(
            lengths, lambda rows: compute([items[i] for i in rows]), max_tokens=budget, progress=progress
        )
        return
    parts = _parts(lengths, budget * _BATCHES_A_PIECE)
    pieces = [([items[i] for i in part], [lengths[i] for i in part]) for part in parts]
    for piece, done in run_in_processes(partial(_work, prepare, budget), pieces, devices, progress):
        yield BatchResult([parts[piece][k] for k in done.rows], done.values, done.why)


def _work(prepare: Callable[[str], Compute], budget: int, device: str) -> Work:
    """What each process does first: load the model on its device."""
    compute = prepare(device)

    def work(piece: tuple[list[Any], list[int]], progress: Progress) -> Iterator[BatchResult]:
        items, lengths = piece
        return run_batches(
            lengths, lambda rows: compute([items[i] for i in rows]), max_tokens=budget, progress=progress
        )

    return work


def _parts(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Positions in parts of similar length and about so many tokens, the longest first."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    before = np.cumsum([0, *(lengths[i] for i in order[:-1])]) // tokens
    return [[i for i, part in zip(order, before, strict=True) if part == k] for k in np.unique(before)]
