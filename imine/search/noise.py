"""How far the losses of a search may be from those of endless seeds and evaluation examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imine.search.losses import Array, Losses, pooled

# Variances below this share of those of the losses themselves are rounding.
_ROUNDING = 1e-24


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """Draws of errors in nats a token, of seeds and evaluation examples together.

    Attributes:
        level: shape (draws, arms, sizes), of every mean loss by itself.
        difference: shape (draws, sizes), of the first arm's mean loss less the second's.
        curve: shape (draws, arms, sizes), of the losses of an arm beside each other: what moves all sizes alike is
            left out, so it is for differences between sizes only.
        seed_sd: shape (arms,): standard deviation between the seeds of a size, pooled over the sizes; 0 for one
            seed, of which nothing is known.
        seed_df: degrees of freedom of each.
        seeds: finetunes of every arm and size.
    """

    level: Array
    difference: Array
    curve: Array
    seed_sd: Array
    seed_df: int
    seeds: int

    @property
    def seeds_known(self) -> bool:
        """Whether there is more than one seed, so that their spread is known."""
        return self.seeds > 1


def draw_noise(losses: Losses, sets: Sequence[str], *, repeats: int, seed: int) -> Noise:
    """Draw errors from both sources.

    Evaluation examples are resampled within their set, the same ones for all finetunes: what makes an example hard
    moves all losses together and cancels in differences. The error of a resample is taken in standard errors of its
    own and put back in those of the data (the bootstrap-t, Efron and Tibshirani 1993, chapter 12.5): plain errors
    are too small where examples are few, skewed and of unlike length. Every loss and every difference of the arms has
    its own standard error; the sizes of a curve have one together, the root of their summed variances about the mean
    over the sizes, so that a draw stays a curve.

    The error of the seeds is normal about 0, independent from size to size, with a variance pooled over the sizes and
    drawn from its own distribution (scaled inverse chi square), so that few seeds give wide bands.

    Args:
        losses: of the finetunes.
        sets: evaluation sets that are pooled.
        repeats: number of draws.
        seed: of the draws.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, len(losses.sizes)]))
    level, difference, curve = _example_errors(losses, sets, repeats, rng)
    by_seed = pooled(losses, sets)
    arms, sizes, seeds = by_seed.shape
    df = sizes * (seeds - 1)
    if not df:
        return Noise(level, difference, curve, np.zeros(arms), 0, seeds)
    sd = np.sqrt(by_seed.var(axis=2, ddof=1).mean(axis=1))
    scale = np.sqrt(df / rng.chisquare(df, size=(repeats, arms)))
    normal = rng.standard_normal((repeats, arms, sizes))
    of_seeds = normal * (sd * scale)[:, :, None] / np.sqrt(seeds)
    return Noise(
        level + of_seeds,
        difference + of_seeds[:, 0] - of_seeds[:, 1],
        curve + of_seeds,
        sd,
        df,
        seeds,
    )


def _example_errors(
    losses: Losses, sets: Sequence[str], repeats: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """The examples' part of the three errors of :class:`Noise`."""
    means = {name: losses.sums[name].mean(axis=2) for name in sets}
    arms, sizes = next(iter(means.values())).shape[:2]
    resamples = _Resamples(means, {name: losses.tokens[name] for name in sets}, repeats, rng)
    level = resamples.studentised({name: part.reshape(arms * sizes, -1) for name, part in means.items()})
    difference = resamples.studentised({name: part[0] - part[1] for name, part in means.items()})
    curves = [
        resamples.studentised(
            {name: part[arm] - part[arm].mean(axis=0) for name, part in means.items()}, True
        )
        for arm in range(arms)
    ]
    return level.reshape(repeats, arms, sizes), difference, np.stack(curves, axis=1)


class _Resamples:
    """Resamples of the evaluation examples, drawn within each set."""

    def __init__(
        self, means: dict[str, Array], tokens: dict[str, Array], repeats: int, rng: np.random.Generator
    ) -> None:
        self._tokens, self._total = tokens, float(sum(t.sum() for t in tokens.values()))
        self._rounding = (
            _ROUNDING * sum(float((m * m).sum(axis=-1).max()) for m in means.values()) / self._total**2
        )
        self._counts = {
            name: rng.multinomial(len(t), np.full(len(t), 1.0 / len(t)), size=repeats).astype(np.float64)
            for name, t in tokens.items()
        }

    def studentised(self, sums: dict[str, Array], together: bool = False) -> Array:
        """Errors of ratios of sums to tokens, in standard errors of their own resample, put back in those of the data.

        Args:
            sums: by set, shape (ratios, examples).
            together: one standard error for all ratios, the root of their summed variances.

        Returns:
            Shape (repeats, ratios).
        """
        value = np.sum([part.sum(axis=1) for part in sums.values()], axis=0) / self._total
        left = {name: part - np.outer(value, self._tokens[name]) for name, part in sums.items()}
        once = {name: np.ones((1, len(t))) for name, t in self._tokens.items()}
        (_, squares), (off, own) = self._errors(left, once), self._errors(left, self._counts)
        if together:
            squares, own = (part.sum(axis=1, keepdims=True) for part in (squares, own))
        squares = np.where(squares <= self._rounding, 0.0, squares)
        # A resample of a single example has no spread to be measured by: it is off by next to infinitely many.
        return np.asarray(off * np.sqrt(squares / np.maximum(own, 1e-12 * squares + np.finfo(float).tiny)))

    def _errors(self, left: dict[str, Array], counts: dict[str, Array]) -> tuple[Array, Array]:
        """Errors of resamples and their variances by linearisation, shape (resamples, ratios) each."""
        tokens = np.sum([counts[name] @ t for name, t in self._tokens.items()], axis=0)[:, None]
        off = np.sum([counts[name] @ part.T for name, part in left.items()], axis=0) / tokens
        variance = np.zeros_like(off)
        for name, part in left.items():
            t, drawn = self._tokens[name], counts[name]
            count = len(t)
            sums = drawn @ part.T - off * (drawn @ t)[:, None]
            squares = drawn @ (part * part).T - 2.0 * off * (drawn @ (part * t).T)
            squares = squares + off * off * (drawn @ (t * t))[:, None]
            variance += np.maximum(squares - sums * sums / count, 0.0) * count / max(count - 1, 1)
        return off, variance / tokens**2


def interval(value: float, errors: Array, level: float) -> tuple[float, float]:
    """Interval about a value from draws of its error.

    An error is what was seen less what is true, so its upper tail bounds the truth from below.

    Examples:
        >>> interval(1.0, np.array([-0.2, -0.1, 0.0, 0.1, 0.4]), 0.5)
        (0.9, 1.1)
    """
    low, high = np.quantile(errors, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return value - float(high), value - float(low)


def seed_half_width(noise: Noise, arm: int, level: float) -> float | None:
    """Half the width of the interval from the seeds alone; ``None`` where they are too few."""
    from scipy.stats import t as student

    if not noise.seeds_known:
        return None
    quantile = float(student.isf((1.0 - level) / 2.0, noise.seed_df))
    return quantile * float(noise.seed_sd[arm]) / float(np.sqrt(noise.seeds))
