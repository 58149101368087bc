"""Many splits instead of one, so that the result does not hang on a lucky draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from imine.regression.after_choosing.pivot import Interval
from imine.regression.after_choosing.splitting import Procedure, checked, choose, halves
from imine.regression.ols import fit_ols
from imine.regression.repeats import run_repeats, seeds
from imine.regression.results import Array


@dataclass(frozen=True, slots=True, eq=False)
class MultiSplitResults:
    """Tests and intervals aggregated over splits.

    What is tested is the coefficient of each candidate in the true model, provided that every split chooses all
    terms that matter (the screening property); a split that misses one carries its bias.

    Attributes:
        names: every candidate, chosen or not.
        p: aggregated p-values, adjusted for all terms of each split (familywise), shape (candidates,).
        p_single: the same without the adjustment: valid for one term named in advance.
        chosen_share: share of the splits that choose the candidate, shape (candidates,).
        estimates, std_errors: of every split, shape (splits, candidates); not a number where not chosen.
        df: degrees of freedom of every split, shape (splits,).
        gamma_min: smallest share of splits that the aggregation looks at.
    """

    names: tuple[str, ...]
    p: Array
    p_single: Array
    chosen_share: Array
    estimates: Array
    std_errors: Array
    df: Array
    gamma_min: float

    def intervals(self, level: float = 0.95, *, familywise: bool = False) -> tuple[Interval, ...]:
        """All values of a coefficient that the aggregated test does not reject, as their convex hull.

        Args:
            level: between 0 and 1.
            familywise: whether all intervals hold together at the level, or each one by itself.

        Raises:
            ValueError: a level outside (0, 1).
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must lie between 0 and 1; got {level!r}")
        return tuple(self._interval(column, 1.0 - level, familywise) for column in range(len(self.names)))

    def conf_int(self, level: float = 0.95, *, familywise: bool = False) -> Array:
        """Ends of :meth:`intervals`, shape (candidates, 2)."""
        return np.array([(i.low, i.high) for i in self.intervals(level, familywise=familywise)])

    def _interval(self, column: int, alpha: float, familywise: bool) -> Interval:
        from scipy.stats import t as student

        here = np.isfinite(self.estimates[:, column])
        splits, found = len(here), int(here.sum())
        first = _first_rank(splits, self.gamma_min)
        if found < first:
            why = f"chosen in {found} of {splits} splits: fewer than {first} cannot reject any value"
            return Interval(-math.inf, math.inf, why)
        value, error = self.estimates[here, column], self.std_errors[here, column]
        factor = np.isfinite(self.estimates).sum(axis=1)[here] if familywise else np.ones(found)
        # A value is rejected when, for some rank k, k splits have a p-value of at most this.
        limits = alpha * np.arange(first, found + 1) / splits / (1.0 - math.log(self.gamma_min))
        reach = student.isf(0.5 * limits[:, None] / factor, self.df[here]) * error
        low, high = value - reach, value + reach
        ranks = np.arange(first, found + 1)
        kept = _kept(low, high, ranks)
        if kept is None:
            return Interval(math.nan, math.nan, "the splits contradict each other: every value is rejected")
        return Interval(*kept, None)


def multi_split(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    names: Sequence[str],
    procedure: Procedure,
    *,
    splits: int = 50,
    fraction: float = 0.5,
    gamma_min: float = 0.05,
    seed: int = 0,
    workers: int = 1,
) -> MultiSplitResults:
    """Split many times, infer on the other half each time, and aggregate.

    In each split a chosen term has its ordinary p-value from the other half, times the number of chosen terms,
    at most 1; a term that was not chosen has 1. Over the splits the sorted values ``p(k)`` give
    ``min(1, (1 - log gamma_min) min_k p(k) B / k)`` over ``k >= gamma_min B``. Intervals invert that test.

    Args:
        X, y, names, procedure, fraction: as in ``split_inference``.
        splits: their number B.
        gamma_min: smallest quantile looked at, between 0 and 1.
        seed: of all splits.
        workers: number of processes; the results do not depend on it.

    Raises:
        RegressionError: a half cannot carry the terms chosen on the other; see ``fit_ols``.
        ValueError: arguments that are not allowed.

    References:
        Meinshausen, Meier, Buehlmann (2009), p-values for high-dimensional regression, JASA 104, equations 2.2
        and 2.3. Dezeure, Buehlmann, Meier, Meinshausen (2015), High-dimensional inference, Statistical Science
        30 (intervals by inversion).

    Examples:
        >>> from imine.regression.after_choosing import ForwardStepwise
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 3))
        >>> y = X[:, 1] + rng.normal(size=60)
        >>> results = multi_split(X, y, list("abc"), ForwardStepwise(steps=1))
        >>> results.p.round(4).tolist(), results.conf_int()[1].round(2).tolist()
        ([1.0, 0.0001, 1.0], [0.51, 1.71])
    """
    X, y = checked(X, y, names)
    if not 0.0 < gamma_min < 1.0:
        raise ValueError(f"gamma_min must lie between 0 and 1; got {gamma_min}")
    work = partial(_one_split, X, y, procedure, fraction)
    estimates, errors, p, df = (
        np.array(column) for column in zip(*run_repeats(work, seeds(seed, splits), workers), strict=True)
    )
    sizes = np.isfinite(estimates).sum(axis=1)
    return MultiSplitResults(
        names=tuple(names),
        p=aggregate(np.minimum(p * np.maximum(sizes, 1)[:, None], 1.0), gamma_min),
        p_single=aggregate(p, gamma_min),
        chosen_share=np.isfinite(estimates).mean(axis=0),
        estimates=estimates,
        std_errors=errors,
        df=df,
        gamma_min=gamma_min,
    )


def aggregate(p: npt.ArrayLike, gamma_min: float = 0.05) -> Array:
    """One p-value from those of many splits, for each column.

    Args:
        p: shape (splits, terms).
        gamma_min: smallest quantile looked at.

    Examples:
        >>> aggregate([[0.01], [0.02], [0.03], [1.0]]).round(4).tolist()
        [0.1598]
    """
    p = np.sort(np.asarray(p, dtype=np.float64), axis=0)
    splits = p.shape[0]
    first = _first_rank(splits, gamma_min)
    scaled = p[first - 1 :] * splits / np.arange(first, splits + 1)[:, None]
    return np.minimum(1.0, (1.0 - math.log(gamma_min)) * scaled.min(axis=0))


def _first_rank(splits: int, gamma_min: float) -> int:
    return max(1, math.ceil(gamma_min * splits - 1e-9))


def _one_split(
    X: Array, y: Array, procedure: Procedure, fraction: float, seed: np.random.SeedSequence
) -> tuple[Array, Array, Array, float]:
    """Estimates, standard errors and p-values of all candidates, and the degrees of freedom."""
    choosing, inferring = halves(len(y), fraction, seed)
    chosen = choose(procedure, X[choosing], y[choosing])
    fit = fit_ols(X[inferring][:, chosen], y[inferring], [str(column) for column in chosen])
    estimates, errors, p = np.full(X.shape[1], np.nan), np.full(X.shape[1], np.nan), np.ones(X.shape[1])
    estimates[chosen], errors[chosen], p[chosen] = fit.params[1:], fit.std_errors[1:], fit.p[1:]
    return estimates, errors, p, float(fit.df_resid)


def _kept(low: Array, high: Array, ranks: npt.NDArray[np.int64]) -> tuple[float, float] | None:
    """Smallest and largest value outside fewer than ``ranks[k]`` of the intervals ``low[k], high[k]``, for all k.

    The kept set has its ends among those of the intervals; ``low`` and ``high`` have shape (ranks, splits).
    """
    ends = np.unique(np.concatenate([low.ravel(), high.ravel()]))
    below, above = np.sort(low, axis=1), np.sort(high, axis=1)
    kept = np.ones(len(ends), dtype=bool)
    for lows, highs, rank in zip(below, above, ranks, strict=True):
        outside = len(lows) - np.searchsorted(lows, ends, "right") + np.searchsorted(highs, ends, "left")
        kept &= outside < rank
    return (float(ends[kept][0]), float(ends[kept][-1])) if kept.any() else None
