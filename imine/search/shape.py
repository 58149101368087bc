"""Whether a curve falls, has a valley, or falls, rises and falls again, beyond noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from imine.rendering import format_p, percent
from imine.search.losses import Array

Verdict = Literal["double descent", "valley", "rising", "falling", "flat", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What can be said of the shape of a curve over the sizes that were tried.

    Attributes:
        verdict: ``falling``, ``rising``, ``valley`` (falls, then rises), ``double descent`` (rises and falls again),
            ``flat``, or ``cannot tell``.
        p_falling: p-value of a curve that never rises; ``None`` where the spread of seeds is not known.
        p_rising: of one that never falls.
        p_valley: of one that falls and then rises, either part of which may be missing.
        greatest_rise: largest observed rise from a size to a larger one, in nats a token.
        rise_bound: upper bound of the true one, at the level, for all pairs of sizes together.
        greatest_fall, fall_bound: the same of falls.
        hump_bound: upper bound of the height of a rise that is followed by a fall.
        level: of the bounds; a p-value below ``1 - level`` refutes its shape.
        statement: in words.
    """

    verdict: Verdict
    p_falling: float | None
    p_rising: float | None
    p_valley: float | None
    greatest_rise: float
    rise_bound: float | None
    greatest_fall: float
    fall_bound: float | None
    hump_bound: float | None
    level: float
    statement: str


def judge_shape(losses: Array, errors: Array, *, level: float, margin: float, seeds_known: bool) -> Shape:
    """Judge the shape of a curve.

    The distance of the curve from a shape is the sum of squares about the nearest curve of that shape (isotonic
    regression), compared with that of draws of the noise alone. The curves that never rise are a convex cone, of which
    a constant is the hardest member to tell from a rise, so the p-value holds for every falling curve (Robertson,
    Wright, Dykstra 1988, Order Restricted Statistical Inference, chapter 2). A curve with a valley is one of a union of
    such cones, one for each place where the falling part ends: its p-value is the largest of theirs (Berger 1982,
    Technometrics 24, 295-300).

    That no shape is refuted proves nothing. A curve counts as falling where the upper bound of every rise lies below
    the margin, however sure a smaller rise is.

    Args:
        losses: shape (sizes,), by ascending size.
        errors: shape (draws, sizes): draws of their joint error.
        level: confidence level.
        margin: rise, in nats a token, below which one counts as none.
        seeds_known: whether the errors hold the spread of the seeds.

    Examples:
        >>> errors = np.random.default_rng(0).normal(0, 0.001, (500, 6))
        >>> curve = np.array([2.0, 1.9, 1.8, 1.85, 1.8, 1.7])
        >>> judge_shape(curve, errors, level=0.95, margin=0.01, seeds_known=True).verdict
        'double descent'
    """
    rise, fall = _greatest(losses), _greatest(-losses)
    if len(losses) < 3 or not seeds_known:
        reason = "fewer than three sizes were tried" if len(losses) < 3 else "one seed tells nothing of noise"
        return Shape(
            "cannot tell", None, None, None, rise, None, fall, None, None, level, f"cannot tell: {reason}"
        )
    p_values = _p_values(losses, errors)
    p_falling, p_rising, p_valley = p_values[-1], p_values[0], max(p_values)
    upper = upper_differences(losses, errors, level)
    bounds = _greatest_above(upper), _greatest_above(upper.T), _hump(upper)
    verdict = _verdict(p_falling, p_rising, p_valley, bounds, 1.0 - level, margin)
    statement = _statement(verdict, (p_falling, p_rising, p_valley), bounds, level, margin)
    return Shape(
        verdict, p_falling, p_rising, p_valley, rise, bounds[0], fall, bounds[1], bounds[2], level, statement
    )


def upper_differences(losses: Array, errors: Array, level: float) -> Array:
    """Upper bounds of the true difference of every pair of sizes, all together at the level.

    Args:
        losses: shape (sizes,).
        errors: shape (draws, sizes).
        level: confidence level.

    Returns:
        Shape (sizes, sizes): of the loss at the column's size less that at the row's.
    """
    gaps = errors[:, None, :] - errors[:, :, None]
    spread = gaps.std(axis=0)
    safe = np.where(spread > 0, spread, 1.0)
    largest = (-gaps / safe).max(axis=(1, 2))
    return losses[None, :] - losses[:, None] + float(np.quantile(largest, level)) * spread


def cone_distances(values: Sequence[float]) -> list[float]:
    """Squared distances of a curve from those that fall over the first k sizes and rise over the others.

    Returns:
        One for every k from 0 (rising everywhere) to the number of sizes (falling everywhere).

    Examples:
        >>> cone_distances([3.0, 1.0, 2.0])
        [2.0, 0.0, 0.0, 0.5]
    """
    falling = _isotonic_errors([-v for v in values])
    rising = _isotonic_errors([-v for v in reversed(values)])
    return [a + b for a, b in zip(falling, reversed(rising), strict=True)]


def _isotonic_errors(values: Sequence[float]) -> list[float]:
    """Sum of squares about the nearest rising curve, of every beginning of a curve (pool adjacent violators)."""
    blocks: list[tuple[float, int, float]] = []  # mean, count, sum of squares about the mean
    errors, total = [0.0], 0.0
    for value in values:
        mean, count, squares = value, 1, 0.0
        while blocks and blocks[-1][0] > mean:
            before, many, inner = blocks.pop()
            total -= inner
            gap, both = mean - before, count + many
            squares += inner + gap * gap * count * many / both
            mean, count = before + gap * count / both, both
        blocks.append((mean, count, squares))
        total += squares
        errors.append(max(total, 0.0))
    return errors


def _p_values(losses: Array, errors: Array) -> list[float]:
    observed = np.array(cone_distances(losses.tolist()))
    drawn = np.array([cone_distances(row) for row in errors.tolist()])
    # One is added above and below, so that no finite number of draws gives a p-value of 0.
    above = (drawn >= observed).sum(axis=0)
    return [float(p) for p in (above + 1) / (len(errors) + 1)]


def _greatest(losses: Array) -> float:
    least = np.minimum.accumulate(losses)
    return float((losses - least).max())


def _greatest_above(upper: Array) -> float:
    return max(0.0, float(upper[np.triu_indices(len(upper), 1)].max()))


def _hump(upper: Array) -> float:
    """Largest of the smaller of a rise and the fall after it, by their upper bounds."""
    heights = [min(upper[:top, top].max(), upper[top + 1 :, top].max()) for top in range(1, len(upper) - 1)]
    return max(0.0, float(max(heights)))


def _verdict(
    p_falling: float,
    p_rising: float,
    p_valley: float,
    bounds: tuple[float, float, float],
    alpha: float,
    margin: float,
) -> Verdict:
    rise, fall, hump = bounds
    if rise <= margin:
        return "flat" if fall <= margin else "falling"
    rises, falls = p_falling < alpha, p_rising < alpha
    if p_valley < alpha and hump > margin:
        return "double descent"
    if rises and falls:
        return "valley"
    return "rising" if rises else "cannot tell"


def _statement(
    verdict: Verdict,
    p_values: tuple[float, float, float],
    bounds: tuple[float, float, float],
    level: float,
    margin: float,
) -> str:
    p_falling, p_rising, p_valley = (format_p(p) for p in p_values)
    at = f"at {percent(level)} confidence"
    if verdict == "double descent":
        return f"rises and falls again beyond noise: no curve with a single valley fits (p = {p_valley})"
    if verdict == "valley":
        again = _hump_words(bounds[2], at, margin)
        return f"falls and then rises beyond noise (p = {p_rising} and {p_falling} without); {again}"
    if verdict == "rising":
        return (
            f"rises beyond noise (p = {p_falling} without), and no fall is beyond it (p = {p_rising}); "
            f"{_hump_words(bounds[2], at, margin)}"
        )
    if verdict in ("falling", "flat"):
        small = f"every rise between the sizes tried is below {bounds[0]:.4f} nats a token {at}"
        flat = f", and every fall below {bounds[1]:.4f}" if verdict == "flat" else ""
        return f"{verdict}: {small}{flat}; a double descent above {margin:g} is denied"
    return (
        f"cannot tell: no rise is beyond noise (p = {p_falling}), and one of up to {bounds[0]:.4f} nats a token is "
        f"not excluded {at}; more seeds or evaluation examples would narrow it"
    )


def _hump_words(bound: float, at: str, margin: float) -> str:
    if bound <= margin:
        return f"a rise with a second fall after it is below {bound:.4f} nats a token {at}"
    return f"a second fall after a rise of up to {bound:.4f} nats a token is not excluded {at}"
