"""Subsets mixed from the pools: given weights, and budgets of response tokens."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from imine.errors import StudyConfigError
from imine.study.design import Subset
from imine.study.designs.budget import take_tokens
from imine.study.designs.candidates import Candidates, Rows, generator

Weights = NDArray[np.float64]


def given_mix(
    candidates: Candidates,
    mix: Mapping[str, float],
    seed: int,
    run: int,
    *,
    examples: int | None = None,
    response_tokens: int | None = None,
) -> Subset:
    """Draw a subset with given weights of the pools.

    The rows of a pool stand in a random line. Row ``j`` of a pool with weight ``w`` is drawn at the time
    ``(j + 1/2) / w``, so that every beginning of the draw holds the pools in their weights but for rounding
    (Webster's rule); the draw ends with the number of examples, or with the budget of response tokens.

    Args:
        candidates: of all pools, with their lengths for a budget of tokens.
        mix: weight of each pool; a pool that is not named has none, and they need not sum to 1.
        seed: seed of the study.
        run: number of the run.
        examples: rows of the subset; this or ``response_tokens``.
        response_tokens: budget of the subset; see :func:`~imine.study.designs.budget.take_tokens`.

    Raises:
        StudyConfigError: a pool has too few candidates for its weight, or the budget cannot be met.

    Examples:
        >>> candidates = Candidates.from_pools({"a": ["a1", "a2", "a3"], "b": ["b1", "b2"]})
        >>> given_mix(candidates, {"a": 3, "b": 1}, 0, 0, examples=4).counts
        {'a': 3, 'b': 1}
    """
    rng = generator(seed, run, "given weights")
    total = sum(mix.values())
    weights = np.array([mix.get(name, 0.0) / total for name in candidates.names])
    line, times = _timetable(candidates, weights, rng)
    rows = _take(candidates, line, examples, response_tokens)
    _check_ends(candidates, weights, times[np.isin(line, rows)].max(initial=0.0), len(rows), run)
    named = dict(zip(candidates.names, weights.tolist(), strict=True))
    return candidates.subset(rng.permutation(rows), seed, run, weights=named)


def _timetable(candidates: Candidates, weights: Weights, rng: np.random.Generator) -> tuple[Rows, Weights]:
    """All rows of pools with a weight in the order of their times, and these times."""
    rows, times = [], []
    for number, weight in enumerate(weights):
        own = rng.permutation(np.flatnonzero(candidates.pool == number))
        if weight > 0:
            rows.append(own)
            times.append((np.arange(len(own)) + 0.5) / weight)
    line, when = np.concatenate(rows), np.concatenate(times)
    order = np.argsort(when, kind="stable")
    return line[order], when[order]


def _take(candidates: Candidates, line: Rows, examples: int | None, tokens: int | None) -> Rows:
    if examples is None:
        assert tokens is not None
        assert candidates.lengths is not None
        return take_tokens(line, candidates.lengths, tokens)
    if len(line) < examples:
        raise StudyConfigError(
            f"design.examples: {examples} examples a subset, and the pools with a weight have {len(line)} candidates"
        )
    return line[:examples]


def _check_ends(candidates: Candidates, weights: Weights, last: float, rows: int, run: int) -> None:
    """A pool that ends before the draw does would leave its share to the others."""
    for name, weight, size in zip(candidates.names, weights, candidates.sizes, strict=True):
        if weight > 0 and (size + 0.5) / weight < last:
            raise StudyConfigError(
                f"design.weights: run {run} with {rows} rows needs about {round(weight * rows)} of pool {name} for "
                f"its weight {weight:.3g}, and it has {size} candidates; lower its weight or the size of the subset"
            )


def token_mix(
    candidates: Candidates, alphas: Mapping[str, float], response_tokens: int, seed: int, run: int
) -> Subset:
    """Draw a subset with random weights and a budget of response tokens.

    The weights are Dirichlet. The pool of each next row is drawn with them, the row is the next of the pool's
    candidates in a random line; a pool that has no row left is passed over. So the weights are expected shares of the
    rows, as they are in subsets of equally many examples, and not of the tokens.

    Args:
        candidates: of all pools, with their lengths.
        alphas: Dirichlet concentration of each pool.
        response_tokens: budget of the subset; see :func:`~imine.study.designs.budget.take_tokens`.
        seed: seed of the study.
        run: number of the run.

    Raises:
        StudyConfigError: the budget cannot be met.

    Examples:
        >>> candidates = Candidates.from_pools({"a": ["a1", "a2"], "b": ["b1", "b2"]}, [3, 4, 3, 6])
        >>> sum({"a1": 3, "a2": 4, "b1": 3, "b2": 6}[id] for id in token_mix(
        ...     candidates, {"a": 1, "b": 1}, 10, 0, 0).ids)
        10
    """
    rng = generator(seed, run, "mix by tokens")
    weights = rng.dirichlet([alphas[name] for name in candidates.names])
    line = random_line(candidates, weights, rng)
    rows = _take(candidates, line, None, response_tokens)
    named = dict(zip(candidates.names, weights.tolist(), strict=True))
    return candidates.subset(rng.permutation(rows), seed, run, weights=named)


def random_line(candidates: Candidates, weights: Weights, rng: np.random.Generator) -> Rows:
    """All candidates in a random order in which the pool of each next row is drawn with the weights.

    Args:
        candidates: of all pools.
        weights: one a pool, shape (pools,); they sum to 1.
        rng: random numbers.
    """
    n = len(candidates.ids)
    asked = rng.choice(len(weights), n, p=weights)
    own = [rng.permutation(np.flatnonzero(candidates.pool == p)) for p in range(len(weights))]
    line = np.full(n, -1, dtype=np.int64)
    for number, rows in enumerate(own):
        places = np.flatnonzero(asked == number)
        count = min(len(places), len(rows))
        line[places[:count]] = rows[:count]
    # Asked of a pool that had ended, and so not drawn; what nobody asked for comes last.
    line = line[line >= 0]
    rest = np.setdiff1d(np.arange(n), line, assume_unique=True)
    return np.concatenate([line, rng.permutation(rest)])
