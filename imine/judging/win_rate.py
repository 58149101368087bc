"""Win rate of one model over another, ties counted half, with a paired interval that never collapses."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval.

    Attributes:
        low, high: its ends.
        level: confidence level, 0 to 1.
    """

    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True)
class WinRate:
    """Outcomes of pairwise judgements over independent prompts.

    Attributes:
        wins: prompts that the first model won.
        ties: prompts without a winner.
        losses: prompts that the second model won.
        missing: prompts without an outcome; part of no rate, only of :meth:`bounds`.
    """

    wins: int
    ties: int
    losses: int
    missing: int = 0

    @property
    def judged(self) -> int:
        """Prompts with an outcome."""
        return self.wins + self.ties + self.losses

    @property
    def rate(self) -> float | None:
        """Share of prompts won, a tie counted half; ``None`` where no prompt has an outcome.

        Examples:
            >>> WinRate(6, 2, 2).rate
            0.7
        """
        return (self.wins + self.ties / 2) / self.judged if self.judged else None

    def interval(self, level: float = 0.95) -> Interval | None:
        """Score interval of the win rate over prompts; ``None`` where no prompt has an outcome.

        The rate is 1/2 + d/2, where d is the difference of two shares of the same prompts, won less lost. Its interval
        is the score interval of Tango (Statistics in Medicine 17, 1998, 891-908): all d at which the score statistic,
        the share lost at its maximum of the likelihood given d, is within the normal quantile. Unlike a bootstrap over
        prompts it does not shrink to a point where all prompts are won, or all are ties; without ties it is Wilson's
        interval.

        Args:
            level: confidence level, between 0 and 1.

        Raises:
            ValueError: the level is not between 0 and 1.

        Examples:
            >>> found = WinRate(20, 0, 0).interval()
            >>> round(found.low, 4), found.high
            (0.8389, 1.0)
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, not {level}")
        if not self.judged:
            return None
        from scipy.special import ndtri

        quantile = float(ndtri(0.5 + level / 2))
        low, high = (_end(self, quantile, side) for side in (-1, 1))
        return Interval((1 + low) / 2, (1 + high) / 2, level)

    @property
    def p_value(self) -> float | None:
        """Two-sided exact sign test of the prompts with a winner; ``None`` where there is none.

        Examples:
            >>> WinRate(9, 5, 1).p_value
            0.021484375
        """
        decided = self.wins + self.losses
        if not decided:
            return None
        from scipy.stats import binom

        return min(1.0, 2 * float(binom.sf(max(self.wins, self.losses) - 1, decided, 0.5)))

    def bounds(self) -> tuple[float, float] | None:
        """The rate if every prompt without an outcome had been lost, and if it had been won.

        Examples:
            >>> WinRate(6, 2, 1, missing=1).bounds()
            (0.7, 0.8)
        """
        prompts = self.judged + self.missing
        if not prompts:
            return None
        low = self.wins + self.ties / 2
        return low / prompts, (low + self.missing) / prompts


def _score(found: WinRate, d: float) -> float:
    """Tango's statistic at a difference ``d`` of the shares won and lost."""
    n, gap = found.judged, found.wins - found.losses
    linear = (2 * n - gap) * d - found.wins - found.losses
    constant = found.losses * d * (1 - d)
    # The share lost that has the largest likelihood given d: positive root of 2n q^2 + linear q = constant.
    lost = (math.sqrt(max(linear**2 + 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * max(lost, -d, 0.0) + d * (1 - d))
    above = gap - n * d
    if variance <= 0:
        return math.copysign(math.inf, above) if above else 0.0
    return above / math.sqrt(variance)


def _end(found: WinRate, quantile: float, side: int) -> float:
    """The end of the interval on one side, by bisection: the statistic falls as d grows."""
    inside, outside = (found.wins - found.losses) / found.judged, float(side)
    if abs(_score(found, outside)) <= quantile:
        return outside
    for _ in range(100):
        middle = (inside + outside) / 2
        if abs(_score(found, middle)) <= quantile:
            inside = middle
        else:
            outside = middle
    return inside
