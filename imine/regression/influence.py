"""What each run does to the fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imine.regression.doubled import Array, Doubled

# A run keeps a share of its own error of about (rounding of the data)**2, 1e-27, where the others do not determine
# the fit, and of 1e-20 where it lies 1e10 standard deviations away from them.
_DETERMINED = 1e-20


@dataclass(frozen=True, slots=True, eq=False)
class RunInfluence:
    """Quantities of each run, shape (runs,); not a number where the others do not determine the fit.

    Attributes:
        loo_residuals: error of the prediction by the fit without the run.
        internal: residual over its standard deviation, with sigma of all runs.
        external: the same with sigma of the other runs.
        cooks_distance, dffits: change of all fitted values, and of the run's own, when it is left out.
    """

    loo_residuals: Doubled
    internal: Array
    external: Array
    cooks_distance: Array
    dffits: Array


def influence_of_runs(
    residuals: Doubled, left: Doubled, weights: Array, rss: Doubled, p: int
) -> RunInfluence:
    """Leave-one-out quantities without a second fit.

    Args:
        residuals: ``y - fitted``; left: one minus the leverages; weights: shape (runs,).
        rss: weighted sum of squared residuals.
        p: number of parameters.

    References:
        Belsley, Kuh, Welsch (1980), Regression Diagnostics, chapter 2; Cook (1977), Technometrics 19, 15-18.
    """
    n = len(weights)
    determined = left.hi > _DETERMINED
    share = Doubled(np.where(determined, left.hi, 1.0), np.where(determined, left.lo, 0.0))
    blank = np.where(determined, 0.0, np.nan)
    squares = Doubled.of(weights) * (residuals * residuals) / share
    rest = (rss - squares).hi
    signs = np.sign(residuals.hi)
    with np.errstate(divide="ignore", invalid="ignore"):
        internal = signs * np.sqrt(squares.hi / (rss.hi / (n - p))) + blank
        external = signs * np.sqrt(squares.hi / (np.maximum(rest, 0.0) / np.float64(n - p - 1))) + blank
        odds = (1.0 - share.hi) / share.hi
        dffits = external * np.sqrt(np.maximum(odds, 0.0))
    loo = residuals / share
    return RunInfluence(
        loo_residuals=Doubled(loo.hi + blank, loo.lo),
        internal=internal,
        external=external,
        cooks_distance=internal**2 * odds / p,
        dffits=dffits,
    )
