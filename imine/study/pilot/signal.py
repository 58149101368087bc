"""Signal and noise of a recipe: how far pools lie apart, against how far runs on one pool do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imine.regression.results import Array

_SIMULATIONS = 20_000


@dataclass(frozen=True, slots=True)
class PoolNoise:
    """Runs on subsets of one pool.

    Attributes:
        pool: its name.
        runs: their number.
        mean: mean log loss.
        sd: standard deviation between them.
        low, high: ends of its chi-square interval.
    """

    pool: str
    runs: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SignalToNoise:
    """One-way analysis of variance of the runs by pool.

    Attributes:
        between: standard deviation of the pools' true means; 0 where they differ less than noise does.
        within: standard deviation of a run, pooled over the pools.
        f, p: F of no difference between pools; df: its degrees of freedom.
        ratio: between in units of within, squared: the variance ratio that a fit on such runs lives on.
        low, high: ends of its interval, exact for normal noise of equal variance and as many runs in every pool.
        level: of the intervals.
        pools: one entry a pool.
        bartlett: Bartlett's statistic for equal noise; infinite where the runs of a pool are all the same.
        bartlett_p: its p-value, from simulated normal runs of the same numbers.
    """

    between: float
    within: float
    f: float
    p: float
    df: tuple[int, int]
    ratio: float
    low: float
    high: float
    level: float
    pools: tuple[PoolNoise, ...]
    bartlett: float
    bartlett_p: float


def signal_to_noise(
    values: Mapping[str, Sequence[float]], *, level: float = 0.95, seed: int = 0
) -> SignalToNoise:
    """How far pools lie apart against the noise of a run.

    The noise is that of rows and seed together: each run of a pool has its own.

    Args:
        values: log losses by pool, at least two a pool and two pools.
        level: confidence level.
        seed: of the simulation behind ``bartlett_p``.

    Raises:
        ValueError: too few pools or runs, or runs that are all the same.

    References:
        Searle, Casella, McCulloch (1992), Variance Components, 3.6: the interval; Bartlett (1937), Proc. R. Soc.
        A 160, 268-282. His statistic is chi-square only with more runs a pool than a pilot has, hence the simulation.

    Examples:
        >>> found = signal_to_noise({"a": [1.00, 1.02], "b": [1.10, 1.12], "c": [1.30, 1.28]})
        >>> round(found.f, 1), found.df, round(found.within, 4), found.low > 1
        (201.3, (2, 3), 0.0141, True)
    """
    groups = {pool: np.asarray(runs, dtype=np.float64) for pool, runs in values.items()}
    sizes = np.array([len(runs) for runs in groups.values()])
    if len(groups) < 2 or sizes.min() < 2:
        raise ValueError("signal and noise need at least two pools with at least two runs each")
    n, k = int(sizes.sum()), len(groups)
    means = np.array([runs.mean() for runs in groups.values()])
    variances = np.array([runs.var(ddof=1) for runs in groups.values()])
    if not variances.any():
        raise ValueError("all runs of every pool have the same loss: there is no noise to compare with")
    within = float(((sizes - 1) * variances).sum() / (n - k))
    overall = float((sizes * means).sum() / n)
    between = float((sizes * (means - overall) ** 2).sum() / (k - 1))
    each = (n - float((sizes**2).sum()) / n) / (k - 1)
    f, df = between / within, (k - 1, n - k)
    p, low, high = _f_interval(f, df, each, level)
    statistic = float(_bartlett(variances[None, :], sizes)[0])
    return SignalToNoise(
        between=math.sqrt(max(0.0, (between - within) / each)),
        within=math.sqrt(within),
        f=f,
        p=p,
        df=df,
        ratio=max(0.0, (f - 1) / each),
        low=low,
        high=high,
        level=level,
        pools=tuple(_noise(pool, runs, level) for pool, runs in groups.items()),
        bartlett=statistic,
        bartlett_p=_simulated_p(statistic, sizes, seed),
    )


def _f_interval(f: float, df: tuple[int, int], each: float, level: float) -> tuple[float, float, float]:
    from scipy.stats import f as f_distribution

    tail = (1 - level) / 2
    low = max(0.0, float(f / f_distribution.isf(tail, *df) - 1) / each)
    high = max(0.0, float(f / f_distribution.ppf(tail, *df) - 1) / each)
    return float(f_distribution.sf(f, *df)), low, high


def _noise(pool: str, runs: Array, level: float) -> PoolNoise:
    from imine.study.findings.numbers import spread_interval

    sd = spread_interval(float(runs.std(ddof=1)), len(runs) - 1, level)
    return PoolNoise(pool, len(runs), float(runs.mean()), sd.value, sd.low, sd.high)


def _bartlett(variances: Array, sizes: Array) -> Array:
    """Bartlett's statistic of rows of variances, shape (any, pools); infinite where one is 0."""
    df = sizes - 1
    pooled = (variances * df).sum(axis=1) / df.sum()
    with np.errstate(divide="ignore"):
        apart = df.sum() * np.log(pooled) - (df * np.log(variances)).sum(axis=1)
    correction = 1 + ((1 / df).sum() - 1 / df.sum()) / (3 * (len(sizes) - 1))
    return np.asarray(apart / correction)


def _simulated_p(statistic: float, sizes: Array, seed: int) -> float:
    """Share of simulated sets of normal runs with equal noise that differ at least as much."""
    df = sizes - 1
    variances = np.random.default_rng(seed).chisquare(df, size=(_SIMULATIONS, len(df))) / df
    as_much = int((_bartlett(variances, sizes) >= statistic).sum())
    return (1 + as_much) / (1 + _SIMULATIONS)
