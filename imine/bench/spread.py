"""Medians of few measurements, with intervals that assume nothing of their distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

LEVEL = 0.95
"""Least coverage of an interval, where there are enough rounds for one."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and an interval for it.

    Attributes:
        median: of the rounds.
        low, high: ends of the interval, both among the measured values.
        rounds: number of values.
    """

    median: float
    low: float
    high: float
    rounds: int

    @property
    def coverage(self) -> float:
        """Probability that the whole range of so many rounds holds the true median.

        From six rounds on it is above 95 %, and the interval may be narrower than the range.

        Examples:
            >>> Spread(1.0, 0.9, 1.2, 5).coverage
            0.9375
        """
        return max(0.0, 1.0 - 2.0 ** (1 - self.rounds))


def spread(values: Sequence[float]) -> Spread:
    """The median of the values, with the narrowest interval of order statistics that covers it.

    The interval runs from the k-th smallest to the k-th largest value, k as large as a coverage of 95 % allows:
    ``1 - 2 P(B < k)`` with B binomial (rounds, 1/2). Under six rounds no interval has that coverage; the whole
    range is given, and :attr:`Spread.coverage` says what it covers.

    Args:
        values: one number a round, in any order; at least one.

    Raises:
        ValueError: there is no value, or one that is no finite number.

    References:
        Conover (1999), Practical Nonparametric Statistics, section 3.2.

    Examples:
        >>> spread([1.0, 5.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0])
        Spread(median=5.0, low=2.0, high=8.0, rounds=9)
    """
    ordered = sorted(map(float, values))
    if not ordered or not all(map(math.isfinite, ordered)):
        raise ValueError(f"a median needs at least one value, all finite; got {list(values)!r}")
    k = _rank(len(ordered))
    return Spread(median(ordered), ordered[k - 1], ordered[-k], len(ordered))


def _rank(n: int) -> int:
    # In whole numbers: 0.5**n is zero from some thousand rounds on.
    tail, k, whole = 1, 1, 2**n
    while (whole - 2 * (tail + math.comb(n, k))) / whole >= LEVEL:
        tail += math.comb(n, k)
        k += 1
    return k


def quotient(over: Spread, under: Spread) -> Spread:
    """Quotient of two medians that were not measured in turn: the widest interval that both allow.

    Args:
        over, under: positive spreads.

    Examples:
        >>> quotient(Spread(4.0, 3.0, 5.0, 7), Spread(2.0, 1.0, 2.5, 9))
        Spread(median=2.0, low=1.2, high=5.0, rounds=7)
    """
    return Spread(
        over.median / under.median,
        over.low / under.high,
        over.high / under.low,
        min(over.rounds, under.rounds),
    )


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should be.

    Attributes:
        sign: ``">="`` or ``"<="``.
        value: the bound, in the figure's own unit.
    """

    sign: Literal[">=", "<="]
    value: float

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a target such as ``">= 1.0"``.

        Raises:
            ValueError: the text is no such thing.

        Examples:
            >>> Target.parse(">= 1.8")
            Target(sign='>=', value=1.8)
        """
        for sign in (">=", "<="):
            if text.startswith(sign):
                return cls(sign, float(text.removeprefix(sign)))
        raise ValueError(f"a target is '>= NUMBER' or '<= NUMBER', not {text!r}")

    def verdict(self, found: Spread) -> Literal["met", "missed", "unsure"]:
        """``met`` or ``missed`` where the whole interval is on one side, ``unsure`` where the bound is inside.

        Args:
            found: the measured figure.

        Examples:
            >>> Target(">=", 1.0).verdict(Spread(1.1, 0.9, 1.2, 7))
            'unsure'
        """
        low, high = (found.low, found.high) if self.sign == ">=" else (-found.high, -found.low)
        bound = self.value if self.sign == ">=" else -self.value
        if low >= bound:
            return "met"
        return "missed" if high < bound else "unsure"

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}"
