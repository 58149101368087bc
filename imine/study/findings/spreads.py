"""Spread of subset means against the spread of examples."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from imine.study.findings.numbers import Estimated, spread_interval


@dataclass(frozen=True, slots=True)
class SpreadOf:
    """How far an indicator varies over runs and over examples.

    Attributes:
        name: the indicator.
        means: standard deviation of the subset means over runs, with its interval under normal means.
        examples: standard deviation of the examples of all subsets together.
        random: what the standard deviation of the means would be if every subset were a random draw of all examples.
    """

    name: str
    means: Estimated
    examples: float
    random: float

    @property
    def ratio(self) -> float:
        """Spread of the means in that of the examples."""
        return self.means.value / self.examples if self.examples else math.nan


def compare_spreads(
    frame: pl.DataFrame, names: Sequence[str], level: float, labels: Sequence[Hashable] | None = None
) -> tuple[SpreadOf, ...]:
    """Spreads of the indicators whose ``<name>__sd`` and ``<name>__n`` the runs have.

    Args:
        frame: the runs, at least two.
        names: the indicators.
        level: confidence level.
        labels: one a run, the same for runs of one subset, which counts once.

    Examples:
        >>> runs = pl.DataFrame({"mtld": [10.0, 14.0], "mtld__sd": [5.0, 5.0], "mtld__n": [100, 100]})
        >>> found = compare_spreads(runs, ["mtld"], 0.95)[0]
        >>> round(found.means.value, 3), round(found.examples, 3), round(found.random, 3)
        (2.828, 5.385, 0.539)
    """
    if labels is not None:
        first = {label: row for row, label in reversed(list(enumerate(labels)))}
        frame = frame[sorted(first.values())]
    found = []
    for name in names:
        columns = [name, f"{name}__sd", f"{name}__n"]
        if not all(c in frame.columns for c in columns):
            continue
        means, sds, counts = (
            frame.select(pl.col(c).cast(pl.Float64) for c in columns).drop_nulls().to_numpy().T
        )
        if len(means) < 2:
            continue
        within = float(np.sum((counts - 1) * sds**2) / np.sum(counts - 1))
        between = float(np.average((means - np.average(means, weights=counts)) ** 2, weights=counts))
        examples = math.sqrt(within + between)
        sd = float(means.std(ddof=1))
        found.append(
            SpreadOf(
                name,
                spread_interval(sd, len(means) - 1, level),
                examples,
                examples * math.sqrt(float(np.mean(1 / counts))),
            )
        )
    return tuple(found)
