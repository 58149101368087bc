"""The exact distribution of one contrast given what was chosen, and its inversion."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from imine.regression.after_choosing.conditions import Branch
from imine.regression.after_choosing.regions import joined
from imine.regression.after_choosing.tails import log_mass
from imine.regression.results import Array

# What is narrower than this share of the size of the data is rounding: an observation so near to the edge of its
# interval cannot be told from it.
_ROUNDING = 1e-9
# Steps outward from sigma / 8, each three times the one before, reach 8e11 sigma: past every end that an observation
# not on an edge can have.
_STEPS, _GROWTH = 28, 3.0

_ON_EDGE = (
    "the observed contrast lies on the edge of where the same choice is made, to within rounding: "
    "given the choice, the data say nothing of it"
)
_NO_END = "no true value, however far, is at odds with the data given the choice and its stopping rule"


@dataclass(frozen=True, slots=True)
class End:
    """An end of an interval; when it is infinite, ``why`` says the reason."""

    value: float
    why: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pivot:
    """One observed contrast ``z``, normal about ``theta``, cut off outside the branches.

    With a known ``sigma`` it is a normal variable restricted to a union of intervals. With ``sigma`` from the
    residuals of the full model, ``z`` given ``W = (z - theta)^2 + RSS`` has a distribution free of ``sigma``
    (W is sufficient for it): ``t = (z - theta) sqrt(df / RSS)`` is Student's t before and a restricted
    Student's t after conditioning, with the ends of the intervals mapped for that ``theta``.

    Attributes:
        observed: ``z``, in the direction of unit length.
        branches: the conditions.
        rss: residual sum of squares of the full model.
        df: its degrees of freedom; infinite for a known ``sigma``.
        sigma: known, or estimated as ``sqrt(rss / df)``.
        size: length of the data, the scale of their rounding.
        _same_for_all: the region, once found, where it does not depend on ``theta``.
    """

    observed: float
    branches: tuple[Branch, ...]
    rss: float
    df: float
    sigma: float
    size: float
    _same_for_all: list[Array] = field(default_factory=list)

    def region(self, theta: float) -> Array:
        """Where ``z`` could have been with the same choice, shape (intervals, 2)."""
        if self._same_for_all:
            return self._same_for_all[0]
        found = self._region(theta)
        if math.isinf(self.df) or not any(branch.loadings.any() for branch in self.branches):
            self._same_for_all.append(found)
        return found

    def _region(self, theta: float) -> Array:
        if math.isinf(self.df):
            rss = np.array([0.0, 0.0, self.rss])
        else:
            # W less (x - theta)^2, written out in x.
            rss = np.array([-1.0, 2.0 * theta, self.rss + self.observed * (self.observed - 2.0 * theta)])
        found = [branch.holds(rss) for branch in self.branches]
        return self._around_observed(joined(np.concatenate(found)))

    def log_odds(self, theta: float) -> float:
        """``log P(Z > z) - log P(Z < z)`` given the choice, at the mean ``theta``; rises with ``theta``.

        Infinite or not a number when, to within rounding, there is nothing of the region on one side of ``z``.
        """
        region = self.region(theta)
        right = self._log_probability(np.maximum(region, self.observed), theta)
        left = self._log_probability(np.minimum(region, self.observed), theta)
        return math.nan if math.isinf(right) and math.isinf(left) else right - left

    def p_value(self, theta: float = 0.0) -> float:
        """Two-sided: twice the smaller tail; not a number for an observation on the edge of its region."""
        odds = self.log_odds(theta)
        return 2.0 / (1.0 + math.exp(min(abs(odds), 700.0))) if math.isfinite(odds) else math.nan

    def end(self, tail: float) -> End:
        """The ``theta`` at which ``P(Z > z)`` is ``tail``: for 0.025 the lower end of a 95 % interval."""
        from scipy.optimize import brentq

        goal = math.log(tail) - math.log1p(-tail)
        outward = -1.0 if tail <= 0.5 else 1.0
        if not math.isfinite(self.log_odds(self.observed)):
            return End(outward * math.inf, _ON_EDGE)

        def above(theta: float) -> float:
            return self.log_odds(theta) - goal

        bracket = self._bracket(above, outward)
        if bracket is None:
            return End(outward * math.inf, _NO_END)
        return End(float(brentq(above, *bracket, xtol=1e-10 * self.sigma, rtol=1e-10)))

    def _bracket(self, above: Callable[[float], float], outward: float) -> tuple[float, float] | None:
        """Two values of ``theta`` around the outermost crossing, found by growing steps.

        With an estimated sigma the log odds need not be monotone: outward, a crossing counts when the sign stays
        changed for two steps, so that the interval can only become wider by it.
        """
        sign = math.copysign(1.0, above(self.observed))
        needed = 2 if -sign == outward else 1
        step, inner, outer, beyond = self.sigma / 8.0, self.observed, self.observed, 0
        for _ in range(_STEPS):
            theta = self.observed - sign * step
            if above(theta) * sign > 0.0:
                inner, beyond = theta, 0
            else:
                outer = theta if beyond == 0 else outer
                beyond += 1
            if beyond == needed:
                return inner, outer
            step *= _GROWTH
        return None

    def _around_observed(self, region: Array) -> Array:
        """The region, with the observation in it where rounding put it just outside."""
        if ((region[:, 0] <= self.observed) & (self.observed <= region[:, 1])).any():
            return region
        return joined(np.concatenate([region, [[self.observed, self.observed]]]))

    def _log_probability(self, region: Array, theta: float) -> float:
        region = region[region[:, 1] - region[:, 0] > _ROUNDING * self.size]
        ends = self._standardised(region, theta)
        return _log_sum(log_mass(ends[:, 0], ends[:, 1], self.df))

    def _standardised(self, region: Array, theta: float) -> Array:
        """Ends of intervals as standard normal, or as Student's t on the sphere of the sufficient ``W``."""
        away = region - theta
        if math.isinf(self.df):
            return away / self.sigma
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            # W - (x - theta)^2 without the cancellation of its two large parts.
            left = self.rss + (self.observed - region) * (self.observed + region - 2.0 * theta)
            t = away * np.sqrt(self.df / left)
        return np.where(left > 0.0, t, np.copysign(np.inf, away))


def _log_sum(logs: Array) -> float:
    top = float(logs.max(initial=-math.inf))
    return top if math.isinf(top) else top + math.log(float(np.exp(logs - top).sum()))
