"""Optimal designs: draws tilted so that the subset means tell the coefficients apart.

Means of random draws hardly differ, so that a regression on them is vague. Here a row with standardised indicators
``z`` is drawn with a probability proportional to ``exp(theta . z)``, without replacement, and ``theta`` is chosen run
after run so that the determinant of the information matrix of all subset means grows most (D-optimality).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imine.errors import StudyConfigError
from imine.study.designs.budget import take_tokens
from imine.study.designs.candidates import Candidates, Rows, generator
from imine.study.designs.steering import Array, Steering

_DIRECTIONS = 128
_REFINED, _ROUNDS = 3, 4
_DRAWS = 8
_HALVINGS = 12
# In units of the variance of single rows, so far below that of subset means that it only breaks the first ties.
_RIDGE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Tilt:
    """How rows are drawn for a run.

    Attributes:
        theta: in log odds a standard deviation of each indicator, shape (indicators,).
        shares: probability of each candidate to be drawn first, shape (candidates,).
        mean: expected mean of the standardised indicators of the first row, shape (indicators,).
    """

    theta: Array
    shares: Array
    mean: Array


@dataclass(frozen=True, slots=True, eq=False)
class OptimalRows:
    """The rows of all runs of an optimal design.

    Attributes:
        rows: of each run, in the order of the draw.
        means: standardised means of the rows as drawn, shape (runs, indicators).
    """

    rows: tuple[Rows, ...]
    means: Array


def tilted(
    candidates: Candidates,
    steering: Steering,
    direction: Array,
    *,
    examples: int | None = None,
    response_tokens: int | None = None,
    breadth: float = 2.0,
) -> Tilt:
    """The strongest allowed tilt in a direction.

    Its strength is such that the effective number of candidates, ``1 / sum(p^2)``, is ``breadth`` times the rows of a
    subset: a draw without replacement needs so many to choose from. The number falls as the strength grows, so
    halving intervals finds it. For a budget of tokens the rows of a subset are those that it takes on average.

    Args:
        candidates: of all pools, with their lengths for a budget of tokens.
        steering: the indicators that are steered.
        direction: shape (indicators,).
        examples: rows of a subset; this or ``response_tokens``.
        response_tokens: budget of a subset.
        breadth: at least 1.
    """
    along = steering.z @ direction
    along = (along - along.max()) / max(float(np.ptp(along)), np.finfo(float).tiny)

    def shares(strength: float) -> Array:
        weights = np.exp(strength * along)
        return weights / weights.sum()

    def too_strong(p: Array) -> bool:
        rows = float(examples or 0)
        if response_tokens is not None:
            assert candidates.lengths is not None
            rows = response_tokens / float(p @ candidates.lengths)
        return 1.0 / float(p @ p) < breadth * rows

    low, high = 0.0, 1.0
    while not too_strong(shares(high)) and high < 2.0**20:
        low, high = high, 2.0 * high
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if too_strong(shares(middle)) else (middle, high)
    p = shares(low)
    return Tilt(
        low * direction / max(float(np.ptp(steering.z @ direction)), 1e-300), p, steering.weighted_mean(p)
    )


def draw_optimal(
    candidates: Candidates,
    steering: Steering,
    seed: int,
    runs: int,
    *,
    examples: int | None = None,
    response_tokens: int | None = None,
    breadth: float = 2.0,
    before: tuple[Rows, ...] = (),
) -> OptimalRows:
    """Draw the runs of an optimal design one after another; a longer design begins with the shorter one.

    With ``M`` the information matrix (intercept and standardised means) of the runs so far, a run with means ``x``
    multiplies its determinant by ``1 + (1, x)' M^-1 (1, x)``. For each run

    1. 128 fixed directions (both ends of each indicator, the others random) are held by the expected means of
       their strongest allowed tilts, and the three best are refined: since the gain is convex in ``x``, tilting along
       its gradient only raises it;
    2. eight subsets are drawn with the best tilt, rows one after another without replacement, and the one whose own
       means raise the determinant most is kept. ``M`` takes these means, not the expected ones.

    Args:
        candidates: of all pools, with their lengths for a budget of tokens.
        steering: the indicators that are steered.
        seed: seed of the study.
        runs: number of runs.
        examples: rows of a subset; this or ``response_tokens``.
        response_tokens: budget of a subset; see :func:`~imine.study.designs.budget.take_tokens`.
        breadth: how many times the rows of a subset its draw effectively chooses from, at least 1.
        before: rows of the first runs where they were drawn already.

    Raises:
        StudyConfigError: fewer candidates than ``breadth`` subsets hold, or a budget that cannot be met.

    References:
        Wynn (1970), The sequential generation of D-optimum experimental designs, Annals of Mathematical
        Statistics 41. Efraimidis, Spirakis (2006), Weighted random sampling with a reservoir, Information
        Processing Letters 97, for the draw.
    """
    size = {"examples": examples, "response_tokens": response_tokens, "breadth": breadth}
    if examples is not None and breadth * examples > len(candidates.ids):
        raise StudyConfigError(
            f"design.breadth: {breadth:g} times {examples} examples are more than the {len(candidates.ids)} "
            f"candidates; allowed: 1 to {max(1.0, len(candidates.ids) / examples):.3g}"
        )
    k = len(steering.names)
    information = _RIDGE * np.eye(k + 1)
    rows, means = list(before[:runs]), [steering.means(own) for own in before[:runs]]
    for mean in means:
        information += _square(mean)
    known = [_tilt(candidates, steering, d, size) for d in _directions(seed, k)]
    for run in range(len(rows), runs):
        inverse: Array = np.linalg.inv(information)
        tilt = _best_tilt(candidates, steering, known, inverse, size)
        rows.append(_best_draw(candidates, steering, tilt, inverse, size, seed, run))
        means.append(steering.means(rows[-1]))
        information += _square(means[-1])
    return OptimalRows(tuple(rows), np.array(means))


def _square(mean: Array) -> Array:
    x = np.append(1.0, mean)
    return np.outer(x, x)


def _directions(seed: int, k: int) -> Array:
    random = generator(seed, 0, "directions").standard_normal((max(0, _DIRECTIONS - 2 * k), k))
    return np.concatenate([np.eye(k), -np.eye(k), random])


def _tilt(
    candidates: Candidates, steering: Steering, direction: Array, size: dict[str, float | None]
) -> Tilt:
    return tilted(candidates, steering, direction, **size)  # type: ignore[arg-type]


def _gain(inverse: Array, mean: Array) -> float:
    x = np.append(1.0, mean)
    return float(x @ inverse @ x)


def _best_tilt(
    candidates: Candidates,
    steering: Steering,
    known: list[Tilt],
    inverse: Array,
    size: dict[str, float | None],
) -> Tilt:
    starts = sorted(known, key=lambda tilt: -_gain(inverse, tilt.mean))[:_REFINED]
    best = starts[0]
    for tilt in starts:
        for _ in range(_ROUNDS):
            gradient = (inverse @ np.append(1.0, tilt.mean))[1:]
            further = _tilt(candidates, steering, gradient, size)
            if _gain(inverse, further.mean) <= _gain(inverse, tilt.mean) * (1.0 + 1e-6):
                break
            tilt = further
        if _gain(inverse, tilt.mean) > _gain(inverse, best.mean):
            best = tilt
    return best


def _best_draw(
    candidates: Candidates,
    steering: Steering,
    tilt: Tilt,
    inverse: Array,
    size: dict[str, float | None],
    seed: int,
    run: int,
) -> Rows:
    rng = generator(seed, run, "optimal")
    draws = [_draw(candidates, tilt.shares, size, rng) for _ in range(_DRAWS)]
    gains = [_gain(inverse, steering.means(rows)) for rows in draws]
    return draws[int(np.argmax(gains))]


def _draw(
    candidates: Candidates, shares: Array, size: dict[str, float | None], rng: np.random.Generator
) -> Rows:
    # The smallest of exponential times with these rates come in the order of weighted draws without replacement.
    times = rng.standard_exponential(len(shares)) / np.maximum(shares, np.finfo(float).tiny)
    line = np.argsort(times, kind="stable")
    if size["examples"] is not None:
        return line[: int(size["examples"])]
    assert candidates.lengths is not None
    return take_tokens(line, candidates.lengths, int(size["response_tokens"] or 0))
