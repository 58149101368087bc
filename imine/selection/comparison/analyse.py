"""From the records of finished runs to the result of a comparison."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from imine.regression.choosing.univariate import holm
from imine.selection.comparison.budget import Budget
from imine.selection.comparison.config import ComparisonConfig
from imine.selection.comparison.contrast import Array, contrast
from imine.selection.comparison.draws import Choice
from imine.selection.comparison.report import verdict_text
from imine.selection.comparison.result import Arm, ComparisonResult, Difference, Verdict

Records = Mapping[Any, Mapping[str, Any]]
_BASE = "random"
# Shares by which training may differ from that on random rows without a note.
_UNLIKE = 0.1


def analyse(
    config: ComparisonConfig,
    choices: Sequence[Choice],
    budgets: Sequence[Budget],
    runs: Records,
    baseline: Mapping[str, Any],
    examples: Mapping[str, Sequence[str]],
    about: dict[str, Any],
    notes: Sequence[str],
) -> ComparisonResult:
    """Compare every selector with random choice.

    Args:
        config: selectors, sets and statistics.
        choices: the rows of every run.
        budgets: of every pool.
        runs: records of the ledger by name of the run.
        baseline: record of the base model's evaluation.
        examples: ids of every evaluation set's examples.
        about, notes: as in :class:`ComparisonResult`.
    """
    groups: dict[tuple[str, int, str], list[Choice]] = {}
    for choice in choices:
        groups.setdefault((choice.pool, choice.size, choice.selector), []).append(choice)
    labels = {(budget.pool, budget.size): budget.label for budget in budgets}
    arms = tuple(_arm(key, group, runs, labels[key[:2]]) for key, group in groups.items())
    differences = _corrected(config, [*_differences(config, groups, runs)])
    return ComparisonResult(
        name=config.name,
        arms=arms,
        differences=tuple(differences),
        verdicts=tuple(_verdicts(differences, labels)),
        baseline={name: part["loss"] for name, part in baseline["evaluation"].items()},
        level=config.level,
        tie=config.tie,
        repeats=config.repeats,
        about=about,
        notes=(*notes, *_training_notes(arms), *_floor_note(config, differences)),
        table=_table(choices, runs, baseline, examples),
    )


def _arm(key: tuple[str, int, str], group: Sequence[Choice], runs: Records, label: str) -> Arm:
    records = [runs[choice.run] for choice in group]
    pool, size, selector = key
    return Arm(
        pool=pool,
        size=size,
        selector=selector,
        budget=label,
        rows=tuple(len(choice.ids) for choice in group),
        steps=tuple(record["steps"] for record in records),
        tokens=tuple(record["tokens"] for record in records),
        response_tokens=tuple(record["response_tokens"] for record in records),
        losses={
            name: tuple(record["evaluation"][name]["loss"] for record in records)
            for name in records[0]["evaluation"]
        },
        distinct=len({id for choice in group for id in choice.ids}),
    )


def _differences(
    config: ComparisonConfig, groups: Mapping[tuple[str, int, str], Sequence[Choice]], runs: Records
) -> list[Difference]:
    found = []
    for part, (pool, size, selector) in product(config.evaluation, groups):
        if selector == _BASE:
            continue
        sums, tokens = _losses(groups[pool, size, selector], runs, part.name)
        base, _ = _losses(groups[pool, size, _BASE], runs, part.name)
        word = hashlib.sha256(f"{config.seed}\0{part.name}".encode()).digest()[:8]
        found.append(
            Difference(
                pool=pool,
                size=size,
                selector=selector,
                set=part.name,
                contrast=contrast(
                    sums, base, tokens, paired=config.draw_of(pool) != 1.0, level=config.level,
                    repeats=config.repeats, tie=config.tie, seed=int.from_bytes(word, "little"),
                ),
                p_holm=1.0,
                information=part.information,
                outcome="cannot tell",
            )
        )  # fmt: skip
    return found


def _losses(group: Sequence[Choice], runs: Records, name: str) -> tuple[Array, Array]:
    parts = [runs[choice.run]["evaluation"][name] for choice in group]
    return np.array([part["sums"] for part in parts]), np.array(parts[0]["tokens"], dtype=np.float64)


def _corrected(config: ComparisonConfig, differences: list[Difference]) -> list[Difference]:
    """With corrected p-values and outcomes, those on sets to judge by first; each kind is a family of its own."""
    done = []
    for kind in (False, True):
        family = [d for d in differences if d.information is kind]
        for found, p in zip(family, holm([d.contrast.p for d in family]), strict=True):
            told = p < 1.0 - config.level
            outcome = ("better" if found.contrast.value < 0 else "worse") if told else "cannot tell"
            done.append(replace(found, p_holm=p, outcome=outcome))
    return done


def _verdicts(differences: Sequence[Difference], labels: Mapping[tuple[str, int], str]) -> list[Verdict]:
    groups: dict[tuple[bool, str, int, str], list[Difference]] = {}
    for d in differences:
        groups.setdefault((d.information, d.pool, d.size, d.set), []).append(d)
    return [
        Verdict(pool, size, name, information, verdict_text(group, labels[pool, size]))
        for (information, pool, size, name), group in groups.items()
    ]


def _training_notes(arms: Sequence[Arm]) -> list[str]:
    """Where an equal budget is not equal training: long responses come in fewer steps, with fewer prompts."""
    base = {(arm.pool, arm.size): arm for arm in arms if arm.selector == _BASE}
    notes = []
    for arm in arms:
        other = base[arm.pool, arm.size]
        pairs = {
            what: (_mean(getattr(arm, what)), _mean(getattr(other, what)))
            for what in ("rows", "steps", "response_tokens", "tokens")
        }
        unlike = [
            f"{mine:,.0f} {what.replace('_', ' ')} to its {theirs:,.0f}"
            for what, (mine, theirs) in pairs.items()
            if abs(mine / theirs - 1) > _UNLIKE
        ]
        if unlike:
            notes.append(
                f"Pool {arm.pool}, {arm.budget}: {arm.selector} trains otherwise than random beside the equal budget: "
                f"{', '.join(unlike)} (mean of a seed)."
            )
    return notes


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)


def _floor_note(config: ComparisonConfig, differences: Sequence[Difference]) -> list[str]:
    """Whether the resamples are too few for any difference to be told after the correction."""
    family = sum(not d.information for d in differences)
    floor = 2.0 / (config.repeats + 1)
    if floor * family < 1.0 - config.level:
        return []
    return [
        f"{config.repeats:,} resamples give no p-value below {floor:.2g}, which times {family} comparisons is no less "
        f"than {1 - config.level:.2g}: nothing can be told; raise repeats."
    ]


def _table(
    choices: Sequence[Choice],
    runs: Records,
    baseline: Mapping[str, Any],
    examples: Mapping[str, Sequence[str]],
) -> pl.DataFrame:
    frames = []
    for choice, (name, ids) in product(choices, examples.items()):
        part = runs[choice.run]["evaluation"][name]
        losses = pl.DataFrame(
            {
                "example": list(ids),
                "loss_sum": part["sums"],
                "tokens": part["tokens"],
                "baseline_sum": baseline["evaluation"][name]["sums"],
            }
        )
        frames.append(
            losses.select(
                pl.lit(choice.pool).alias("pool"),
                pl.lit(choice.size, dtype=pl.Int64).alias("size"),
                pl.lit(choice.selector).alias("selector"),
                pl.lit(choice.replicate, dtype=pl.Int64).alias("seed"),
                pl.lit(name).alias("set"),
                pl.all(),
            )
        )
    return pl.concat(frames)
