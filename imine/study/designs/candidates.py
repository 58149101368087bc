"""What rows are drawn from, and what a draw makes of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imine.study.design import Subset, training_seed

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """All candidates of a study, pool after pool.

    Attributes:
        names: the pools, in the order of the study file.
        ids: id of every candidate, shape (candidates,).
        pool: number of its pool, shape (candidates,).
        lengths: its response tokens as they are trained on, shape (candidates,); ``None`` where nobody asked.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    pool: Rows
    lengths: Rows | None = None

    @classmethod
    def from_pools(
        cls, pools: Mapping[str, Sequence[str]], lengths: Sequence[int] | None = None
    ) -> Candidates:
        """Candidates by their pools.

        Args:
            pools: ids of the candidates of each pool.
            lengths: response tokens of all of them, pool after pool.

        Examples:
            >>> Candidates.from_pools({"a": ["a1", "a2"], "b": ["b1"]}).pool.tolist()
            [0, 0, 1]
        """
        pool = np.repeat(np.arange(len(pools)), [len(ids) for ids in pools.values()])
        ids = tuple(id for part in pools.values() for id in part)
        return cls(tuple(pools), ids, pool, None if lengths is None else np.asarray(lengths, dtype=np.int64))

    @property
    def sizes(self) -> Rows:
        """Candidates of each pool, shape (pools,)."""
        return np.bincount(self.pool, minlength=len(self.names))

    def members(self, names: Iterable[str]) -> Rows:
        """Candidates of these pools, ascending."""
        wanted = [self.names.index(name) for name in names]
        return np.flatnonzero(np.isin(self.pool, wanted))

    def subset(
        self,
        rows: Rows,
        seed: int,
        run: int,
        *,
        weights: Mapping[str, float] | None = None,
        labels: Mapping[str, int | str] | None = None,
    ) -> Subset:
        """The subset of these candidates, in this order.

        Args:
            rows: numbers of candidates, each once.
            seed: seed of the study.
            run: number of the subset.
            weights: weights of the pools; their shares of the rows where absent.
            labels: what else the design says of it.
        """
        counts = np.bincount(self.pool[rows], minlength=len(self.names))
        shares = counts / max(1, len(rows))
        return Subset(
            run=run,
            seed=training_seed(seed, run),
            weights=dict(weights or zip(self.names, shares.tolist(), strict=True)),
            counts=dict(zip(self.names, counts.tolist(), strict=True)),
            pools=tuple(self.names[p] for p in self.pool[rows].tolist()),
            ids=tuple(self.ids[row] for row in rows.tolist()),
            labels=dict(labels or {}),
        )


def generator(seed: int, run: int, purpose: str) -> np.random.Generator:
    """Random numbers that depend on the study's seed, a number and the purpose alone.

    Examples:
        >>> generator(0, 1, "levels").integers(100) == generator(0, 1, "levels").integers(100)
        np.True_
    """
    # A constant beside seed and run keeps these numbers apart from those of draw_subset.
    return np.random.default_rng(np.random.SeedSequence([seed, run, zlib.crc32(purpose.encode())]))
