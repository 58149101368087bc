"""What two judgements of the same pair, one in each order, say together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from imine.judging.prompts import Verdict

Side = Literal["a", "b"]
Outcome = Literal["a", "b", "tie"]

IDENTICAL = "identical answers"
"""How a tie between equal texts came about; the judge is not asked."""

SCHEMA = {
    "id": pl.String,
    "a_first": pl.String,
    "a_first__why": pl.String,
    "b_first": pl.String,
    "b_first__why": pl.String,
    "outcome": pl.String,
    "outcome__why": pl.String,
    "how": pl.String,
    "answer_a": pl.String,
    "answer_b": pl.String,
}
"""Columns of ``judgements.parquet``: verdicts (``a``, ``b``, ``tie``) with model a's and model b's answer shown first,
the outcome of both, the reason of each null, how the outcome came about, and the answers."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One pair in both orders.

    Attributes:
        outcome: the winner, or ``tie``; ``None`` without one.
        why: reason of a missing outcome.
        how: ``same in both orders``, ``the orders disagree`` or :data:`IDENTICAL`; ``None`` without an outcome.
    """

    outcome: Outcome | None
    why: str | None
    how: str | None


def winner(verdict: Verdict | None, shown_first: Side) -> Outcome | None:
    """The model behind a verdict by place.

    Examples:
        >>> winner("second", "a"), winner("first", "b"), winner("tie", "a"), winner(None, "a")
        ('b', 'b', 'tie', None)
    """
    if verdict is None or verdict == "tie":
        return verdict
    return shown_first if verdict == "first" else ("b" if shown_first == "a" else "a")


def combine(
    a_first: Outcome | None, b_first: Outcome | None, a_why: str | None = None, b_why: str | None = None
) -> Judgement:
    """The outcome of two judgements: a model wins where it wins in both orders; what differs is a tie.

    That is the conservative rule of Zheng et al. (arXiv 2306.05685, section 3.4). Without a verdict in one order there
    is no outcome.

    Args:
        a_first, b_first: verdicts with model a's and model b's answer shown first.
        a_why, b_why: reasons of missing ones.

    Examples:
        >>> combine("a", "a").outcome, combine("a", "b").outcome, combine("tie", "b").outcome
        ('a', 'tie', 'tie')
        >>> combine("a", None, None, "the reply is empty").why
        'with b first: the reply is empty'
    """
    if a_first is None:
        return Judgement(None, f"with a first: {a_why}", None)
    if b_first is None:
        return Judgement(None, f"with b first: {b_why}", None)
    if a_first == b_first:
        return Judgement(a_first, None, "same in both orders")
    return Judgement("tie", None, "the orders disagree")


@dataclass(frozen=True, slots=True)
class PositionBias:
    """How far a judge goes by the place of an answer, over pairs with a verdict in both orders.

    Attributes:
        pairs: such pairs.
        agreed: pairs with the same verdict in both orders.
        first: pairs in which the answer shown first won in both orders.
        second: pairs in which the answer shown second won in both orders.
        half: pairs with a tie in one order and a winner in the other.
    """

    pairs: int
    agreed: int
    first: int
    second: int
    half: int

    def rate(self, count: int) -> float | None:
        """A count as a share of the pairs; ``None`` where there are none.

        Examples:
            >>> bias = PositionBias(10, 7, 2, 0, 1)
            >>> bias.rate(bias.first)
            0.2
        """
        return count / self.pairs if self.pairs else None


def position_bias(judgements: pl.DataFrame) -> PositionBias:
    """Count in what the two orders agree.

    Args:
        judgements: columns ``a_first`` and ``b_first``; pairs in which one is null are left out, and so are those with
            identical answers, on which no judge was asked.

    Examples:
        >>> rows = {"a_first": ["a", "a", "b", None], "b_first": ["a", "b", "tie", "a"], "how": [None] * 4}
        >>> position_bias(pl.DataFrame(rows))
        PositionBias(pairs=3, agreed=1, first=1, second=0, half=1)
    """
    asked = judgements.filter(pl.col("how").is_null() | (pl.col("how") != IDENTICAL))
    both = asked.select("a_first", "b_first").drop_nulls()
    counts: Counter[tuple[str, str]] = Counter(both.iter_rows())
    return PositionBias(
        pairs=both.height,
        agreed=_total(counts, ((one, one) for one in ("a", "b", "tie"))),
        first=counts[("a", "b")],
        second=counts[("b", "a")],
        half=_total(counts, (pair for pair in counts if pair[0] != pair[1] and "tie" in pair)),
    )


def _total(counts: Counter[tuple[str, str]], pairs: Iterable[tuple[str, str]]) -> int:
    return sum(counts[pair] for pair in pairs)
