"""Nested levels of quality: the same subset with a growing share of rows from pools of lower quality."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from imine.errors import StudyConfigError
from imine.study.design import Subset
from imine.study.designs.candidates import Candidates, Rows, generator
from imine.study.designs.mixed import random_line


def draw_level(
    candidates: Candidates,
    alphas: Mapping[str, float],
    lower: tuple[str, ...],
    count: int,
    most: float,
    examples: int,
    seed: int,
    run: int,
) -> Subset:
    """Draw the subset of a run in families of nested levels.

    Run ``r`` is level ``r % count`` of family ``r // count``. A family draws two lines of rows without
    replacement, one of the pools in ``lower`` and one of all others, each mixed with Dirichlet weights. Level
    ``l`` holds the first ``m(l) = round(examples * most * l / (count - 1))`` rows of the lower line and the first
    ``examples - m(l)`` of the other: all levels are of one size, a level contains all lower rows of the level
    before, and no better row that the level before did not have.

    Args:
        candidates: of all pools.
        alphas: Dirichlet concentration of each pool.
        lower: pools of lower quality.
        count: levels of a family.
        most: share of lower rows in the last level.
        examples: rows of a subset.
        seed: seed of the study.
        run: number of the run.

    Raises:
        StudyConfigError: one of the two sorts of pools has too few candidates.

    Examples:
        >>> candidates = Candidates.from_pools({"a": ["a1", "a2", "a3", "a4"], "b": ["b1", "b2", "b3"]})
        >>> levels = [draw_level(candidates, {"a": 1, "b": 1}, ("b",), 3, 0.5, 4, 0, run) for run in range(3)]
        >>> [level.counts["b"] for level in levels], set(levels[1].ids) & {"b1", "b2", "b3"} <= set(levels[2].ids)
        ([0, 1, 2], True)
    """
    family, level = divmod(run, count)
    rng = generator(seed, family, "levels")
    is_lower = np.isin(np.arange(len(candidates.names)), [candidates.names.index(name) for name in lower])
    share = round(examples * most * level / (count - 1))
    worse = _line(candidates, alphas, is_lower, rng)
    better = _line(candidates, alphas, ~is_lower, rng)
    for what, line, wanted in (
        ("the pools of design.levels.lower", worse, round(examples * most)),
        ("the other pools", better, examples),
    ):
        if len(line) < wanted:
            raise StudyConfigError(
                f"design.examples: levels need {wanted} rows from {what}, and these have {len(line)} candidates"
            )
    rows = np.concatenate([worse[:share], better[: examples - share]])
    labels = {"design_family": family, "design_level": level}
    # Each level shuffles by itself; what the order of one level is must not depend on the others.
    return candidates.subset(generator(seed, run, "level").permutation(rows), seed, run, labels=labels)


def _line(
    candidates: Candidates, alphas: Mapping[str, float], chosen: np.ndarray, rng: np.random.Generator
) -> Rows:
    names = [name for name, own in zip(candidates.names, chosen, strict=True) if own]
    weights = np.zeros(len(candidates.names))
    weights[chosen] = rng.dirichlet([alphas[name] for name in names])
    line = random_line(candidates, weights, rng)
    return line[chosen[candidates.pool[line]]]
