"""What each seed chooses from, and what each selector chooses there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from imine.rendering import percent
from imine.selection.comparison.budget import Budget, check_candidates, fill, make_budgets
from imine.selection.comparison.config import ComparisonConfig
from imine.selection.comparison.selectors import Selector
from imine.study.design import rows_sha256
from imine.study.pools import seeded_order


@dataclass(frozen=True, slots=True)
class Choice:
    """The rows of one finetune.

    Attributes:
        pool, selector: whose.
        size: the amount as it was asked for.
        replicate: number of the seed, from 0.
        seed: of the training.
        ids: rows, best first.
    """

    pool: str
    size: int
    selector: str
    replicate: int
    seed: int
    ids: tuple[str, ...]

    @property
    def run(self) -> str:
        """Name of the run in the ledger.

        Examples:
            >>> Choice("dolly", 128, "rule", 0, 1, ()).run
            'dolly-128-rule-0'
        """
        return f"{self.pool}-{self.size}-{self.selector.replace(':', '_')}-{self.replicate}"

    @property
    def sha256(self) -> str:
        """Hash of the ids in their order."""
        return rows_sha256(self.ids)


def candidates_of(
    ids: Sequence[str], draw_from: float | str, replicates: int, seed: int, pool: str
) -> list[list[str]]:
    """What each seed chooses from, in the order of ``ids``.

    Args:
        ids: candidates of the pool.
        draw_from: 1 for all; a share, another random part of that size for every seed; ``parts`` for as many
            disjoint random parts as seeds, whose sizes differ by one at most.
        replicates: number of seeds.
        seed: of the comparison.
        pool: its name.

    Examples:
        >>> parts = candidates_of(["a", "b", "c", "d"], "parts", 2, seed=0, pool="p")
        >>> sorted(parts[0] + parts[1]), [len(part) for part in candidates_of("abcd", 0.5, 3, 0, "p")]
        (['a', 'b', 'c', 'd'], [2, 2, 2])
    """
    if draw_from == 1.0:
        return [list(ids)] * replicates
    if draw_from == "parts":
        order = seeded_order(len(ids), seed, "parts", pool)
        return [[ids[i] for i in sorted(order[r::replicates])] for r in range(replicates)]
    count = max(1, round(float(draw_from) * len(ids)))
    orders = [seeded_order(len(ids), seed, "share", pool, str(r)) for r in range(replicates)]
    return [[ids[i] for i in sorted(order[:count])] for order in orders]


def draw_pool(
    config: ComparisonConfig, pool: str, ids: Sequence[str], costs: Mapping[str, int]
) -> tuple[list[list[str]], list[Budget]]:
    """What each seed chooses from in a pool, and the budgets that are filled from it.

    Args:
        config: the comparison.
        pool: name of the pool.
        ids: its candidates.
        costs: of these rows at least, in the budgets' unit.

    Raises:
        SelectionError: all candidates of a seed together do not reach a budget.
    """
    ids = sorted(ids)
    budgets = make_budgets(pool, {id: costs[id] for id in ids}, config.budget)
    parts = candidates_of(ids, config.draw_of(pool), config.seeds, config.seed, pool)
    check_candidates(parts, costs, budgets)
    return parts, budgets


def choose(
    selector: Selector,
    scores: pl.DataFrame | None,
    candidates: Sequence[Sequence[str]],
    costs: Mapping[str, int],
    budgets: Sequence[Budget],
    seed: int,
) -> list[Choice]:
    """What a selector chooses from a pool, for every seed and budget.

    Args:
        selector: the selector.
        scores: ``id`` and ``score`` of all candidates of the pool; ``None`` for ``random``.
        candidates: ids that each seed chooses from.
        costs: of every row, in the budgets' unit.
        budgets: of this pool.
        seed: of the comparison.

    Raises:
        SelectionError: a seed's candidates do not fill a budget.
    """
    pool, choices = budgets[0].pool, []
    whole = None if scores is None else selector.order(scores)
    for replicate, ids in enumerate(candidates):
        if whole is None:
            order = [ids[i] for i in seeded_order(len(ids), seed, "random", pool, str(replicate))]
        else:
            here = set(ids)
            order = [id for id in whole if id in here]
        who = f"pool {pool}, selector {selector.name}, seed {replicate}: of {len(ids):,} candidates"
        choices += [
            Choice(
                pool,
                budget.size,
                selector.name,
                replicate,
                _training_seed(seed, pool, budget.size, selector.name, replicate),
                tuple(fill(order, costs, budget, who)),
            )
            for budget in budgets
        ]
    return choices


def _training_seed(seed: int, *purpose: object) -> int:
    # Every finetune has a seed of its own: noise that two selectors shared would not be seen in either.
    word = hashlib.sha256("\0".join(map(str, (seed, "train", *purpose))).encode()).digest()[:8]
    return int(np.random.SeedSequence(int.from_bytes(word, "little")).generate_state(1)[0])


def choices_frame(choices: Sequence[Choice]) -> pl.DataFrame:
    """All choices as a table: ``pool, size, selector, seed, order, id``."""
    columns: dict[str, list[object]] = {
        name: [] for name in ("pool", "size", "selector", "seed", "order", "id")
    }
    for c in choices:
        for place, id in enumerate(c.ids):
            for name, value in zip(
                columns, (c.pool, c.size, c.selector, c.replicate, place, id), strict=True
            ):
                columns[name].append(value)
    return pl.DataFrame(columns)


def draw_notes(config: ComparisonConfig, pools: Mapping[str, pl.DataFrame]) -> list[str]:
    """What each seed chooses from, and what the intervals hold for, a note a pool.

    Args:
        config: the comparison.
        pools: candidates of every pool.
    """
    return [
        f"Pool {pool}: {_draw_note(config.draw_of(pool), records.height, config.seeds)}"
        for pool, records in pools.items()
    ]


def _draw_note(how: float | str, count: int, seeds: int) -> str:
    if how == 1.0:
        return (
            f"every seed chooses from all {count:,} candidates: selectors by a score choose the same rows for every "
            "seed, only their training differs; random draws anew. The intervals hold for this pool as it is."
        )
    if how == "parts":
        return (
            f"{count:,} candidates are split at random into {seeds} parts; every seed chooses from its own, the same "
            "for all selectors. Seeds are paired, and the intervals hold for pools of this kind and size "
            f"({count // seeds:,} rows)."
        )
    share = float(how)
    return (
        f"every seed chooses from another random {percent(share)} of {count:,} candidates, the same for all selectors. "
        "Seeds are paired; these parts overlap, so that the intervals hold only about the share "
        f"{1 - share:.2g} of the variance that another pool of the kind would add."
    )
