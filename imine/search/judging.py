"""From the finetunes of a search to its outcome: estimates, the chosen size, the shape of the curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from imine.search.candidates import ARMS
from imine.search.driving import Driver, Tried, trial_numbers
from imine.search.losses import Array, Losses, pooled, pooled_baseline, read_losses
from imine.search.noise import Noise, draw_noise, interval, seed_half_width
from imine.search.records import whole_sizes
from imine.search.result import Arms, Estimate, SizePoint, SizeSearch
from imine.search.shape import judge_shape, upper_differences


@dataclass(frozen=True, slots=True)
class _View:
    """Losses on some sets together, with their noise."""

    by_seed: Array
    noise: Noise
    level: float

    @property
    def means(self) -> Array:
        return self.by_seed.mean(axis=2)

    def arms(self, place: int) -> Arms:
        mined, random = (self._estimate(arm, place) for arm in range(len(ARMS)))
        by_seed = self.by_seed[0, place] - self.by_seed[1, place]
        errors = self.noise.difference[:, place]
        halves = [seed_half_width(self.noise, arm, self.level) for arm in range(len(ARMS))]
        half = math.hypot(*(half or 0.0 for half in halves)) if self.noise.seeds_known else None
        return Arms(mined, random, self._make(by_seed, errors, half))

    def _estimate(self, arm: int, place: int) -> Estimate:
        half = seed_half_width(self.noise, arm, self.level)
        return self._make(self.by_seed[arm, place], self.noise.level[:, arm, place], half)

    def _make(self, by_seed: Array, errors: Array, half: float | None) -> Estimate:
        value = float(by_seed.mean())
        low, high = interval(value, errors, self.level)
        seeds_low, seeds_high = (None, None) if half is None else (value - half, value + half)
        return Estimate(value, low, high, seeds_low, seeds_high, tuple(by_seed.tolist()))


def judge(driver: Driver, tried: Tried, lattice: tuple[int, ...], report_on: tuple[str, ...]) -> SizeSearch:
    """The outcome of a search, from its ledger.

    Args:
        driver: of the search, at its end.
        tried: what it did.
        lattice: sizes that could be tried.
        report_on: evaluation sets that were not searched on.
    """
    settings = driver.settings
    sizes = whole_sizes(driver.ledger, settings.seeds)
    losses = read_losses(driver.ledger, sizes, settings.seeds)
    searched = _view(driver, losses, driver.search_on)
    reported = _view(driver, losses, report_on) if report_on else None
    numbers = trial_numbers(tried)
    points = tuple(
        SizePoint(
            size,
            numbers.get(size),
            driver.cost(size),
            searched.arms(k),
            reported.arms(k) if reported else None,
        )
        for k, size in enumerate(sizes)
    )
    best = int(searched.means[0].argmin())
    shapes = {
        arm: judge_shape(
            searched.means[k],
            searched.noise.curve[:, k],
            level=settings.level,
            margin=settings.margin,
            seeds_known=searched.noise.seeds_known,
        )
        for k, arm in enumerate(ARMS)
    }
    return SizeSearch(
        name=str(driver.candidates.about.get("name", "search")),
        rule=str(driver.candidates.about.get("rule", "")),
        strategy=settings.strategy,
        stopped=tried.stopped,
        seeds=settings.seeds,
        level=settings.level,
        search_on=driver.search_on,
        report_on=report_on,
        lattice=lattice,
        points=points,
        chosen=sizes[best],
        alike=_alike(searched, sizes, best),
        shapes=shapes,
        baseline_searched=pooled_baseline(losses, driver.search_on),
        baseline_reported=pooled_baseline(losses, report_on) if report_on else None,
        versions=_versions(settings.strategy),
        notes=tuple(_notes(driver, tried, sizes, lattice, report_on)),
    )


def _view(driver: Driver, losses: Losses, sets: tuple[str, ...]) -> _View:
    settings = driver.settings
    noise = draw_noise(losses, sets, repeats=settings.repeats, seed=driver.candidates.seed)
    return _View(pooled(losses, sets), noise, settings.level)


def _alike(view: _View, sizes: Sequence[int], best: int) -> tuple[int, ...]:
    if not view.noise.seeds_known:
        return ()
    upper = upper_differences(view.means[0], view.noise.curve[:, 0], view.level)
    # A size is worse where even the upper bound of the best one's loss less its own lies below 0.
    return tuple(size for k, size in enumerate(sizes) if k == best or upper[k, best] >= 0)


def _versions(strategy: str) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    # FLAML takes its sampling from ray where that is installed.
    wanted = {"blendsearch": ("FLAML", "optuna", "ray"), "optuna": ("optuna",)}.get(strategy, ())
    found = {}
    for package in wanted:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _notes(
    driver: Driver, tried: Tried, sizes: Sequence[int], lattice: Sequence[int], report_on: Sequence[str]
) -> list[str]:
    settings, notes = driver.settings, []
    best_of = f"The chosen size is the best of {len(sizes)}: its loss on the sets that were searched on is optimistic"
    told = ", so read that on the others." if report_on else ", and no other set was named to report on."
    notes.append(best_of + told)
    notes += driver.candidates.notes
    if settings.seeds == 1:
        notes.append(
            "One seed: the intervals are of the evaluation examples alone, that of training is not known."
        )
    if settings.strategy != "grid" and len(sizes) > 2:
        notes.append(
            "The sizes were chosen by the losses that had been seen, close to low ones: a lucky low loss has unlucky "
            "neighbours, which looks like a valley. A curve is judged best on a grid."
        )
    if tried.stopped == "token budget":
        notes.append(f"The next size would have gone over the {settings.token_budget:,} tokens allowed.")
    if tried.stopped == "nothing new" and len(sizes) < len(lattice) and settings.strategy != "grid":
        notes.append(
            f"The strategy proposed nothing new after {len(tried.sizes)} of {settings.trials} trials."
        )
    if len(driver.candidates.ids) < 2 * max(sizes):
        notes.append(
            "The largest subsets are more than half of the pool: mined and random ones have rows in common."
        )
    return notes


def finetunes_frame(driver: Driver, tried: Tried) -> pl.DataFrame:
    """One row a finetune of the sizes that are done, by size, arm and seed."""
    runs: dict[Any, dict[str, Any]] = dict(driver.ledger.runs)
    numbers, rows = trial_numbers(tried), []
    for size in whole_sizes(driver.ledger, driver.settings.seeds):
        for job in driver.candidates.jobs(size, driver.settings.seeds):
            record = runs[job.run]
            rows.append(
                {
                    "trial": numbers.get(size),
                    "size": size,
                    "arm": record["arm"],
                    "seed_number": record["seed_number"],
                    "seed": record["seed"],
                    "rows_sha256": record["rows_sha256"],
                    "tokens": record["tokens"],
                    "response_tokens": record["response_tokens"],
                    "loss": record["loss"],
                    **{f"loss_{name}": part["loss"] for name, part in record["evaluation"].items()},
                }
            )
    return pl.DataFrame(rows, schema_overrides={"trial": pl.Int64})
