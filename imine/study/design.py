"""A subset, the draw of one that is mixed from the pools at random, and the table of them; others: designs/."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imine.errors import StudyConfigError

_SCHEMA = {"run": pl.Int64, "pool": pl.String, "id": pl.String, "order": pl.Int64}


@dataclass(frozen=True, slots=True)
class Subset:
    """One subset, the data of one finetune.

    Attributes:
        run: number of the run, from 0.
        seed: seed of its training.
        weights: mixing weight of each pool as drawn; they sum to 1.
        counts: rows of each pool.
        pools: pool of each row, in the subset's order.
        ids: id of each row, in the subset's order; no id stands twice.
        labels: what else its design says of it, such as ``design_band``; columns of ``runs.parquet``.
    """

    run: int
    seed: int
    weights: dict[str, float]
    counts: dict[str, int]
    pools: tuple[str, ...]
    ids: tuple[str, ...]
    labels: Mapping[str, int | str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Hash of the ids in their order, 16 hexadecimal digits."""
        return rows_sha256(self.ids)


def rows_sha256(ids: Sequence[str]) -> str:
    """Hash of row ids in their order, 16 hexadecimal digits.

    Examples:
        >>> rows_sha256(["a", "b"]) == rows_sha256(["b", "a"])
        False
    """
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


def draw_subset(
    pools: Mapping[str, Sequence[str]], alphas: Mapping[str, float], examples: int, seed: int, run: int
) -> Subset:
    """Draw the subset of a run; it depends on the study's seed and the run's number alone.

    The weights of the pools are Dirichlet, the counts multinomial with these weights, capped by the sizes of
    the pools (what a pool cannot give is drawn again from the others); the rows of a pool are drawn without
    replacement, and the whole is shuffled.

    Args:
        pools: ids of the candidates of each pool.
        alphas: Dirichlet concentration of each pool.
        examples: rows of the subset.
        seed: seed of the study.
        run: number of the run, from 0.

    Raises:
        StudyConfigError: the pools together have fewer candidates than ``examples``.

    Examples:
        >>> subset = draw_subset({"a": ["a1", "a2", "a3"], "b": ["b1"]}, {"a": 1, "b": 1}, 4, seed=0, run=0)
        >>> subset.counts, sorted(subset.ids)
        ({'a': 3, 'b': 1}, ['a1', 'a2', 'a3', 'b1'])
    """
    sequence = np.random.SeedSequence([seed, run])
    rng = np.random.default_rng(sequence)
    names = list(pools)
    sizes = np.array([len(pools[name]) for name in names])
    if sizes.sum() < examples:
        raise StudyConfigError(
            f"design.examples: {examples} examples a subset, and the pools have {sizes.sum()} candidates"
        )
    weights = rng.dirichlet([alphas[name] for name in names])
    counts = _capped_counts(rng, examples, weights, sizes)
    chosen = [
        (name, pools[name][i])
        for name, count in zip(names, counts.tolist(), strict=True)
        for i in rng.choice(len(pools[name]), count, replace=False).tolist()
    ]
    order = rng.permutation(examples).tolist()
    return Subset(
        run=run,
        seed=int(sequence.spawn(1)[0].generate_state(1)[0]),
        weights=dict(zip(names, weights.tolist(), strict=True)),
        counts=dict(zip(names, counts.tolist(), strict=True)),
        pools=tuple(chosen[i][0] for i in order),
        ids=tuple(chosen[i][1] for i in order),
    )


def training_seed(seed: int, run: int, repeat: int = 0) -> int:
    """Seed of a training, apart from the random numbers that its rows are drawn with.

    Args:
        seed: seed of the study.
        run: number of the subset.
        repeat: 0 for its first training.

    Examples:
        >>> subset = draw_subset({"a": ["a1", "a2"]}, {"a": 1}, 2, seed=7, run=3)
        >>> training_seed(7, 3) == subset.seed, training_seed(7, 3, repeat=1) == subset.seed
        (True, False)
    """
    return int(np.random.SeedSequence([seed, run]).spawn(repeat + 1)[repeat].generate_state(1)[0])


def _capped_counts(
    rng: np.random.Generator, total: int, weights: NDArray[np.float64], sizes: NDArray[np.int64]
) -> NDArray[np.int64]:
    counts = np.minimum(rng.multinomial(total, weights), sizes)
    while (missing := total - counts.sum()) > 0:
        room = counts < sizes
        # With a small concentration the weights of all pools that have room can underflow to 0.
        share = np.where(room, np.maximum(weights, np.finfo(float).tiny), 0.0)
        counts = np.minimum(counts + rng.multinomial(missing, share / share.sum()), sizes)
    return counts


def design_frame(subsets: Sequence[Subset]) -> pl.DataFrame:
    """The design as a table: ``run, pool, id, order``.

    Examples:
        >>> subset = draw_subset({"a": ["a1", "a2"]}, {"a": 1}, 2, seed=0, run=5)
        >>> design_frame([subset]).select("run", "pool", "order").rows()
        [(5, 'a', 0), (5, 'a', 1)]
    """
    rows = [
        (s.run, pool, id, i) for s in subsets for i, (pool, id) in enumerate(zip(s.pools, s.ids, strict=True))
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")
