"""Running a pilot: finetunes on subsets of one pool each, for every recipe of a grid."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from imine.errors import RepeatedFailureError, StudyConfigError
from imine.progress import Progress, SilentProgress
from imine.study.config import PilotConfig, Study, recipe_sha256
from imine.study.designs.rows import encode_rows
from imine.study.ledger import Ledger, check_recipe, locked, read_ledger
from imine.study.machine import check_needs, set_threads
from imine.study.pilot.report import PilotReport, judge_pilot
from imine.study.pools import StudyData, load_data, seeded_order
from imine.study.recipe import FinetuneConfig
from imine.study.run import _load as load_base
from imine.study.sweep import Job, run_jobs
from imine.study.trial import Trainer

_GRID = ("learning_rate", "epochs", "batch_size")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One point of the grid; all else is the study's.

    Attributes:
        learning_rate, epochs, batch_size: as in the study file.
    """

    learning_rate: float
    epochs: int
    batch_size: int

    @property
    def name(self) -> str:
        """For people, and for the ledger.

        Examples:
            >>> Recipe(2e-4, 3, 8).name
            'rate 0.0002, epochs 3, batch 8'
        """
        return f"rate {self.learning_rate!r}, epochs {self.epochs}, batch {self.batch_size}"

    def settings(self, base: FinetuneConfig) -> FinetuneConfig:
        """The study's training recipe with these values."""
        return base.model_copy(update={key: getattr(self, key) for key in _GRID})


def grid(pilot: PilotConfig, base: FinetuneConfig) -> tuple[Recipe, ...]:
    """Every combination of a pilot's values.

    Examples:
        >>> pilot = PilotConfig(learning_rates=(1e-4, 2e-4), epochs=(1, 3))
        >>> [(r.learning_rate, r.epochs, r.batch_size) for r in grid(pilot, FinetuneConfig())]
        [(0.0001, 1, 8), (0.0001, 3, 8), (0.0002, 1, 8), (0.0002, 3, 8)]
    """
    return tuple(
        Recipe(*values)
        for values in product(
            dict.fromkeys(pilot.learning_rates or (base.learning_rate,)),
            dict.fromkeys(pilot.epochs or (base.epochs,)),
            dict.fromkeys(pilot.batch_sizes or (base.batch_size,)),
        )
    )


def run_pilot(
    study: Study,
    pilot: PilotConfig | None = None,
    *,
    out: Path | None = None,
    lm: Any = None,
    level: float = 0.95,
    progress: Progress | None = None,
) -> PilotReport:
    """Finetune on subsets of one pool each with every recipe, and judge the recipes by signal and noise.

    All recipes see the same rows and seeds. The finetunes go into ``pilot/ledger.jsonl`` in the folder of the
    results: stopped at any point, the same call goes on, and a larger grid, further pools or more draws add to
    what is there. A recipe whose runs fail one after another is given up, and the others are judged. The study file
    and the study's own ledger are left alone.

    Args:
        study: the study.
        pilot: what to compare; that of the study file by default.
        out: folder of the study's results; that of the study file by default.
        lm: base model, as ``load_causal_lm`` gives it; by default the one that the study names.
        level: confidence level.
        progress: told of every run.

    Raises:
        StudyConfigError: a pool is not there, fewer than two are named, one has too few rows, or no number of
            examples is named.
        StudyChangedError: the folder holds a pilot of another study, or with other numbers of examples.
        StudyError: another process works in the folder, or training fails.
        ModelNotFoundError: the base model is not at hand.
        MissingExtraError: a package that is needed is not installed.
    """
    say, wanted = progress or SilentProgress(), pilot or study.config.pilot
    names, examples = _pools(study, wanted), wanted.examples or study.config.design.examples
    if examples is None:
        raise StudyConfigError(
            f"{study.path}: pilot.examples: missing, and the design has no examples either"
        )
    folder = (out or study.out) / "pilot"
    check_needs(study, load_model=lm is None, score_rows=False)
    set_threads(study.config.finetune.threads)
    with locked(folder):
        data = load_data(study, progress=say)
        subsets = _draw(data, names, wanted.draws, examples, study.config.seed, say)
        lm = lm or load_base(study)
        ledger = _open(study, folder, data, lm, examples)
        recipes = grid(wanted, study.config.finetune)
        trainer = _trainer(study, data, lm, subsets)
        for recipe in recipes:
            say.note(f"pilot: {recipe.name}")
            tuned = Trainer(lm, recipe.settings(trainer.settings), trainer.train, trainer.evaluation)
            try:
                run_jobs(_jobs(recipe, subsets), tuned, ledger, progress=say)
            except RepeatedFailureError as error:
                # A rate at which nothing can be trained is a finding, and no reason to leave out the other recipes.
                say.note(f"pilot: {recipe.name} is given up: {error}")
    return judge_pilot(ledger, recipes, names, wanted.draws, level=level)


@dataclass(frozen=True, slots=True)
class _Drawn:
    pool: str
    draw: int
    ids: tuple[str, ...]
    seed: int


def _pools(study: Study, pilot: PilotConfig) -> tuple[str, ...]:
    known = [pool.name for pool in study.config.pools]
    names = tuple(dict.fromkeys(pilot.pools or known))
    if unknown := [name for name in names if name not in known]:
        raise StudyConfigError(
            f"{study.path}: pilot.pools: no pool {unknown[0]}; allowed: {', '.join(known)}"
        )
    if len(names) < 2:
        raise StudyConfigError(f"{study.path}: pilot.pools: at least two pools are needed to tell them apart")
    return names


def _draw(
    data: StudyData, names: Sequence[str], draws: int, examples: int, seed: int, say: Progress
) -> list[_Drawn]:
    """Subsets of every pool: without a row in common as long as the pool lasts."""
    found = []
    for name in names:
        ids = data.pools[name]["id"].to_list()
        apart = len(ids) // examples
        if not apart:
            raise StudyConfigError(
                f"pilot.examples: {examples} examples a subset, and pool {name} has {len(ids)} candidates"
            )
        if draws > apart:
            say.note(
                f"pool {name}: {len(ids):,} candidates give {apart} subsets of {examples} without a row in common; "
                "the further ones share rows with them, so the noise of this pool comes out too small"
            )
        for draw in range(draws):
            order = seeded_order(len(ids), seed, "pilot", name, str(draw // apart))
            rows = order[draw % apart * examples :][:examples]
            found.append(_Drawn(name, draw, tuple(ids[i] for i in rows), _seed(seed, name, draw)))
    return found


def _seed(seed: int, pool: str, draw: int) -> int:
    word = int.from_bytes(hashlib.sha256(f"pilot\0{pool}\0{draw}".encode()).digest()[:8], "little")
    return int(np.random.SeedSequence([seed, word]).generate_state(1)[0])


def _jobs(recipe: Recipe, subsets: Sequence[_Drawn]) -> list[Job]:
    return [
        Job(f"{recipe.name}, {s.pool} {s.draw}", s.ids, s.seed, {"pool": s.pool, "draw": s.draw})
        for s in subsets
    ]


def _trainer(study: Study, data: StudyData, lm: Any, subsets: Sequence[_Drawn]) -> Trainer:
    settings = study.config.finetune
    ids = list({id for subset in subsets for id in subset.ids})
    rows = data.candidates.filter(pl.col("id").is_in(ids))
    encoded = dict(zip(rows["id"], encode_rows(lm, rows, settings), strict=True))
    held = {name: encode_rows(lm, part, settings) for name, part in data.evaluation.items()}
    return Trainer(lm, settings, encoded, held)


def _open(study: Study, folder: Path, data: StudyData, lm: Any, examples: int) -> Ledger:
    ledger = read_ledger(folder / "ledger.jsonl")
    free = {f"finetune.{key}" for key in _GRID}
    recipe = {
        key: value
        for key, value in study.config.recipe().items()
        if key not in free
        and not (key.startswith("pools.") and key.endswith(".alpha"))
        and (not key.startswith("design.") or key == "design.guard")
    }
    recipe |= {f"{key} (content)": value for key, value in data.content.items()}
    recipe |= {"finetune.model (content)": lm.sha256, "pilot.examples": examples}
    check_recipe(ledger, recipe, 0, f"The pilot of {study.path}")
    now = {
        "kind": "study",
        "name": f"{study.config.name}, pilot",
        "model": Path(lm.name).name,
        "recipe_sha256": recipe_sha256(recipe),
        "recipe": recipe,
        "subsets": 0,
        "indicators": [],
    }
    if ledger.study != now:
        ledger.append(now)
    return ledger
