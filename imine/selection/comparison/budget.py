"""Budgets: how many tokens rows have, and where an order of rows is cut off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imine.errors import SelectionError
from imine.indicators.responses import trainable_tokens
from imine.indicators.templates import EncodedExample
from imine.selection.comparison.config import BudgetConfig, Unit


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of a pool is chosen.

    Attributes:
        pool: the pool.
        size: the amount as it was asked for.
        total: what the chosen rows should add up to, in the unit.
        unit: of ``total``.
        label: for people.
    """

    pool: str
    size: int
    total: float
    unit: Unit
    label: str


def row_costs(examples: Mapping[str, EncodedExample], unit: Unit) -> dict[str, int]:
    """What each row takes of a budget, by id: its tokens after cutting, the end-of-text token included, or 1.

    Args:
        examples: tokenised as they are trained on.
        unit: of the budget.

    Examples:
        >>> example = EncodedExample([1, 2, 3], [4, 5], 0)
        >>> [row_costs({"a": example}, unit)["a"] for unit in ("response_tokens", "total_tokens", "rows")]
        [2, 5, 1]
    """
    if unit == "rows":
        return dict.fromkeys(examples, 1)
    if unit == "response_tokens":
        return {id: trainable_tokens(example) for id, example in examples.items()}
    return {id: len(example.prompt) + len(example.response) for id, example in examples.items()}


def make_budgets(pool: str, costs: Mapping[str, int], settings: BudgetConfig) -> list[Budget]:
    """The budgets of a pool; a size in tokens is that many times the mean of all its candidates.

    Examples:
        >>> [b.total for b in make_budgets("p", {"a": 10, "b": 30}, BudgetConfig(sizes=[1, 2]))]
        [20.0, 40.0]
    """
    if settings.tokens or settings.unit == "rows":
        what = settings.unit.replace("_", " ")
        return [Budget(pool, n, float(n), settings.unit, f"{n:,} {what}") for n in settings.amounts]
    mean = sum(costs.values()) / len(costs)
    what = settings.unit.replace("_", " ")
    return [
        Budget(pool, n, n * mean, settings.unit, f"{n:,} average rows' {what} ({n * mean:,.0f})")
        for n in settings.amounts
    ]


def fill(order: Sequence[str], costs: Mapping[str, int], budget: Budget, who: str) -> list[str]:
    """The first rows of an order whose costs add up to the nearest to a budget; at least one row.

    No row is passed over for its size, so a selector is not pushed towards short rows at the end; the sum is off by
    half a row at most. Of two sums equally near, the smaller.

    Args:
        order: ids, best first.
        costs: of each row, in the budget's unit.
        budget: what to fill.
        who: the selector and what it chose from, for the message.

    Raises:
        SelectionError: all rows of the order together do not reach the budget.

    Examples:
        >>> budget = Budget("p", 2, 20.0, "total_tokens", "20 total tokens")
        >>> fill(["a", "b", "c"], {"a": 9, "b": 9, "c": 9}, budget, "x")
        ['a', 'b']
    """
    sums = np.cumsum([costs[id] for id in order], dtype=np.int64)
    if not len(sums) or sums[-1] < budget.total:
        have = int(sums[-1]) if len(sums) else 0
        raise _too_few(f"{who}: {len(order):,} rows with a score", have, budget)
    return list(order[: int(np.argmin(np.abs(sums - budget.total))) + 1])


def check_candidates(
    candidates: Sequence[Sequence[str]], costs: Mapping[str, int], budgets: Sequence[Budget]
) -> None:
    """Refuse budgets that no selector could fill, which needs no score to be seen.

    Args:
        candidates: ids that each seed chooses from.
        costs: of each row, in the budgets' unit.
        budgets: of this pool.

    Raises:
        SelectionError: all candidates of a seed together do not reach a budget.
    """
    for replicate, ids in enumerate(candidates):
        have = sum(costs[id] for id in ids)
        for budget in budgets:
            if have < budget.total:
                raise _too_few(
                    f"pool {budget.pool}, seed {replicate}: its {len(ids):,} candidates", have, budget
                )


def _too_few(who: str, have: int, budget: Budget) -> SelectionError:
    return SelectionError(
        f"{who} have {have:,} {budget.unit.replace('_', ' ')} together, fewer than the budget of {budget.label}. "
        "Choose smaller sizes, more rows of the pool, or a larger share of it a seed (draw_from)"
    )
