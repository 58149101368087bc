"""How much of a rule survives without a pool, and how much of it is only which pool a run is of."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from imine.errors import RegressionError
from imine.regression.after_choosing import Procedure
from imine.regression.ols import fit_ols
from imine.regression.results import Array
from imine.regression.run_data import RunData
from imine.regression.validation import CrossValidation, cross_validate
from imine.regression.validation.cross import Fold
from imine.regression.validation.schemes import Held, Scheme
from imine.regression.validation.scores import Predicted, score
from imine.rendering import percent
from imine.study.findings.numbers import HeldOut, held_out

_ROWS = "rows_"


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Which pools the runs are mixed from.

    Attributes:
        pools: their names.
        values: share of each run's rows, shape (runs, pools).
    """

    pools: tuple[str, ...]
    values: Array

    @property
    def dominant(self) -> list[str]:
        """The pool that a run has most rows of, run by run."""
        return [self.pools[i] for i in self.values.argmax(axis=1)]


def pool_shares(frame: pl.DataFrame) -> Shares | None:
    """Shares of the pools from the columns ``rows_<pool>``; ``None`` where there are fewer than two.

    Examples:
        >>> pool_shares(pl.DataFrame({"rows_a": [3, 0], "rows_b": [1, 4]})).values.tolist()
        [[0.75, 0.25], [0.0, 1.0]]
    """
    columns = [c for c, dtype in frame.schema.items() if c.startswith(_ROWS) and dtype.is_integer()]
    if len(columns) < 2:
        return None
    rows = frame.select(pl.col(columns).fill_null(0)).to_numpy().astype(np.float64)
    return Shares(tuple(c.removeprefix(_ROWS) for c in columns), rows / rows.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class WithoutPool:
    """A rule fitted on runs with little of a pool, held against those with more.

    Attributes:
        pool: its name.
        share: runs with at most this share of their rows from the pool were fitted, the others predicted.
        n_fitted, n_predicted: how many.
        bias: mean of prediction less truth, in log loss; not a number where nothing was predicted.
        rmse: root mean squared error; rmse_mean: that of predicting the mean of the fitted runs.
        spearman: rank correlation of prediction and truth; ``None`` where it is not defined.
        why: why nothing was predicted.
    """

    pool: str
    share: float
    n_fitted: int
    n_predicted: int
    bias: float = math.nan
    rmse: float = math.nan
    rmse_mean: float = math.nan
    spearman: float | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOutPools:
    """Every pool left out in turn, at one share.

    Attributes:
        share: see :class:`WithoutPool`.
        together: all predictions; ``None`` where no pool could be left out. A run with much of two pools is
            predicted twice.
        pools: one entry a pool.
    """

    share: float
    together: HeldOut | None
    pools: tuple[WithoutPool, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    label: str
    rows: npt.NDArray[np.int64]

    def folds(self, n_runs: int) -> list[Held]:
        return [Held(self.label, 0, self.rows)]


def leave_pools_out(
    data: RunData,
    shares: Shares,
    share: float,
    procedure: Procedure | None,
    *,
    terms: str,
    level: float,
    seed: int,
) -> LeftOutPools:
    """Leave each pool out in turn: fit on the runs with at most ``share`` of it, predict those with more.

    Where every run has some of every pool, no run is quite without it, so a share has to be allowed; 0 leaves out
    all runs with any row of the pool.

    Args:
        data: the runs.
        shares: their pools.
        share: from 0 to 1.
        procedure: chooses terms anew for every pool; ``None`` keeps all.
        terms: what is fitted, for people.
        level: confidence level; seed: of the resamples.
    """
    parts, folds = [], list[Fold]()
    for i, pool in enumerate(shares.pools):
        rows = np.flatnonzero(shares.values[:, i] > share)
        part, found = _without(data, pool, share, rows, procedure, level)
        parts.append(part)
        folds += [] if found is None else list(found.folds)
    together = _together(data, folds, f"runs with more than {percent(share)} of a pool", terms, level, seed)
    return LeftOutPools(share, together, tuple(parts))


def _without(
    data: RunData,
    pool: str,
    share: float,
    rows: npt.NDArray[np.int64],
    procedure: Procedure | None,
    level: float,
) -> tuple[WithoutPool, CrossValidation | None]:
    part = WithoutPool(pool, share, len(data.y) - len(rows), len(rows))
    try:
        found = cross_validate(data.X, data.y, data.names, procedure, scheme=_Rows(pool, rows), level=level)
    except RegressionError as error:
        return replace(part, why=str(error)), None
    predicted, judged = found.folds[0].predicted, found.repeats[0]
    part = replace(
        part,
        bias=judged.level.bias,
        rmse=judged.level.rmse,
        rmse_mean=math.sqrt(float(np.mean((predicted.truth - predicted.baseline) ** 2))),
        spearman=judged.rank.spearman,
    )
    return part, found


def _together(
    data: RunData, folds: Sequence[Fold], title: str, terms: str, level: float, seed: int
) -> HeldOut | None:
    if not folds:
        return None
    fields = ("truth", "mean", "low", "high", "baseline")
    joined = {name: np.concatenate([getattr(f.predicted, name) for f in folds]) for name in fields}
    whole = score(Predicted(**joined, level=level))
    found = CrossValidation(data.names, tuple(folds), (whole,), np.zeros(len(data.names)))
    return held_out(found, title, terms, level=level, seed=seed)


@dataclass(frozen=True, slots=True)
class RobustTest:
    """Wald's test with errors that need not be alike.

    Attributes:
        kind: ``HC3``, of errors unlike from run to run, or ``cluster``, that repeats of a subset share too.
        f, p: the test; df: its degrees of freedom.
    """

    kind: Literal["HC3", "cluster"]
    f: float
    p: float
    df: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PoolsOrIndicators:
    """Whether the indicators say more than which pools a run is of.

    Attributes:
        held_out: the shares of the pools alone, the indicators alone, both; the same folds.
        f, p: test of all indicators beside the shares of the pools, over all runs, for errors of equal variance; df:
            its degrees of freedom.
        robust: the same without equal variances; ``None`` where a run of leverage 1 leaves it undefined.
        r2: over all runs, by the same three.
    """

    held_out: tuple[HeldOut, ...]
    f: float
    p: float
    df: tuple[int, int]
    r2: tuple[float, float, float]
    robust: RobustTest | None


def pools_or_indicators(
    data: RunData,
    shares: Shares,
    scheme: Scheme,
    *,
    title: str,
    level: float,
    seed: int,
    subsets: Sequence[Hashable] | None = None,
) -> PoolsOrIndicators:
    """Regress on the shares of the pools, on the indicators, and on both.

    The shares add up to one, so the last pool is left out.

    Args:
        data: the runs with the indicators.
        shares: their pools.
        scheme: of holding out; title: what it is called.
        level: confidence level; seed: of the resamples.
        subsets: one label a run, the same for runs that repeat a subset.

    Raises:
        RegressionError: too few runs, or shares and indicators that determine each other.
    """
    from scipy.stats import f as f_distribution

    weights = shares.values[:, :-1]
    names = [f"share of {pool}" for pool in shares.pools[:-1]]
    sides = {
        "shares of the pools": (weights, names),
        "indicators": (data.X, list(data.names)),
        "both": (np.column_stack([weights, data.X]), [*names, *data.names]),
    }
    judged = tuple(
        held_out(
            cross_validate(X, data.y, columns, scheme=scheme, level=level),
            title,
            what,
            level=level,
            seed=seed,
        )
        for what, (X, columns) in sides.items()
    )
    fits = [fit_ols(X, data.y, columns) for X, columns in sides.values()]
    rss = [fit.sigma**2 * fit.df_resid for fit in fits]
    df = (fits[0].df_resid - fits[2].df_resid, fits[2].df_resid)
    f = (rss[0] - rss[2]) / df[0] / fits[2].sigma ** 2
    return PoolsOrIndicators(
        judged,
        f,
        float(f_distribution.sf(f, *df)),
        df,
        (fits[0].r2, fits[1].r2, fits[2].r2),
        _robust_test(*sides["both"], data.y, df[0], subsets),
    )


def _robust_test(
    X: Array, names: Sequence[str], y: Array, last: int, subsets: Sequence[Hashable] | None
) -> RobustTest | None:
    """Test of the last terms."""
    from scipy.stats import f as f_distribution

    repeated = subsets is not None and len(set(subsets)) < len(y)
    try:
        if repeated:
            fit = fit_ols(X, y, names, covariance="cluster", groups=subsets)
        else:
            fit = fit_ols(X, y, names, covariance="HC3")
    except RegressionError:
        return None
    slopes, V = fit.params[-last:], fit.covariance[-last:, -last:]
    f = float(slopes @ np.linalg.solve(V, slopes)) / last
    df = (last, fit.df_inference)
    return RobustTest("cluster" if repeated else "HC3", f, float(f_distribution.sf(f, *df)), df)
