"""What a pilot says of its recipes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from imine.errors import StudyError
from imine.progress import format_seconds
from imine.rendering import format_p, percent
from imine.rules.text import aligned
from imine.study.ledger import Ledger
from imine.study.pilot.signal import SignalToNoise, signal_to_noise

# Below this p noise counts as unequal; the usual level, and with few draws only large differences pass it.
_UNEQUAL = 0.05
# Fewest runs a pool from which its noise is known well enough to weight by: at five the 95 % interval of a standard
# deviation goes from 0.6 to 2.9 times the estimate, at two from 0.45 to 32 times.
_ENOUGH = 5


class RecipeLike(Protocol):
    """What a report needs of a recipe."""

    @property
    def name(self) -> str:
        """As it stands in the ledger."""


@dataclass(frozen=True, slots=True)
class RecipeResult:
    """One recipe.

    Attributes:
        name: of the recipe.
        runs: finished runs; missing: those that failed.
        change: mean of log loss less that of the base model: below 0 finetuning helps.
        seconds: mean time of a run, training and evaluation.
        found: signal and noise; ``None`` where too few runs are there.
        sets: F on each evaluation set alone.
        why: why nothing was found.
    """

    name: str
    runs: int
    missing: int
    change: float
    seconds: float
    found: SignalToNoise | None
    sets: dict[str, float]
    why: str | None = None


@dataclass(frozen=True, slots=True)
class PilotReport:
    """What a pilot says.

    Attributes:
        recipes: one entry a recipe, in the order of the grid.
        best: name of the recipe with the largest F among those whose pools differ; ``None`` where there is none.
        alike: recipes whose intervals of the ratio hold the estimate of the best: the pilot cannot tell them from it.
        advice: what to do, and what not to read into it.
        level: of the intervals.
    """

    recipes: tuple[RecipeResult, ...]
    best: str | None
    alike: tuple[str, ...]
    advice: tuple[str, ...]
    level: float

    def summary(self) -> str:
        """Plain text."""
        return "\n".join([*_table(self), "", *_noise_table(self), "", *self.advice])


def judge_pilot(
    ledger: Ledger, recipes: Sequence[RecipeLike], pools: Sequence[str], draws: int, *, level: float = 0.95
) -> PilotReport:
    """Judge recipes by the runs in a pilot's ledger.

    A recipe is the better, the larger the variance between pools is against that between runs of one pool. Log
    losses are compared, as the regression does.

    Args:
        ledger: of the pilot.
        recipes: those to judge.
        pools, draws: the runs of each.
        level: confidence level.

    Raises:
        StudyError: the ledger has no baseline.
    """
    if ledger.baseline is None:
        raise StudyError(f"{ledger.path}: the base model was not evaluated; run the pilot first")
    runs: dict[Any, dict[str, Any]] = dict(ledger.runs)
    results = tuple(_judge(r.name, runs, ledger.baseline, pools, draws, level) for r in recipes)
    usable = [r for r in results if r.found is not None and r.found.p < 1 - level]
    best = max(usable, key=lambda r: r.found.f if r.found else 0.0, default=None)
    alike = tuple(
        r.name
        for r in results
        if best is not None
        and best.found is not None
        and r is not best
        and r.found is not None
        and r.found.high >= best.found.ratio
    )
    return PilotReport(
        results, None if best is None else best.name, alike, _advice(best, alike, results, level), level
    )


def _judge(
    name: str,
    runs: dict[Any, dict[str, Any]],
    baseline: dict[str, Any],
    pools: Sequence[str],
    draws: int,
    level: float,
) -> RecipeResult:
    by_pool = {
        pool: [runs[key] for key in (f"{name}, {pool} {draw}" for draw in range(draws)) if key in runs]
        for pool in pools
    }
    there = [record for records in by_pool.values() for record in records]
    logs = {pool: [math.log(r["loss"]) for r in records] for pool, records in by_pool.items()}
    change = [math.log(r["loss"] / baseline["loss"]) for r in there]
    seconds = [r["seconds_train"] + r["seconds_evaluate"] for r in there]
    try:
        found, why = signal_to_noise(logs, level=level), None
        sets = {
            name: signal_to_noise(
                {pool: [math.log(r["evaluation"][name]["loss"]) for r in rs] for pool, rs in by_pool.items()}
            ).f
            for name in baseline["evaluation"]
        }
    except ValueError as error:
        found, sets, why = None, {}, str(error)
    return RecipeResult(
        name=name,
        runs=len(there),
        missing=draws * len(pools) - len(there),
        change=sum(change) / len(change) if change else math.nan,
        seconds=sum(seconds) / len(seconds) if seconds else math.nan,
        found=found,
        sets=sets,
        why=why,
    )


def _advice(
    best: RecipeResult | None, alike: Sequence[str], results: Sequence[RecipeResult], level: float
) -> tuple[str, ...]:
    lines = [f"{r.name}: not judged: {r.why}." for r in results if r.found is None]
    if best is None or best.found is None:
        return (
            *lines,
            f"No recipe tells the pools apart at p below {1 - level:.2g}: take more draws, larger subsets, higher "
            "rates or more epochs.",
        )
    found = best.found
    lines.append(
        f"Take {best.name}: of these recipes its pools lie farthest apart against the noise of a run (F "
        f"{found.f:.1f} on {found.df[0]} and {found.df[1]}, p {format_p(found.p)}; variance ratio {found.ratio:.3g}, "
        f"{percent(level)} interval {found.low:.3g} to {found.high:.3g})."
    )
    if alike:
        lines.append(
            f"Not told from it by this pilot: {'; '.join(alike)}. Among these, take the cheaper one."
        )
    lines.append(
        "It was picked as the largest of several, so its ratio is somewhat too good. The ratio is that between "
        "whole pools: mixtures of them lie closer together."
    )
    lines += _about_noise(found)
    return tuple(lines)


def _about_noise(found: SignalToNoise) -> list[str]:
    least, most = min(found.pools, key=lambda p: p.sd), max(found.pools, key=lambda p: p.sd)
    said = (
        f"Noise is {most.sd:.3g} on {most.pool} and {least.sd:.3g} on {least.pool} (Bartlett's test, simulated: p "
        f"{format_p(found.bartlett_p)})"
    )
    draws = min(pool.runs for pool in found.pools)
    few = f"{draws} runs a pool say little of it, and the test leans on normal noise"
    if found.bartlett_p >= _UNEQUAL:
        return [
            f"{said}: no sign that it differs, but {few}. Intervals by HC3 (imine fit --covariance HC3) cost little."
        ]
    lines = [
        f"{said}: it differs by pool. Ordinary intervals of a rule are then wrong; use robust ones (imine fit "
        "--covariance HC3), or repeat the noisy mixes."
    ]
    if draws >= _ENOUGH:
        lines.append(
            "Or weight each run by one over its variance (imine fit --weights COLUMN), that of a mix being the mean "
            "of the pools' variances by its shares: an assumption, which the residuals can check."
        )
    else:
        lines.append(f"Too few draws to weight runs by it: {few}.")
    return lines


def _table(report: PilotReport) -> list[str]:
    sets = next((list(r.sets) for r in report.recipes if r.sets), [])
    rows = []
    for r in report.recipes:
        cells = [r.name, f"{r.runs}", f"{r.change:+.4f}"]
        if r.found is None:
            cells += ["–"] * (5 + len(sets))
        else:
            f = r.found
            cells += [f"{f.between:.4f}", f"{f.within:.4f}", f"{f.f:.1f}", format_p(f.p)]
            cells += [f"{f.ratio:.3g} [{f.low:.3g}, {f.high:.3g}]", *(f"{r.sets[name]:.1f}" for name in sets)]
        rows.append([*cells, "–" if math.isnan(r.seconds) else format_seconds(r.seconds)])
    heads = ("recipe", "runs", "log loss, less base", "between pools", "within", "F", "p", "variance ratio")
    return aligned((*heads, *(f"F on {name}" for name in sets), "a run"), rows, left=("recipe",))


def _noise_table(report: PilotReport) -> list[str]:
    rows = [
        (
            r.name,
            p.pool,
            f"{p.runs}",
            f"{math.exp(p.mean):.4f}",
            f"{p.sd:.4f}",
            f"[{p.low:.2g}, {p.high:.2g}]",
        )
        for r in report.recipes
        if r.found is not None
        for p in r.found.pools
    ]
    if not rows:
        return []
    interval = f"{percent(report.level)} interval"
    columns = ("recipe", "pool", "runs", "loss", "noise (sd of log loss)", interval)
    return aligned(columns, rows, left=("recipe", "pool"))
