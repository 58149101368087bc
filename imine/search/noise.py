"""How far the losses of a search may be from those of endless seeds and evaluation examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imine.search.losses import Array, Losses, pooled


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """Draws of the errors of the mean losses of every arm and size.

    Attributes:
        draws: shape (draws, arms, sizes), in nats a token: of seeds and evaluation examples together.
        seed_sd: shape (arms,): standard deviation between the seeds of a size, pooled over the sizes; 0 for one
            seed, of which nothing is known.
        seed_df: degrees of freedom of each.
        seeds: finetunes of every arm and size.
    """

    draws: Array
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
    moves all losses together and cancels in differences. The error of the seeds is normal about 0, independent from
    size to size, with a variance pooled over the sizes and drawn from its own distribution (scaled inverse chi
    square), so that few seeds give wide bands.

    Args:
        losses: of the finetunes.
        sets: evaluation sets that are pooled.
        repeats: number of draws.
        seed: of the draws.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, len(losses.sizes)]))
    examples = _example_errors(losses, sets, repeats, rng)
    by_seed = pooled(losses, sets)
    arms, sizes, seeds = by_seed.shape
    df = sizes * (seeds - 1)
    if not df:
        return Noise(examples, np.zeros(arms), 0, seeds)
    sd = np.sqrt(by_seed.var(axis=2, ddof=1).mean(axis=1))
    scale = np.sqrt(df / rng.chisquare(df, size=(repeats, arms)))
    normal = rng.standard_normal((repeats, arms, sizes))
    return Noise(examples + normal * (sd * scale)[:, :, None] / np.sqrt(seeds), sd, df, seeds)


def _example_errors(losses: Losses, sets: Sequence[str], repeats: int, rng: np.random.Generator) -> Array:
    """Errors of the mean over the seeds, shape (repeats, arms, sizes)."""
    means = {name: losses.sums[name].mean(axis=2) for name in sets}
    total = np.zeros((repeats, *next(iter(means.values())).shape[:2]))
    tokens = np.zeros(repeats)
    for name in sets:
        count = len(losses.tokens[name])
        weights = rng.multinomial(count, np.full(count, 1.0 / count), size=repeats).astype(np.float64)
        total += np.einsum("re,ake->rak", weights, means[name], optimize=True)
        tokens += weights @ losses.tokens[name]
    observed = pooled(losses, sets).mean(axis=2)
    return total / tokens[:, None, None] - observed


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
