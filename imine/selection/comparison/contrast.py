"""The difference between two groups of finetuned models on one evaluation set, with its uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Resampled numerators of this many numbers at once: 16 MB.
_BLOCK = 2_000_000


@dataclass(frozen=True, slots=True)
class Contrast:
    """Loss of the first group minus loss of the second, in nats a token; below 0 the first is better.

    Attributes:
        value: the estimate.
        low, high: interval at ``level``.
        level: confidence level.
        p: two-sided p-value of no difference; not below ``2 / (repeats + 1)``.
        seed_error, example_error: standard errors from seeds and from evaluation examples alone.
        wins, ties, losses: examples on which the first group's mean loss is lower, as good, higher.
    """

    value: float
    low: float
    high: float
    level: float
    p: float
    seed_error: float
    example_error: float
    wins: int
    ties: int
    losses: int


def contrast(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    tokens: npt.ArrayLike,
    *,
    paired: bool,
    level: float = 0.95,
    repeats: int = 20_000,
    tie: float = 0.005,
    seed: int = 0,
) -> Contrast:
    """Compare two groups of models that were evaluated on the same examples.

    The loss of a model is its summed loss over all examples divided by their tokens; that of a group is the mean over
    its seeds. Two things vary, and the interval covers both. *Examples* are resampled with replacement, whole rows of
    the table of losses at a time, so that the two groups and all seeds are compared on the same resampled examples, and
    the ratio of sums is formed anew; its error is taken in standard errors of its own resample and put back in those of
    the data (the bootstrap-t: plain percentiles cover too little where examples are few, skewed and of unlike length).
    *Seeds* are few, and resampling five values gives intervals that are far too short (their spread is underestimated
    by the factor ``sqrt(4/5)``, their tails are those of a normal); instead each resample adds a draw of Student's t
    times the standard error, what is known of a normal mean from few values: of the differences by seed where seeds
    are paired, of the two groups' means with Welch's degrees of freedom where they are not. The interval is from
    quantiles of the resamples, the p-value twice the smaller share of them on one side of 0, each share counted with
    one more resample.

    With no variation among examples the interval is that of Student's or Welch's test. Interaction of seeds and
    examples is counted in both parts, so that intervals are too wide where it dominates.

    Args:
        first, second: shape (seeds, examples), summed loss of the response, in nats; the numbers of seeds may differ
            where they are not paired.
        tokens: shape (examples,), response tokens.
        paired: whether seed ``s`` of both groups chose from the same random part of the pool.
        level: confidence level.
        repeats: resamples.
        tie: largest difference of an example's mean loss, in nats a token, that counts as a tie.
        seed: of the resampling; the same for all contrasts on a set, which are then resampled alike.

    Raises:
        ValueError: shapes that do not fit, fewer than two seeds or examples, or values that are not finite.

    References:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 8 and 12.5 (rows, the bootstrap-t);
        Welch 1947, Biometrika 34, 28-35;
        Hesterberg 2015, The American Statistician 69, 371-386 (bootstrap intervals of few values are too short).

    Examples:
        >>> base = np.tile([10.0, 20.0, 30.0], (3, 1))
        >>> found = contrast(base - 1, base, [10, 10, 10], paired=True, repeats=1000)
        >>> round(found.value, 6), round(found.high, 6), found.wins
        (-0.1, -0.1, 3)
    """
    A, B, t = _checked(first, second, tokens, paired)
    rng = np.random.default_rng(seed)
    means = np.array([A.sum(axis=1).mean(), B.sum(axis=1).mean()]) / t.sum()
    centred, example_error = _example_noise(A.mean(axis=0) - B.mean(axis=0), t, abs(A).max(), repeats, rng)
    noise, seed_error = _seed_noise(A.sum(axis=1) / t.sum(), B.sum(axis=1) / t.sum(), paired, repeats, rng)
    draws = means[0] - means[1] - centred + noise
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    sides = min(int((draws >= 0).sum()), int((draws <= 0).sum()))
    by_example = (A.mean(axis=0) - B.mean(axis=0)) / t
    return Contrast(
        value=float(means[0] - means[1]),
        low=float(low),
        high=float(high),
        level=level,
        p=min(1.0, 2.0 * (sides + 1) / (repeats + 1)),
        seed_error=seed_error,
        example_error=example_error,
        wins=int((by_example < -tie).sum()),
        ties=int((abs(by_example) <= tie).sum()),
        losses=int((by_example > tie).sum()),
    )


def _checked(
    first: npt.ArrayLike, second: npt.ArrayLike, tokens: npt.ArrayLike, paired: bool
) -> tuple[Array, Array, Array]:
    A, B = (np.array(group, dtype=np.float64, ndmin=2) for group in (first, second))
    t = np.array(tokens, dtype=np.float64)
    if A.ndim != 2 or B.ndim != 2 or t.shape != A.shape[1:] or t.shape != B.shape[1:] or len(t) < 2:
        raise ValueError(
            f"first and second must be (seeds, examples) of the same two or more examples as tokens; got {A.shape}, "
            f"{B.shape} and {t.shape}"
        )
    if min(len(A), len(B)) < 2 or (paired and len(A) != len(B)):
        raise ValueError(
            f"two or more seeds are needed, as many in both groups if paired; got {len(A)} and {len(B)}"
        )
    if not (np.isfinite(A).all() and np.isfinite(B).all() and np.isfinite(t).all() and t.min() > 0):
        raise ValueError("losses must be finite and tokens positive")
    return A, B, t


def _example_noise(
    difference: Array, tokens: Array, scale: float, repeats: int, rng: np.random.Generator
) -> tuple[Array, float]:
    """Draws of the examples' part of the error, shape (repeats,), and its standard error.

    A draw is the error of a resample, as many standard errors of its own as it is off, in those of the data.
    """
    count, value = len(tokens), difference.sum() / tokens.sum()
    e = difference - value * tokens
    # What is left of equal differences is rounding.
    if abs(e).max() <= 1e-12 * scale:
        return np.zeros(repeats), 0.0
    error = _ratio_error(count, tokens.sum(), (e * e).sum())
    features = np.stack([e, tokens, e * e, e * tokens, tokens * tokens], axis=1)
    parts, block = [], max(1, _BLOCK // count)
    for start in range(0, repeats, block):
        size = min(block, repeats - start)
        drawn = rng.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        s_e, s_t, s_ee, s_et, s_tt = (counts @ features).T
        off = s_e / s_t
        own = _ratio_error(count, s_t, s_ee - 2.0 * off * s_et + off * off * s_tt)
        # A resample of a single example has no spread to be measured by: it is off by next to infinitely many.
        parts.append(off / np.maximum(own, 1e-6 * error) * error)
    return np.concatenate(parts), float(error)


def _ratio_error(count: int, tokens: Any, squares: Any) -> Any:
    """Standard error of a ratio of sums by linearisation, from the squared residuals' sum."""
    return np.sqrt(np.maximum(squares, 0.0) * count / (count - 1)) / tokens


def _seed_noise(
    first: Array, second: Array, paired: bool, repeats: int, rng: np.random.Generator
) -> tuple[Array, float]:
    """Draws of the seeds' part of the error, shape (repeats,), and its standard error."""
    groups = [first - second] if paired else [first, second]
    squares = [float(group.var(ddof=1)) / len(group) for group in groups]
    total = math.fsum(squares)
    if total == 0.0:
        return np.zeros(repeats), 0.0
    # Welch (1947); for a single group this is its number of seeds less one.
    freedom = total**2 / math.fsum(s**2 / (len(g) - 1) for s, g in zip(squares, groups, strict=True))
    return math.sqrt(total) * rng.standard_t(freedom, repeats), math.sqrt(total)
