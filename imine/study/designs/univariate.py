"""Univariate designs: subsets from consecutive quantile bands of one indicator, the others balanced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from imine.errors import StudyConfigError
from imine.study.design import Subset
from imine.study.designs.candidates import Candidates, Rows, generator
from imine.study.designs.steering import Array, Steering

_PROPOSED_OUT, _PROPOSED_IN = 32, 128
_PATIENCE, _MOST_STEPS = 25, 2000
BALANCED = 0.01
"""Standardised difference of a mean from the overall mean below which no further exchange is looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class BandedSubset:
    """A subset from one band.

    Attributes:
        subset: with the labels ``design_indicator`` and ``design_band``, and ``design_draw``: how many subsets
            of this band came before.
        balance: one row an indicator: ``run, indicator, banded`` (whether the bands are of this one), ``mean``
            of the subset, ``overall`` mean of all candidates, ``difference`` of the two in standard deviations
            of the candidates, and ``before`` any exchange (these two from values cut at 0.5 % and 99.5 %).
    """

    subset: Subset
    balance: pl.DataFrame


def quantile_bands(values: Array, ids: tuple[str, ...], bands: int) -> list[Rows]:
    """Candidates of consecutive bands of an indicator, from low to high; their sizes differ by one at most.

    Args:
        values: of the indicator, NaN where there is none (such candidates are in no band), shape (candidates,).
        ids: of the candidates, which order those of equal value.
        bands: number of bands.

    Examples:
        >>> bands = quantile_bands(np.array([3.0, 1.0, 1.0, 2.0]), ("a", "c", "b", "d"), 2)
        >>> [band.tolist() for band in bands]
        [[2, 1], [3, 0]]
    """
    known = [row for row in range(len(ids)) if np.isfinite(values[row])]
    known.sort(key=lambda row: (values[row], ids[row]))
    return [band.astype(np.int64) for band in np.array_split(np.array(known, dtype=np.int64), bands)]


def draw_banded(
    candidates: Candidates,
    steering: Steering,
    indicators: tuple[str, ...],
    bands: int,
    examples: int,
    seed: int,
    run: int,
    *,
    before: Rows | None = None,
) -> BandedSubset:
    """Draw the subset of a run of a univariate design.

    Runs go through the indicators in turn and for each of them through the bands: run ``r`` of ``q`` indicators
    is about indicator ``r % q`` and band ``(r // q) % bands``. Its rows are a random draw without replacement from
    the candidates of the band, and then exchanged for others of the band as :func:`balanced` does.

    Args:
        candidates: of all pools.
        steering: all indicators of the study.
        indicators: those that the design is about.
        bands: quantile bands of each.
        examples: rows of a subset.
        seed: seed of the study.
        run: number of the run.
        before: its rows in their order where they were drawn already.

    Raises:
        StudyConfigError: a band has fewer candidates than ``examples``.
    """
    turn, which = divmod(run, len(indicators))
    name, band = indicators[which], turn % bands
    column = steering.column(name)
    own = quantile_bands(steering.values[:, column], candidates.ids, bands)[band]
    if len(own) < examples:
        raise StudyConfigError(
            f"design.bands: band {band} of {bands} of {name} has {len(own)} candidates, and a subset "
            f"{examples} examples; allowed are at most {_known(steering, column) // examples} bands of this size"
        )
    rng = generator(seed, run, "univariate")
    drawn = rng.choice(own, examples, replace=False)
    others = [j for j in range(len(steering.names)) if j != column]
    rows = before if before is not None else rng.permutation(balanced(steering, drawn, own, others, rng))
    labels: dict[str, int | str] = {
        "design_indicator": name,
        "design_band": band,
        "design_draw": turn // bands,
    }
    subset = candidates.subset(rows, seed, run, labels=labels)
    return BandedSubset(subset, _balance(steering, rows, drawn, run, column))


def _known(steering: Steering, column: int) -> int:
    return int(steering.present[:, column].sum())


def balanced(
    steering: Steering, drawn: Rows, band: Rows, columns: list[int], rng: np.random.Generator
) -> Rows:
    """Exchange rows of a draw for others of its band until the means of some indicators are the overall ones.

    Each step proposes all exchanges of 32 random rows of the draw for 128 random others of the band, and does the
    one that leaves the smallest sum of squared standardised differences from the overall means, if that is smaller
    than before. It ends when no mean differs by more than 0.01 standard deviations, after 25 steps without an
    exchange, or after 2,000 steps. Where the band's rows are all on one side of a mean, that difference stays.

    Args:
        steering: the indicators of all candidates; a row without one counts as average in it.
        drawn: rows of the draw.
        band: all rows that may be drawn.
        columns: indicators to balance.
        rng: proposes the exchanges.

    Returns:
        As many rows as ``drawn``, each once, all of the band.
    """
    rows, z = drawn.copy(), steering.z[:, columns]
    outside = np.setdiff1d(band, rows, assume_unique=True)
    total, n, idle = z[rows].sum(axis=0), len(rows), 0
    for _ in range(_MOST_STEPS if len(outside) and columns else 0):
        if idle >= _PATIENCE or np.abs(total).max() <= BALANCED * n:
            break
        out = rng.choice(n, min(n, _PROPOSED_OUT), replace=False)
        into = rng.choice(len(outside), min(len(outside), _PROPOSED_IN), replace=False)
        after = total + z[outside[into]][None, :, :] - z[rows[out]][:, None, :]
        costs = np.einsum("oip,oip->oi", after, after)
        a, b = np.unravel_index(np.argmin(costs), costs.shape)
        if costs[a, b] < (total @ total) * (1.0 - 1e-9):
            rows[out[a]], outside[into[b]] = outside[into[b]], rows[out[a]]
            total, idle = after[a, b], 0
        else:
            idle += 1
    return rows


def _balance(steering: Steering, rows: Rows, drawn: Rows, run: int, column: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "run": [run] * len(steering.names),
            "indicator": list(steering.names),
            "banded": [j == column for j in range(len(steering.names))],
            "mean": _plain_means(steering.values[rows]),
            "overall": _plain_means(steering.values),
            "difference": steering.means(rows),
            "before": steering.means(drawn),
        }
    )


def _plain_means(values: Array) -> list[float | None]:
    columns = [column[np.isfinite(column)] for column in values.T]
    return [float(column.mean()) if len(column) else None for column in columns]
