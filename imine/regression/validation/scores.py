"""How well predictions agree with the truth: rank and level apart, and nothing made up where undefined."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from imine.regression.results import Array

# With fewer runs a rank correlation can only be 1, 0 or -1, and a line goes through all of them.
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """Whether the order is right; ``None`` where undefined.

    Attributes:
        spearman: Spearman's rank correlation of predictions and truth.
        kendall: Kendall's tau-b.
    """

    spearman: float | None
    kendall: float | None


@dataclass(frozen=True, slots=True)
class LevelError:
    """Whether the numbers are right; ``None`` where undefined.

    Attributes:
        r2: ``1 - sum (y - predicted)^2 / sum (y - m)^2`` with ``m`` the mean of ``y`` over the runs that the
            prediction was fitted on: how much better than predicting that mean. Negative when worse.
        rmse: root mean squared error, in the unit of ``y`` (log loss).
        bias: mean of prediction less truth.
        slope, intercept: of the regression of the truth on the predictions; 1 and 0 when calibrated. A slope
            below 1 says that the predictions are spread too far.
    """

    r2: float | None
    rmse: float
    bias: float
    slope: float | None
    intercept: float | None


@dataclass(frozen=True, slots=True)
class IntervalScore:
    """Prediction intervals against the truth.

    Attributes:
        coverage: share of the runs inside their interval.
        mean_width: in the unit of ``y``.
        level: what the coverage should be.
    """

    coverage: float
    mean_width: float
    level: float


@dataclass(frozen=True, slots=True)
class Score:
    """Predictions against the truth.

    Attributes:
        n_runs: runs that were predicted.
        rank: agreement of the order.
        level: error of the numbers.
        intervals: of the prediction intervals.
        why: for every quantity that is ``None``, the reason.
    """

    n_runs: int
    rank: RankAgreement
    level: LevelError
    intervals: IntervalScore
    why: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Predictions for runs that had no part in the fit, one entry a run.

    Attributes:
        truth, mean, low, high: the observed value, its prediction and the ends of the prediction interval.
        baseline: mean of ``y`` over the runs of the fit.
        level: of the intervals.
    """

    truth: Array
    mean: Array
    low: Array
    high: Array
    baseline: Array
    level: float


def score(predicted: Predicted) -> Score:
    """Compare predictions with the truth.

    Args:
        predicted: at least one run.

    Examples:
        >>> y = np.array([1.0, 2.0, 3.0, 5.0])
        >>> flat = np.full(4, 2.0)
        >>> found = score(Predicted(y, flat, flat - 2.0, flat + 2.0, flat, 0.95))
        >>> found.rank.spearman, found.why["spearman"]
        (None, 'the predictions are all the same')
        >>> found.level.r2, found.level.bias, found.intervals.coverage
        (0.0, -0.75, 0.75)
    """
    error = predicted.mean - predicted.truth
    why = dict[str, str]()
    rank = _rank(predicted, why)
    slope, intercept = _calibration(predicted, why)
    inside = (predicted.low <= predicted.truth) & (predicted.truth <= predicted.high)
    return Score(
        n_runs=len(error),
        rank=rank,
        level=LevelError(
            r2=_r2(predicted, why),
            rmse=math.sqrt(float(np.mean(error**2))),
            bias=float(np.mean(error)),
            slope=slope,
            intercept=intercept,
        ),
        intervals=IntervalScore(
            float(np.mean(inside)), float(np.mean(predicted.high - predicted.low)), predicted.level
        ),
        why=why,
    )


def _rank(predicted: Predicted, why: dict[str, str]) -> RankAgreement:
    from scipy.stats import kendalltau, spearmanr

    reason = (
        _too_few(predicted) or _same(predicted.mean, "predictions") or _same(predicted.truth, "true values")
    )
    if reason is not None:
        why.update(spearman=reason, kendall=reason)
        return RankAgreement(None, None)
    return RankAgreement(
        float(spearmanr(predicted.mean, predicted.truth).statistic),
        float(kendalltau(predicted.mean, predicted.truth).statistic),
    )


def _r2(predicted: Predicted, why: dict[str, str]) -> float | None:
    spread = float(np.sum((predicted.truth - predicted.baseline) ** 2))
    if len(predicted.truth) < 2:
        why["r2"] = "one run has no variation to explain"
    elif spread == 0.0:
        why["r2"] = "every true value is the mean of the fitted runs"
    else:
        return 1.0 - float(np.sum((predicted.truth - predicted.mean) ** 2)) / spread
    return None


def _calibration(predicted: Predicted, why: dict[str, str]) -> tuple[float | None, float | None]:
    reason = _too_few(predicted) or _same(predicted.mean, "predictions")
    if reason is not None:
        why.update(slope=reason, intercept=reason)
        return None, None
    away = predicted.mean - predicted.mean.mean()
    slope = float(away @ (predicted.truth - predicted.truth.mean()) / (away @ away))
    return slope, float(predicted.truth.mean() - slope * predicted.mean.mean())


def _too_few(predicted: Predicted) -> str | None:
    n = len(predicted.truth)
    return f"{n} run{'s' if n > 1 else ''}: fewer than {_FEWEST}" if n < _FEWEST else None


def _same(values: Array, what: str) -> str | None:
    # Predictions of a fit without terms differ by rounding alone.
    same = np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max()))
    return f"the {what} are all the same" if same else None
