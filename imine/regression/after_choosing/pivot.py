"""The exact distribution of one contrast given what was chosen, and its inversion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imine.regression.after_choosing.conditions import Branch
from imine.regression.after_choosing.regions import joined
from imine.regression.after_choosing.tails import log_mass
from imine.regression.results import Array

# What is narrower than this share of the size of the data is rounding: an observation so near to the edge of its
# interval cannot be told from it.
_ROUNDING = 1e-9
# Means looked at first, in sigma from the observation: near it every half sigma, then ever wider apart, to 3e11: past
# every end that an observation not on an edge can have.
_OFFSETS = np.sinh(np.arange(-54, 55) * 0.5)
# Rounds of cutting a step into pieces, where all accepted means lie within one: down to a part in 10^12.
_PIECES, _ROUNDS = 17, 10
_ON_EDGE = (
    "the observed contrast lies on the edge of where the same choice is made, to within rounding: "
    "given the choice, the data say nothing of it"
)
_NO_END = "no true value, however far, is at odds with the data given the choice and its stopping rule"


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    Attributes:
        low, high: ends; infinite where there is no end.
        why: why an end is infinite; ``None`` when both are finite.
    """

    low: float
    high: float
    why: str | None


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
    """

    observed: float
    branches: tuple[Branch, ...]
    rss: float
    df: float
    sigma: float
    size: float

    def region(self, theta: float = 0.0) -> Array:
        """Where ``z`` could have been with the same choice, shape (intervals, 2)."""
        parts = self._cells(np.array([theta]))[0]
        return joined(parts[parts[:, 0] < parts[:, 1]])

    def log_odds(self, theta: npt.ArrayLike) -> Array:
        """``log P(Z > z) - log P(Z < z)`` given the choice, for means ``theta`` of shape (means,).

        Infinite or not a number where, to within rounding, there is nothing of the region on one side of ``z``.
        """
        theta = np.atleast_1d(np.asarray(theta, dtype=np.float64))
        parts = self._cells(theta)
        split = np.concatenate([np.maximum(parts, self.observed), np.minimum(parts, self.observed)])
        logs = self._log_sums(split, np.concatenate([theta, theta]))
        with np.errstate(invalid="ignore"):
            return logs[: len(theta)] - logs[len(theta) :]

    def p_value(self, theta: float = 0.0) -> float:
        """Two-sided: twice the smaller tail; not a number for an observation on the edge of its region."""
        odds = float(self.log_odds(theta)[0])
        return 2.0 / (1.0 + math.exp(min(abs(odds), 700.0))) if math.isfinite(odds) else math.nan

    def interval(self, level: float) -> Interval:
        """The means at which neither tail is below ``(1 - level) / 2``, as their convex hull.

        With a known sigma, or a fixed number of steps, the log odds rise with the mean and the hull adds nothing.
        Where a stopping rule meets an estimated sigma they need not, and the hull can be infinite: conditions on
        residuals close in on the observation as the mean goes away, and leave a limit in place of a tail.
        """
        tail = 0.5 * (1.0 - level)
        goal = math.log1p(-tail) - math.log(tail)
        theta, odds = self._looked_at()
        if not len(theta):
            return Interval(-math.inf, math.inf, _ON_EDGE)
        theta, odds = self._with_an_accepted(theta, odds, goal)
        kept = np.flatnonzero(np.abs(odds) <= goal)
        if not len(kept):
            return Interval(-math.inf, math.inf, _NO_END)
        first, last = int(kept[0]), int(kept[-1])
        low = -math.inf if first == 0 else self._between(theta, odds, first - 1, goal)
        high = math.inf if last == len(theta) - 1 else self._between(theta, odds, last, goal)
        return Interval(low, high, None if math.isfinite(high - low) else _NO_END)

    def median(self) -> float:
        """The mean at which both tails are equal, the one next to ``z``; not a number where there is none."""
        theta, odds = self._looked_at()
        changes = np.flatnonzero(np.sign(odds[:-1]) != np.sign(odds[1:]))
        if not len(changes):
            return math.nan
        at = int(changes[np.argmin(np.abs(theta[changes] - self.observed))])
        return self._between(theta, odds, at, 0.0)

    def _between(self, theta: Array, odds: Array, at: int, goal: float) -> float:
        """The mean between two neighbours at which the log odds pass the goal, or its negative."""
        from scipy.optimize import brentq

        goal = goal if max(odds[at], odds[at + 1]) > goal else -goal
        return float(
            brentq(
                lambda mean: float(self.log_odds(mean)[0]) - goal,
                theta[at],
                theta[at + 1],
                xtol=1e-11 * self.sigma,
                rtol=1e-11,
            )
        )

    def _looked_at(self) -> tuple[Array, Array]:
        """Means around the observation, in order, and their log odds, as far out as these are finite."""
        theta = self.observed + self.sigma * _OFFSETS
        odds = self.log_odds(theta)
        lost, centre = np.flatnonzero(~np.isfinite(odds)), len(theta) // 2
        low = int(lost[lost <= centre].max(initial=-1)) + 1
        high = int(lost[lost >= centre].min(initial=len(theta)))
        return theta[low:high], odds[low:high]

    def _with_an_accepted(self, theta: Array, odds: Array, goal: float) -> tuple[Array, Array]:
        """The means, with more of them where the log odds run through all accepted values between two."""
        for _ in range(_ROUNDS):
            steps = np.flatnonzero((odds[:-1] < -goal) & (odds[1:] > goal))
            if (np.abs(odds) <= goal).any() or not len(steps):
                break
            between = np.linspace(theta[steps[0]], theta[steps[0] + 1], _PIECES + 1)[1:-1]
            theta = np.insert(theta, steps[0] + 1, between)
            odds = np.insert(odds, steps[0] + 1, self.log_odds(between))
        return theta, odds

    def _cells(self, theta: Array) -> Array:
        """Where ``z`` could have been with the same choice, for each mean: shape (means, cells, 2)."""
        rss = np.zeros((len(theta), 3))
        if math.isinf(self.df):
            rss[:, 2] = self.rss
        else:
            # W less (x - theta)^2, written out in x.
            rss[:, 0], rss[:, 1] = -1.0, 2.0 * theta
            rss[:, 2] = self.rss + self.observed * (self.observed - 2.0 * theta)
        return np.concatenate([branch.cells(rss) for branch in self.branches], axis=1)

    def _log_sums(self, parts: Array, theta: Array) -> Array:
        """Logarithms of the probabilities of the cells together, shape (means,)."""
        logs = np.full(parts.shape[:2], -np.inf)
        with np.errstate(invalid="ignore"):
            wide = parts[..., 1] - parts[..., 0] > _ROUNDING * self.size
        ends = self._standardised(parts[wide], np.broadcast_to(theta[:, None], wide.shape)[wide][:, None])
        logs[wide] = log_mass(ends[:, 0], ends[:, 1], self.df)
        top = logs.max(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            sums = top + np.log(np.exp(logs - top[:, None]).sum(axis=1))
        return np.where(np.isneginf(top), -np.inf, sums)

    def _standardised(self, ends: Array, theta: Array) -> Array:
        """Ends of intervals as standard normal, or as Student's t on the sphere of the sufficient ``W``."""
        away = ends - theta
        if math.isinf(self.df):
            return away / self.sigma
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            # W - (x - theta)^2 without the cancellation of its two large parts.
            left = self.rss + (self.observed - ends) * (self.observed + ends - 2.0 * theta)
            t = away * np.sqrt(self.df / left)
        return np.where(left > 0.0, t, np.copysign(np.inf, away))
