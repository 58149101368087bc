"""Runs that are done again on the same rows with other seeds: pure error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from imine.study.design import Subset, training_seed
from imine.study.designs.settings import REPEAT_STEP


def with_repeats(subsets: Sequence[Subset], runs: int, seeds: int, seed: int) -> list[Subset]:
    """The subsets, and after them their repeats.

    Repeat ``r`` (from 1) of run ``k`` has the number ``k + r * 1,000,000``, which no later subset or repeat can have.
    Every subset gets the labels ``subset``, the run whose rows it has, and ``repeat``, 0 for the first training: with
    ``replicates="subset"`` the diagnostics of a fit tell the noise of training from what the terms miss.

    Args:
        subsets: drawn, in the order of their runs.
        runs: the first so many are repeated.
        seeds: repeats of each.
        seed: seed of the study.

    Examples:
        >>> from imine.study.design import draw_subset
        >>> subsets = [draw_subset({"a": ["x", "y"]}, {"a": 1}, 1, seed=0, run=run) for run in range(3)]
        >>> [(s.run, s.labels["subset"], s.labels["repeat"]) for s in with_repeats(subsets, 2, 1, seed=0)]
        [(0, 0, 0), (1, 1, 0), (2, 2, 0), (1000000, 0, 1), (1000001, 1, 1)]
    """
    first = [replace(s, labels={**s.labels, "subset": s.run, "repeat": 0}) for s in subsets]
    again = [
        replace(
            s,
            run=s.run + repeat * REPEAT_STEP,
            seed=training_seed(seed, s.run, repeat),
            labels={**s.labels, "repeat": repeat},
        )
        for repeat in range(1, seeds + 1)
        for s in first[:runs]
    ]
    return first + again
