"""What the finetunes of a search are made of: the ranked pool, the random orders, the trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imine.errors import SearchError
from imine.progress import Progress
from imine.search.config import SearchPlan
from imine.study.base_model import NamedModel
from imine.study.design import rows_sha256
from imine.study.pools import StudyData, load_data, seeded_order
from imine.study.sweep import Job
from imine.study.trial import Trainer

if TYPE_CHECKING:
    import polars as pl

    from imine.indicators.score import Scores
    from imine.rules import Rule

ARMS = ("mined", "random")


@dataclass(frozen=True, slots=True)
class Candidates:
    """The rows of a search, and what trains on them.

    Attributes:
        trainer: base model, recipe and tokenised data.
        ranked: ids in the rule's order, the best first; rows without a prediction are left out.
        ids: all rows, from which the random subsets are drawn.
        tokens: tokens that a finetune trains on for a row, by id, all epochs together.
        seed: of the training and of the random subsets.
        recipe: flat keys and values that the finetunes depend on.
        about: name of the search and of the rule, for the record.
        notes: what a reader of the outcome should know, such as what the rule was fitted on.
    """

    trainer: Trainer
    ranked: tuple[str, ...]
    ids: tuple[str, ...]
    tokens: Mapping[str, int]
    seed: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def jobs(self, size: int, seeds: int) -> list[Job]:
        """The finetunes of a size: the best rows and as many random ones, each with every seed.

        Every seed draws random rows of its own, of which a smaller size has the first. The mined and the random
        finetune of a seed are trained with the same seed.

        Args:
            size: rows of a subset.
            seeds: finetunes of each arm.
        """
        return [
            Job(
                run_name(arm, size, k), self._rows(arm, size, k), self._training_seed(k), _about(arm, size, k)
            )
            for arm in ARMS
            for k in range(seeds)
        ]

    def cost(self, jobs: Sequence[Job]) -> int:
        """Tokens that these finetunes are trained on."""
        return sum(self.tokens[id] for job in jobs for id in job.ids)

    def _rows(self, arm: str, size: int, k: int) -> tuple[str, ...]:
        if arm == "mined":
            return self.ranked[:size]
        order = seeded_order(len(self.ids), self.seed, "size search", str(k))
        return tuple(self.ids[i] for i in order[:size])

    def _training_seed(self, k: int) -> int:
        return int(np.random.SeedSequence([self.seed, k]).generate_state(1)[0])


def run_name(arm: str, size: int, k: int) -> str:
    """Name of a finetune in the ledger.

    Examples:
        >>> run_name("mined", 512, 0)
        'mined-512-seed0'
    """
    return f"{arm}-{size}-seed{k}"


def _about(arm: str, size: int, k: int) -> dict[str, Any]:
    return {"arm": arm, "size": size, "seed_number": k}


def prepare(
    plan: SearchPlan,
    folder: Path,
    say: Progress,
    *,
    lm: Any = None,
    scores: Scores | pl.DataFrame | None = None,
) -> Candidates:
    """Read, score, rank and tokenise the rows of a search.

    Args:
        plan: the search.
        folder: where the scores are written, and rows that could not be read.
        say: told of every step.
        lm: base model; by default the one that the recipe names.
        scores: of the pools' rows; by default those of the plan, or computed in the rule's way.

    Raises:
        SearchError: no row has a prediction, or an evaluation set is a single row.
        ImineError: what reading, scoring and loading raise; what can be known before any work is told before.
    """
    from imine.rules import load_rule
    from imine.study.machine import check_needs, parent_threads, set_threads

    check_needs(plan.study, load_model=lm is None, score_rows=False)
    rule = load_rule(plan.rule)
    scores = _given_scores(plan, rule) if scores is None else scores
    set_threads(parent_threads(plan.study.config.finetune, in_process=lm is not None))
    data = load_data(plan.study, out=folder, progress=say)
    if few := [name for name, rows in data.evaluation.items() if rows.height < 2]:
        # Resampled, it is always the same: its intervals would be points.
        raise SearchError(f"evaluation set {few[0]} has a single row; give two or more, better dozens")
    ranked, told = _ranked(plan, rule, data, scores, folder, say)
    lm = lm or NamedModel.find(plan.study.resolve_model(plan.study.config.finetune.model))
    trainer = _trainer(plan, lm, data)
    epochs = plan.study.config.finetune.epochs
    return Candidates(
        trainer=trainer,
        ranked=ranked,
        ids=tuple(trainer.train),
        tokens={id: epochs * (len(e.prompt) + len(e.response)) for id, e in trainer.train.items()},
        seed=plan.config.seed,
        recipe=_recipe(plan, data, lm, rule, ranked),
        # A rule may be a file, and where it lies is nobody's business.
        about={"name": plan.config.name, "rule": rule.name, "model": Path(lm.name).name},
        notes=(*told, *_seen(rule, data)),
    )


def _seen(rule: Rule, data: StudyData) -> tuple[str, ...]:
    """What of the data the rule was fitted on: a size may be searched there, and no proof is read from it."""
    from imine.selection.comparison.guard import check_unseen

    return check_unseen(rule, data.content, tuple(data.evaluation), allow_fitted_pool=True).notes


def _given_scores(plan: SearchPlan, rule: Rule) -> Scores | None:
    from imine.indicators.score import Scores, check_models, settings_for_rule
    from imine.selection import check_available

    if plan.config.scores is None:
        check_available(rule)
        check_models(rule.indicators, settings_for_rule(rule))
        return None
    path = plan.study.resolve(plan.config.scores)
    if not path.is_file():
        raise SearchError(f"there is no file of scores {path}; imine score makes one, or leave scores away")
    given = Scores.read(path)
    check_available(rule, given.frame.columns)
    return given


def _ranked(
    plan: SearchPlan, rule: Rule, data: StudyData, scores: Any, folder: Path, say: Progress
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids by predicted loss, and what the selection tells of rule and scores, such as an allowed mismatch."""
    import polars as pl

    from imine.files import replace_file
    from imine.selection import select

    selection = select(
        data.candidates.drop("pool"),
        rule,
        fraction=1.0,
        scores=scores,
        allow_mismatch=plan.config.allow_mismatch,
        progress=say,
    )
    if scores is None and selection.scores is not None:
        replace_file(folder / "scores.parquet", selection.scores.write)
    for note in selection.notes:
        say.note(note)
    ids = selection.table.filter(pl.col("rank").is_not_null()).sort("rank")["id"].to_list()
    if not ids:
        raise SearchError("no row of the pools has a prediction, so there is no best N to finetune on")
    return tuple(ids), selection.notes


def _trainer(plan: SearchPlan, lm: Any, data: StudyData) -> Trainer:
    from imine.indicators.templates import TEMPLATES, EncodedExample, encode_examples

    recipe, rows = plan.study.config.finetune, data.candidates

    def encoded(frame: pl.DataFrame) -> list[EncodedExample]:
        texts = [frame[column].to_list() for column in ("instruction", "input", "output")]
        return encode_examples(
            lm.tokenizer, TEMPLATES[recipe.template], *texts, max_tokens=recipe.max_tokens, add_eos=True
        )

    # All sets, so that another search_on or report_on needs no other finetunes.
    evaluation = {name: encoded(frame) for name, frame in data.evaluation.items()}
    return Trainer(lm, recipe, dict(zip(rows["id"], encoded(rows), strict=True)), evaluation)


def _recipe(
    plan: SearchPlan, data: StudyData, lm: Any, rule: Rule, ranked: tuple[str, ...]
) -> dict[str, Any]:
    whole = plan.study.config.recipe()
    recipe = {key: value for key, value in whole.items() if not key.startswith("design.") and key != "name"}
    recipe |= {f"{key} (content)": value for key, value in data.content.items()}
    recipe["finetune.model (content)"] = lm.sha256
    recipe["rule (content)"] = rule.sha256
    return recipe | {"ranking (content)": rows_sha256(ranked)}
