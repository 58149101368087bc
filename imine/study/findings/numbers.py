"""Numbers with intervals that several findings share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imine.regression.results import Array
from imine.regression.validation import CrossValidation
from imine.regression.validation.schemes import Held, KFold


@dataclass(frozen=True, slots=True)
class Estimated:
    """A number with its interval; an end that is not known is not a number.

    Attributes:
        value: the estimate.
        low, high: ends of the interval.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def rank_correlation(a: Sequence[float] | Array, b: Sequence[float] | Array, level: float) -> Estimated:
    """Spearman's rank correlation with an approximate interval.

    The interval is symmetric in Fisher's z with variance ``(1 + r**2 / 2) / (n - 3)``.

    Args:
        a, b: as long as each other, at least 4.
        level: confidence level.

    References:
        Bonett, Wright (2000), Psychometrika 65, 23-28.

    Examples:
        >>> found = rank_correlation([1, 2, 3, 4, 5, 6], [1, 2, 4, 3, 6, 5], 0.95)
        >>> round(found.value, 3), round(found.low, 2), round(found.high, 2)
        (0.886, 0.07, 0.99)
    """
    from scipy.stats import spearmanr

    if len(a) < 4:
        raise ValueError(f"a rank correlation needs at least 4 runs for an interval; got {len(a)}")
    r = float(spearmanr(a, b).statistic)
    return _about_rank(r, len(a), level)


def _about_rank(r: float, n: int, level: float) -> Estimated:
    from scipy.stats import norm

    if n < 4 or not abs(r) < 1.0:
        return Estimated(r)
    half = float(norm.isf((1 - level) / 2)) * math.sqrt((1 + r * r / 2) / (n - 3))
    return Estimated(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half))


def spread_interval(sd: float, df: int, level: float) -> Estimated:
    """A standard deviation of normal values with its chi-square interval.

    Args:
        sd: the estimate; df: its degrees of freedom.
        level: confidence level.

    Examples:
        >>> found = spread_interval(1.0, 20, 0.95)
        >>> round(found.low, 3), round(found.high, 3)
        (0.765, 1.444)
    """
    from scipy.stats import chi2

    tail = (1 - level) / 2
    return Estimated(sd, sd * math.sqrt(df / chi2.isf(tail, df)), sd * math.sqrt(df / chi2.ppf(tail, df)))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Predictions of runs that the fit did not see.

    Attributes:
        title: how runs were held out.
        terms: what was fitted.
        n: runs that were predicted, each counted once.
        r2: share of the variance about the mean of the fitted runs.
        spearman: rank correlation of prediction and truth; ``None`` where it is not defined.
        rmse: root mean squared error of the log loss.
        coverage: share inside the prediction intervals.
    """

    title: str
    terms: str
    n: int
    r2: Estimated
    spearman: Estimated | None
    rmse: float
    coverage: float


def held_out(
    found: CrossValidation, title: str, terms: str, *, level: float, seed: int, resamples: int = 2000
) -> HeldOut:
    """What a cross-validation says, with intervals.

    The interval of R2 is that of resamples of the predictions (percentiles), all those of a run together; the fits
    are not repeated, so it is that of these fits' error on other runs of the same kind. That of the rank
    correlation is :func:`rank_correlation`'s, about the mean over the repeats, with the number of runs.

    Args:
        found: the cross-validation; in every repeat the same runs are predicted, a run perhaps several times.
        title, terms: for people.
        level: confidence level.
        seed: of the resamples.
        resamples: their number.
    """
    repeats = range(len(found.repeats))
    rows = np.sort(np.concatenate([fold.rows for fold in found.folds if fold.repeat == 0]))
    error, base = (np.stack([_squares(found, r, what) for r in repeats]) for what in ("mean", "baseline"))
    runs, run_of = np.unique(rows, return_inverse=True)
    n = len(runs)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)[:, run_of]
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (1 - (counts @ error.T) / (counts @ base.T)).mean(axis=1)
        value = float((1 - error.sum(axis=1) / base.sum(axis=1)).mean())
    drawn = drawn[np.isfinite(drawn)]
    ends = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) if len(drawn) else (math.nan, math.nan)
    return HeldOut(
        title=title,
        terms=terms,
        n=n,
        r2=Estimated(value, float(ends[0]), float(ends[1])),
        spearman=_mean_rank(found, n, level),
        rmse=math.sqrt(float(error.mean())),
        coverage=float(np.mean([score.intervals.coverage for score in found.repeats])),
    )


def _squares(found: CrossValidation, repeat: int, what: str) -> Array:
    """Squared error of every prediction of a repeat, in the order of the rows."""
    folds = [fold for fold in found.folds if fold.repeat == repeat]
    rows = np.concatenate([fold.rows for fold in folds])
    errors = np.concatenate([getattr(fold.predicted, what) - fold.predicted.truth for fold in folds])
    return np.asarray(errors[np.argsort(rows, kind="stable")] ** 2)


def _mean_rank(found: CrossValidation, n: int, level: float) -> Estimated | None:
    r = found.spread(lambda score: score.rank.spearman).mean
    return None if r is None else _about_rank(r, n, level)


@dataclass(frozen=True, slots=True)
class WholeGroups:
    """Random parts of the runs that keep the runs of a group together.

    Attributes:
        labels: one a run; runs that repeat a subset have the same.
        k: number of parts; repeats: how often the groups are dealt out anew; seed: of the dealing.

    Examples:
        >>> [fold.rows.tolist() for fold in WholeGroups(("a", "b", "a", "c"), 3).folds(4)]
        [[0, 2], [1], [3]]
    """

    labels: tuple[object, ...]
    k: int = 10
    repeats: int = 1
    seed: int = 0

    def folds(self, n_runs: int) -> list[Held]:
        """The folds over ``n_runs`` rows."""
        if len(self.labels) != n_runs:
            raise ValueError(
                f"labels must have one entry for each of the {n_runs} runs; got {len(self.labels)}"
            )
        numbers = {label: i for i, label in enumerate(dict.fromkeys(self.labels))}
        group = np.array([numbers[label] for label in self.labels])
        dealt = KFold(min(self.k, len(numbers)), self.repeats, self.seed).folds(len(numbers))
        return [Held(f.label, f.repeat, np.flatnonzero(np.isin(group, f.rows))) for f in dealt]
