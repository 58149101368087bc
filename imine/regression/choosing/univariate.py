"""One regression a candidate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from imine.regression.choosing.linear import dependence
from imine.regression.choosing.problem import Array, Problem, make_problem
from imine.regression.choosing.settings import ChoiceSettings
from imine.regression.ols import fit_ols
from imine.rendering import format_p


@dataclass(frozen=True, slots=True)
class UnivariateFit:
    """The regression on one candidate alone.

    Attributes:
        name: the candidate.
        coefficient, std_error, t, p: of the candidate; not a number when skipped.
        p_holm: the p-value after Holm's correction for the number of candidates.
        r2: share of the variance explained.
        skipped: why there is no fit; empty when there is.
    """

    name: str
    coefficient: float
    std_error: float
    t: float
    p: float
    p_holm: float
    r2: float
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class UnivariateListing:
    """One fit a candidate, in their order.

    Attributes:
        fits: the regressions.
        n_runs: number of runs.
    """

    fits: tuple[UnivariateFit, ...]
    n_runs: int

    def table(self) -> str:
        """The listing as text, the largest R2 first."""
        width = max(len(name) for name in ("candidate", *(fit.name for fit in self.fits)))
        heads = f"{'estimate':>12}{'std error':>12}{'t':>10}{'p':>11}{'p (Holm)':>11}{'R2':>9}"
        lines = [f"{'candidate':<{width}}{heads}"]
        fitted = [fit for fit in self.fits if not fit.skipped]
        for fit in sorted(fitted, key=lambda fit: -fit.r2):
            numbers = f"{fit.coefficient:>12.5g}{fit.std_error:>12.4g}{fit.t:>10.3f}"
            lines.append(
                f"{fit.name:<{width}}{numbers}{format_p(fit.p):>11}{format_p(fit.p_holm):>11}{fit.r2:>9.4f}"
            )
        lines += [f"{fit.name:<{width}}  skipped: {fit.skipped}" for fit in self.fits if fit.skipped]
        return "\n".join([*lines, f"{self.n_runs} runs, one regression a candidate"])


def univariate(X: npt.ArrayLike, y: npt.ArrayLike, names: Sequence[str]) -> UnivariateListing:
    """Regress ``y`` on each column of ``X`` alone, as the InstructMining paper does first.

    Args:
        X: shape (runs, candidates), finite.
        y: shape (runs,), finite.
        names: one name a column.

    Returns:
        One fit a candidate; a constant one is named and skipped.

    Raises:
        ValueError: shapes or names that do not fit each other.
        RegressionError: values that are not finite, or too few runs.

    References:
        Holm (1979), Scandinavian Journal of Statistics 6, 65-70.

    Examples:
        >>> X = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 1.0], [4.0, 0.0], [5.0, 1.0]]
        >>> listing = univariate(X, [0.1, 1.0, 2.2, 2.9, 4.1, 4.8], ["a", "b"])
        >>> [(fit.name, round(fit.coefficient, 3), round(fit.r2, 3)) for fit in listing.fits]
        [('a', 0.957, 0.995), ('b', -0.05, 0.0)]
    """
    problem = make_problem(X, y, names)
    X, y = np.array(X, dtype=np.float64, ndmin=2), np.array(y, dtype=np.float64)
    fits = [_fit_alone(problem, column, X, y) for column in range(len(problem.names))]
    corrected = holm([fit.p for fit in fits])
    fits = [replace(fit, p_holm=p) for fit, p in zip(fits, corrected, strict=True)]
    return UnivariateListing(tuple(fits), len(y))


def _fit_alone(problem: Problem, column: int, X: Array, y: Array) -> UnivariateFit:
    name, nan = problem.names[column], math.nan
    fault = dependence(problem, (column,), ChoiceSettings().tolerance)
    if fault is not None:
        return UnivariateFit(name, nan, nan, nan, nan, nan, nan, fault[1])
    results = fit_ols(X[:, [column]], y, [name])
    return UnivariateFit(
        name=name,
        coefficient=float(results.params[1]),
        std_error=float(results.std_errors[1]),
        t=float(results.t[1]),
        p=float(results.p[1]),
        p_holm=nan,
        r2=results.r2,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down p-values; those that are not numbers are not counted."""
    p = np.array(p_values, dtype=np.float64)
    order = np.argsort(p)[: int(np.isfinite(p).sum())]
    out = np.full(len(p), np.nan)
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return [float(value) for value in out]
