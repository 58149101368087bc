"""Noise of a run: from repeats with other seeds, and from what the rule leaves over, pool by pool."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from imine.errors import RegressionError
from imine.regression.checks import Check
from imine.regression.results import Array, OlsResults
from imine.regression.run_data import RunData
from imine.study.findings.numbers import Estimated, spread_interval


@dataclass(frozen=True, slots=True)
class Repeats:
    """Runs that repeat a subset with other seeds.

    Attributes:
        subsets: subsets that were trained on more than once; runs: runs on them.
        sd: standard deviation of the log loss between runs of one subset, with its chi-square interval.
        df: its degrees of freedom.
        ceiling: share of the variance of the log loss that is not this noise: what a perfect rule could reach;
            0 or less where the noise is estimated as large as the whole spread. Its interval is that of the noise.
        lack_of_fit: whether the rule leaves over more than this noise.
    """

    subsets: int
    runs: int
    sd: Estimated
    df: int
    ceiling: Estimated
    lack_of_fit: Check


def repeat_column(frame: pl.DataFrame, column: str | None = None) -> str | None:
    """The column that tells which runs repeat a subset, where runs have one.

    Args:
        frame: the runs.
        column: its name; by default ``subset`` where a study with repeats wrote it.

    Raises:
        RegressionError: no such column.

    Examples:
        >>> repeat_column(pl.DataFrame({"subset": [0, 0], "repeat": [0, 1]}))
        'subset'
    """
    if column is not None and column not in frame.columns:
        raise RegressionError(
            f"replicates: the runs have no column {column}; they have: {', '.join(frame.columns)}"
        )
    return "subset" if column is None and {"subset", "repeat"} <= set(frame.columns) else column


def repeat_labels(
    frame: pl.DataFrame, names: Sequence[str], column: str | None = None, design: pl.DataFrame | None = None
) -> list[Hashable]:
    """One label a run, the same for the runs of one subset.

    Args:
        frame: the runs.
        names: the indicators: where nothing else tells, runs with the same means of all of them are repeats.
        column: column of the labels; by default ``subset`` where a study with repeats wrote it.
        design: ``run, id`` of every row of every subset, if it is at hand: the same rows are the same subset.

    Raises:
        RegressionError: no such column.

    Examples:
        >>> repeat_labels(pl.DataFrame({"mtld": [50.0, 60.0, 50.0]}), ["mtld"])
        [(50.0,), (60.0,), (50.0,)]
    """
    if named := repeat_column(frame, column):
        return list(frame[named].to_list())
    if design is not None and "run_id" in frame.columns:
        rows = design.group_by("run").agg(pl.col("id").sort())
        subsets = {run: tuple(ids) for run, ids in rows.iter_rows()}
        return [subsets.get(run, run) for run in frame["run_id"].to_list()]
    return list(frame.select(names).rows())


def noise_of_repeats(
    data: RunData, results: OlsResults, labels: Sequence[Hashable], level: float
) -> Repeats | None:
    """Noise between runs of one subset; ``None`` where no subset was trained on twice.

    Args:
        data: the runs.
        results: the fit of the rule.
        labels: see :func:`repeat_labels`.
        level: confidence level.
    """
    from imine.regression.diagnostics import diagnose

    counts = Counter(labels)
    repeated = [label for label, count in counts.items() if count > 1]
    if not repeated:
        return None
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for label, value in zip(labels, data.y.tolist(), strict=True):
        groups[label].append(value)
    squares = sum(float(np.sum((np.array(groups[g]) - np.mean(groups[g])) ** 2)) for g in repeated)
    df = sum(counts[g] - 1 for g in repeated)
    sd = (squares / df) ** 0.5
    check = diagnose(results, data.X, data.y, replicates=list(labels)).check("lack of fit")
    variance = float(np.var(data.y, ddof=1))
    noise = spread_interval(sd, df, level)
    ceiling = Estimated(*(1 - each**2 / variance for each in (noise.value, noise.high, noise.low)))
    return Repeats(len(repeated), sum(counts[g] for g in repeated), noise, df, ceiling, check)


@dataclass(frozen=True, slots=True)
class NoiseOfPool:
    """What the rule leaves over in the runs of which a pool has the most rows.

    Attributes:
        pool: its name; runs: their number.
        loss: mean loss of these runs.
        mean: mean of truth less fit, in log loss; sd: standard deviation of that, ``None`` for one run.
    """

    pool: str
    runs: int
    loss: float
    mean: float
    sd: float | None


@dataclass(frozen=True, slots=True)
class NoiseByPool:
    """Residuals of the rule by dominant pool.

    Attributes:
        pools: one entry a pool that dominates some run.
        statistic, p: Brown and Forsythe's test of equal spread over the pools with at least three runs;
            ``None`` where fewer than two have them.
    """

    pools: tuple[NoiseOfPool, ...]
    statistic: float | None
    p: float | None


def noise_by_pool(data: RunData, results: OlsResults, dominant: Sequence[str]) -> NoiseByPool:
    """Residuals by dominant pool, and a test whether they spread alike.

    Args:
        data: the runs.
        results: the fit of the rule.
        dominant: pool of most rows, one a run.

    References:
        Brown, Forsythe (1974), JASA 69, 364-367: Levene's test about medians.
    """
    from scipy.stats import levene

    residuals: dict[str, list[float]] = defaultdict(list)
    losses: dict[str, list[float]] = defaultdict(list)
    for pool, residual, y in zip(dominant, results.residuals.tolist(), data.y.tolist(), strict=True):
        residuals[pool].append(residual)
        losses[pool].append(float(np.exp(y)))
    pools = tuple(
        NoiseOfPool(pool, len(left), float(np.mean(losses[pool])), float(np.mean(left)), _sd(np.array(left)))
        for pool, left in sorted(residuals.items())
    )
    large = [left for left in residuals.values() if len(left) >= 3]
    if len(large) < 2:
        return NoiseByPool(pools, None, None)
    statistic, p = levene(*large, center="median")
    return NoiseByPool(pools, float(statistic), float(p))


def _sd(values: Array) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None
