"""What a judging came to: counts, rates, and their rendering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from imine.judging.outcomes import PositionBias, position_bias
from imine.judging.win_rate import Interval, WinRate
from imine.rendering import percent


@dataclass(frozen=True)
class Judging:
    """Judgements of all prompts.

    Attributes:
        frame: one row a prompt, columns :data:`imine.judging.outcomes.SCHEMA`.
        names: name of model ``a`` and of model ``b``.
        origins: what made the answers of each.
        judge: fingerprint of the judge.
        asked: questions that were sent in this run; the others were answered before.
        waiting: questions that the judge left without a reply; another run asks them again.
    """

    frame: pl.DataFrame
    names: Mapping[str, str]
    origins: Mapping[str, Mapping[str, Any]]
    judge: Mapping[str, Any]
    asked: int
    waiting: int

    @property
    def win_rate(self) -> WinRate:
        """Outcomes counted for model a."""
        counts = {one: int((self.frame["outcome"] == one).sum()) for one in ("a", "tie", "b")}
        return WinRate(counts["a"], counts["tie"], counts["b"], self.frame["outcome"].null_count())

    @property
    def position_bias(self) -> PositionBias:
        """How far the judge goes by the place of an answer."""
        return position_bias(self.frame)

    @property
    def ties(self) -> dict[str, int]:
        """Ties by how they came about."""
        return _counts(self.frame.filter(pl.col("outcome") == "tie"), "how")

    @property
    def reasons(self) -> dict[str, int]:
        """Missing outcomes by their reason, the most frequent first."""
        return _counts(self.frame.filter(pl.col("outcome").is_null()), "outcome__why")

    @property
    def longer_won(self) -> tuple[int, int]:
        """Prompts with a winner whose answer has more characters, and those with a winner and unequal lengths."""
        decided = self.frame.filter(pl.col("outcome").is_in(["a", "b"])).select(
            "outcome", longer=pl.col("answer_a").str.len_chars() > pl.col("answer_b").str.len_chars(),
            equal=pl.col("answer_a").str.len_chars() == pl.col("answer_b").str.len_chars(),
        ).filter(~pl.col("equal"))  # fmt: skip
        return int(((decided["outcome"] == "a") == decided["longer"]).sum()), decided.height

    def record(self, level: float = 0.95) -> dict[str, Any]:
        """The content of ``summary.json``.

        Args:
            level: confidence level of the interval.
        """
        rate, bias = self.win_rate, self.position_bias
        interval = rate.interval(level)
        longer, unequal = self.longer_won
        return {
            "schema": 1,
            "models": {side: {"name": self.names[side], **self.origins[side]} for side in ("a", "b")},
            "judge": dict(self.judge),
            "prompts": self.frame.height,
            "wins_a": rate.wins,
            "ties": rate.ties,
            "wins_b": rate.losses,
            "without_outcome": rate.missing,
            "win_rate_a": rate.rate,
            "interval": interval and {"low": interval.low, "high": interval.high, "level": level},
            "interval_method": "score interval of Tango (1998) over prompts, ties half",
            "p_value": rate.p_value,
            "p_value_method": "exact sign test, two-sided, over prompts with a winner",
            "bounds": rate.bounds(),
            "ties_by_origin": self.ties,
            "without_outcome_by_reason": self.reasons,
            "position": {
                "pairs": bias.pairs,
                "agreed": bias.agreed,
                "first_won_twice": bias.first,
                "second_won_twice": bias.second,
                "tie_in_one_order": bias.half,
            },
            "longer_answer_won": {"won": longer, "of": unequal},
            "empty_answers": {side: int((self.frame[f"answer_{side}"] == "").sum()) for side in ("a", "b")},
            "questions_without_reply": self.waiting,
        }

    def summary(self, level: float = 0.95) -> str:
        """The result for people, a few lines.

        Args:
            level: confidence level of the interval.
        """
        return "\n".join([*_outcome_lines(self, level), *_judge_lines(self)])


def _counts(frame: pl.DataFrame, column: str) -> dict[str, int]:
    counted = frame.group_by(column).len().sort(["len", column], descending=[True, False])
    return {str(name): int(count) for name, count in counted.iter_rows()}


def _outcome_lines(judging: Judging, level: float) -> list[str]:
    rate = judging.win_rate
    lines = [f"a: {judging.names['a']}", f"b: {judging.names['b']}"]
    if rate.rate is None:
        return [*lines, f"none of {rate.missing:,} prompts has an outcome", *_missing_lines(judging)]
    lines.append(
        f"{rate.judged:,} prompts: a wins {rate.wins:,}, ties {rate.ties:,}, b wins {rate.losses:,}"
        + _by(judging.ties)
    )
    interval = rate.interval(level)
    if interval is not None:
        lines.append(
            f"win rate of a, ties half: {rate.rate:.3f} "
            f"({percent(level)} interval {interval.low:.3f} to {interval.high:.3f})"
        )
        lines.append(_sentence(interval, rate.p_value))
    return lines + _missing_lines(judging)


def _sentence(interval: Interval, p_value: float | None) -> str:
    """A preference is told where interval and sign test both do: the interval alone, of few prompts, does too often."""
    if p_value is None:
        return "the judge's preference cannot be told from none"
    test = f" (sign test p = {p_value:.3g})"
    told = p_value < 1 - interval.level
    if told and interval.low > 0.5:
        return f"the judge prefers a{test}"
    if told and interval.high < 0.5:
        return f"the judge prefers b{test}"
    return f"the judge's preference cannot be told from none{test}"


def _missing_lines(judging: Judging) -> list[str]:
    rate, bounds = judging.win_rate, judging.win_rate.bounds()
    if not rate.missing or bounds is None:
        return []
    lines = [
        f"{rate.missing:,} prompts without an outcome; with them the rate lies between {bounds[0]:.3f} and "
        f"{bounds[1]:.3f}"
    ]
    lines += [f"  {count:,}: {why}" for why, count in judging.reasons.items()]
    if judging.waiting:
        lines.append(f"{judging.waiting:,} questions had no reply; the same command asks them again")
    return lines


def _judge_lines(judging: Judging) -> list[str]:
    bias = judging.position_bias
    if not bias.pairs:
        return []
    longer, unequal = judging.longer_won
    lines = [
        f"judge: the same in both orders on {bias.agreed / bias.pairs:.0%} of {bias.pairs:,} pairs; the answer shown "
        f"first won twice on {bias.first / bias.pairs:.0%}, the one shown second on {bias.second / bias.pairs:.0%}"
    ]
    if unequal:
        lines.append(f"the longer answer won {longer:,} of {unequal:,} decided pairs of unequal length")
    return lines


def _by(ties: Mapping[str, int]) -> str:
    return f" (ties: {', '.join(f'{count:,} {how}' for how, count in ties.items())})" if ties else ""
