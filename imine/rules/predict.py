"""What a rule predicts, for rows and for the means of a set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from imine.errors import RuleError

if TYPE_CHECKING:
    from imine.rules.rule import Rule

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeanPrediction:
    """Predicted log loss of a model finetuned on one set.

    Attributes:
        value: the prediction.
        low, high: interval of the expected log loss, for a set that the rule had no part in choosing; ``None`` for a
            rule without covariance.
        obs_low, obs_high: interval of a new run, whose own error is added.
        level: confidence level.
        outside: terms whose mean lies outside the range that the rule was fitted on.
        any_low, any_high: interval of the expected log loss that holds for all sets at once (Scheffé 1953, Biometrika
            40, 87-104), so also for the one that the rule's own coefficients chose.
    """

    value: float
    low: float | None
    high: float | None
    obs_low: float | None
    obs_high: float | None
    level: float
    outside: tuple[str, ...]
    any_low: float | None = None
    any_high: float | None = None


def contribution_columns(rule: Rule) -> list[pl.Expr]:
    """Coefficient times value of every term, null where the value is not a finite number.

    Args:
        rule: names the columns.
    """
    columns = []
    for term in rule.terms:
        value = pl.col(term.name).cast(pl.Float64)
        usable = pl.when(value.is_finite()).then(value)
        columns.append((usable * term.coefficient).alias(f"contrib_{term.name}"))
    return columns


def predict_rows(rule: Rule, frame: pl.DataFrame, level: float | None) -> pl.DataFrame:
    """See :meth:`imine.rules.Rule.predict`; without a level no intervals."""
    require_columns(rule, frame)
    kept = ["id"] if "id" in frame.columns else []
    predicted = frame.select(*kept, *contribution_columns(rule))
    total = pl.lit(rule.intercept.coefficient)
    for term in rule.terms:
        total = total + pl.col(f"contrib_{term.name}")
    names = [f"contrib_{term.name}" for term in rule.terms]
    predicted = predicted.with_columns(total.alias("predicted_log_loss"))
    predicted = predicted.select(*kept, "predicted_log_loss", *names)
    if rule.covariance is None or level is None:
        return predicted
    X = frame.select(pl.col(name).cast(pl.Float64) for name in rule.indicators).to_numpy()
    mean, observation = _half_widths(rule, X, level)
    centre = pl.col("predicted_log_loss")
    halves = pl.DataFrame({"mean": mean, "observation": observation})
    return predicted.with_columns(
        (centre - halves["mean"]).alias("mean_low"),
        (centre + halves["mean"]).alias("mean_high"),
        (centre - halves["observation"]).alias("obs_low"),
        (centre + halves["observation"]).alias("obs_high"),
    )


def predict_set(rule: Rule, means: Mapping[str, float], level: float) -> MeanPrediction:
    """See :meth:`imine.rules.Rule.predict_mean`."""
    absent = [name for name in rule.indicators if not math.isfinite(means.get(name, math.nan))]
    if absent:
        raise RuleError(f"rule {rule.name!r} needs a finite mean of {', '.join(absent)}; got {dict(means)}")
    parts = [term.coefficient * means[term.name] for term in rule.terms]
    value = math.fsum([rule.intercept.coefficient, *parts])
    outside = tuple(name for name, fit in rule.ranges.items() if not fit.min <= means[name] <= fit.max)
    if rule.covariance is None:
        return MeanPrediction(value, None, None, None, None, level, outside)
    X = np.array([[means[name] for name in rule.indicators]], dtype=np.float64)
    mean, observation = (float(half[0]) for half in _half_widths(rule, X, level))
    anything = mean * _scheffe_ratio(rule, level)
    return MeanPrediction(
        value,
        value - mean,
        value + mean,
        value - observation,
        value + observation,
        level,
        outside,
        value - anything,
        value + anything,
    )


def _scheffe_ratio(rule: Rule, level: float) -> float:
    """Width of an interval for all means at once over that for one."""
    from scipy.stats import f, t

    assert rule.df_resid is not None
    count = len(rule.terms) + 1
    return math.sqrt(count * f.isf(1.0 - level, count, rule.df_resid)) / float(
        t.isf((1.0 - level) / 2.0, rule.df_resid)
    )


def require_columns(rule: Rule, frame: pl.DataFrame) -> None:
    """Refuse a frame without a column of numbers for each indicator of the rule.

    Raises:
        RuleError: names the columns.
    """
    absent = [name for name in rule.indicators if name not in frame.columns]
    if absent:
        raise RuleError(
            f"rule {rule.name!r} needs the columns {', '.join(rule.indicators)}; missing: {', '.join(absent)}"
        )
    wrong = [name for name in rule.indicators if not _is_number(frame.schema[name])]
    if wrong:
        raise RuleError(
            f"rule {rule.name!r} needs numbers in {', '.join(wrong)}; got {frame.schema[wrong[0]]}"
        )


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.Null


def _half_widths(rule: Rule, X: Array, level: float) -> tuple[Array, Array]:
    """Half widths of the interval of the mean and of a new observation, shape (rows,) each."""
    from scipy.stats import t as student

    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1; got {level!r}")
    X = np.where(np.isfinite(X), X, np.nan)
    assert rule.df_resid is not None
    assert rule.sigma is not None
    V = np.array(rule.covariance, dtype=np.float64)
    centre, level_variance = covariance_centre(rule, V)
    D = X - centre
    variance = level_variance + np.einsum("ij,jk,ik->i", D, V[1:, 1:], D, optimize=True)
    if not centre.any():
        variance = variance + 2.0 * (X @ V[0, 1:])
    variance = np.maximum(variance, 0.0)
    quantile = float(student.isf((1.0 - level) / 2.0, rule.df_resid))
    return quantile * np.sqrt(variance), quantile * np.sqrt(variance + rule.sigma**2)


def covariance_centre(rule: Rule, V: Array) -> tuple[Array, float]:
    """Where a set's level has no covariance with the coefficients, and its variance there: the means of the runs.

    About zero the variances of terms far from it would cancel to nothing. A covariance that is not that of least
    squares about the known means is taken as it stands, about zero.
    """
    zero = np.zeros(len(rule.terms))
    means = np.array([np.nan if term.fitted is None else term.fitted.mean for term in rule.terms])
    if rule.n_runs is None or rule.sigma is None or not np.isfinite(means).all():
        return zero, float(V[0, 0])
    level, cross = rule.sigma**2 / rule.n_runs, -V[1:, 1:] @ means
    spread = np.sqrt(V[0, 0] * np.diag(V)[1:])
    same = np.isclose(V[0, 0], level - means @ cross, rtol=1e-6) and np.all(
        abs(V[0, 1:] - cross) <= 1e-6 * spread
    )
    return (means, level) if same else (zero, float(V[0, 0]))
