"""Running a comparison: data, guard, scores, choices, finetunes into a ledger, result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from imine.errors import SelectionError
from imine.files import replace_file
from imine.indicators.templates import TEMPLATES, EncodedExample, encode_examples
from imine.progress import Progress, SilentProgress
from imine.rules import Rule, load_rule
from imine.selection.comparison.analyse import analyse
from imine.selection.comparison.budget import Budget, row_costs
from imine.selection.comparison.config import Comparison, load_comparison
from imine.selection.comparison.draws import Choice, choices_frame, choose, draw_notes, draw_pool
from imine.selection.comparison.foretold import Foretold, foretell
from imine.selection.comparison.guard import Seen, check_unseen
from imine.selection.comparison.result import ComparisonResult
from imine.selection.comparison.scoring import Scorer, check_scoring, score_pool
from imine.selection.comparison.selectors import find_selector
from imine.selection.comparison.started import open_ledger
from imine.study.base_model import NamedModel
from imine.study.ledger import Ledger, locked
from imine.study.machine import all_versions, check_needs, parent_threads, set_threads
from imine.study.pools import StudyData, load_data
from imine.study.recipe import FinetuneConfig
from imine.study.sweep import Job, check_finished, run_jobs
from imine.study.trial import Trainer


def compare(
    comparison: Comparison | str | Path,
    *,
    out: str | Path | None = None,
    lm: Any = None,
    scorer: Scorer | None = None,
    progress: Progress | None = None,
    after_run: Callable[[str], None] | None = None,
) -> ComparisonResult:
    """Let selectors choose the same budget from the same pools, finetune on every choice, compare with random.

    Writes into the folder of the results ``choices.parquet``, ``ledger.jsonl`` and, at the end, ``results.parquet``,
    ``comparison.json`` and ``comparison.md``. Stopped at any point, the same call goes on with the first run that is
    not in the ledger; selectors, budgets and seeds may be added to a finished one.

    Args:
        comparison: a comparison, or its TOML file.
        out: folder of the results; that of the comparison by default.
        lm: base model with ``model``, ``tokenizer``, ``name`` and ``sha256``, as ``load_causal_lm`` gives it; by
            default the one that the recipe names.
        scorer: computes scores from records, names of columns and settings; by default imine's own.
        progress: told of every step.
        after_run: called with a run's name once it is in the ledger.

    Raises:
        SelectionError: the rule was fitted on a pool or on a set to judge by, or a pool does not fill a budget;
            nothing was trained.
        StudyConfigError: the file is wrong, or a pool or a set is not there.
        StudyChangedError: the folder holds a comparison of other data or another recipe.
        StudyError: another process works in the folder, rows are chosen otherwise than when a finished run was
            made, or training fails.
        ModelNotFoundError: a model is not at hand; nothing was read.
        MissingExtraError: DeepSpeed or torch is not installed; nothing was read.
    """
    if not isinstance(comparison, Comparison):
        comparison = load_comparison(comparison)
    folder, say = Path(out) if out else comparison.out, progress or SilentProgress()
    with locked(folder):
        prepared = _prepare(comparison, folder, lm, scorer, say)
        result = prepared.run(comparison, say, after_run)
        result.write(folder)
    return result


@dataclass(frozen=True, slots=True)
class _Prepared:
    trainer: Trainer
    ledger: Ledger
    choices: tuple[Choice, ...]
    budgets: tuple[Budget, ...]
    examples: Mapping[str, Sequence[str]]
    about: dict[str, Any]
    notes: tuple[str, ...]
    foretold: tuple[Foretold, ...]

    def run(
        self, comparison: Comparison, say: Progress, after_run: Callable[[str], None] | None
    ) -> ComparisonResult:
        def recorded(record: Mapping[str, Any]) -> None:
            if after_run:
                after_run(record["run"])

        # Seed by seed, so that what is stopped early has whole seeds of all selectors.
        jobs = [_job(choice) for choice in sorted(self.choices, key=lambda choice: choice.replicate)]
        run_jobs(jobs, self.trainer, self.ledger, progress=say, after_job=recorded)
        check_finished(jobs, self.ledger, "the comparison")
        runs: Mapping[Any, Mapping[str, Any]] = self.ledger.runs
        baseline = self.ledger.baseline
        assert baseline is not None
        about = self.about | {"versions": all_versions([runs[job.run] for job in jobs])}
        found = analyse(
            comparison.config, self.choices, self.budgets, runs, baseline, self.examples, about, self.notes
        )
        return replace(found, foretold=self.foretold)


def _job(choice: Choice) -> Job:
    about = {
        "pool": choice.pool,
        "size": choice.size,
        "selector": choice.selector,
        "replicate": choice.replicate,
    }
    return Job(choice.run, choice.ids, choice.seed, about)


def _prepare(
    comparison: Comparison, folder: Path, lm: Any, scorer: Scorer | None, say: Progress
) -> _Prepared:
    config, study = comparison.config, comparison.as_study()
    rule = load_rule(comparison.rule) if "rule" in config.selectors else None
    check_needs(study, load_model=lm is None, score_rows=False)
    if scorer is None:
        check_scoring(comparison, rule)
    set_threads(parent_threads(config.finetune, in_process=lm is not None))
    data = load_data(study, out=folder, progress=say)
    check_evaluation(data)
    seen = _guarded(comparison, rule, data)
    lm = lm or NamedModel.find(study.resolve_model(config.finetune.model))
    candidates = encode(lm.tokenizer, data.candidates, config.finetune)
    budgets, choices, terms, notes = _choices(comparison, rule, data, candidates, scorer, say)
    ledger = open_ledger(comparison, folder, data, lm, choices, say)
    replace_file(folder / "choices.parquet", choices_frame(choices).write_parquet)
    chosen = {id for choice in choices for id in choice.ids}
    sets = {name: encode(lm.tokenizer, rows, config.finetune) for name, rows in data.evaluation.items()}
    return _Prepared(
        trainer=Trainer(
            lm,
            config.finetune,
            {id: example for id, example in candidates.items() if id in chosen},
            {name: list(rows.values()) for name, rows in sets.items()},
        ),
        ledger=ledger,
        choices=tuple(choices),
        budgets=tuple(budgets),
        examples={name: list(rows["id"]) for name, rows in data.evaluation.items()},
        about=_about(comparison, rule, data, lm),
        notes=(*seen.notes, *draw_notes(config, data.pools), *notes),
        foretold=() if rule is None else foretell(rule, pl.concat(terms), choices, config.level),
    )


def check_evaluation(data: StudyData) -> None:
    """Refuse an evaluation set of a single row: resampled, it is always the same.

    Raises:
        SelectionError: names the set.
    """
    if few := [name for name, rows in data.evaluation.items() if rows.height < 2]:
        raise SelectionError(f"evaluation set {few[0]} has a single row; give two or more, better dozens")


def encode(tokenizer: Any, rows: pl.DataFrame, settings: FinetuneConfig) -> dict[str, EncodedExample]:
    """Examples as they are trained on, by id or, where ids repeat, by place."""
    texts: Sequence[list[str]] = [rows[column].to_list() for column in ("instruction", "input", "output")]
    encoded = encode_examples(
        tokenizer, TEMPLATES[settings.template], *texts, max_tokens=settings.max_tokens, add_eos=True
    )
    ids = rows["id"].to_list()
    keys = ids if len(set(ids)) == len(ids) else [f"{place}" for place in range(len(ids))]
    return dict(zip(keys, encoded, strict=True))


def _guarded(comparison: Comparison, rule: Rule | None, data: StudyData) -> Seen:
    if rule is None:
        return Seen((), (), ())
    config = comparison.config
    information = [part.name for part in config.evaluation if part.information]
    return check_unseen(rule, data.content, information, config.allow_fitted_pool)


def _choices(
    comparison: Comparison,
    rule: Rule | None,
    data: StudyData,
    encoded: Mapping[str, EncodedExample],
    scorer: Scorer | None,
    say: Progress,
) -> tuple[list[Budget], list[Choice], list[pl.DataFrame], list[str]]:
    config = comparison.config
    terms: list[pl.DataFrame] = []
    budgets: list[Budget] = []
    choices: list[Choice] = []
    notes: list[str] = []
    costs = row_costs(encoded, config.budget.unit)
    drawn = {
        pool: draw_pool(config, pool, records["id"].to_list(), costs) for pool, records in data.pools.items()
    }
    for pool, records in data.pools.items():
        parts, own = drawn[pool]
        scores = score_pool(comparison, rule, records, scorer, say)
        for name in config.selectors:
            frame = scores.by_selector.get(name)
            choices += choose(find_selector(name), frame, parts, costs, own, config.seed)
        budgets += own
        notes += scores.notes
        if scores.terms is not None:
            terms.append(
                scores.terms.select(pl.lit(pool).alias("pool"), "id", pl.exclude("id").cast(pl.Float64))
            )
    return budgets, choices, terms, notes


def _about(comparison: Comparison, rule: Rule | None, data: StudyData, lm: Any) -> dict[str, Any]:
    config = comparison.config
    return {
        "model": Path(lm.name).name,
        "model_sha256": lm.sha256,
        "recipe": comparison.recipe(),
        "content": data.content,
        "rule": None if rule is None else {"name": rule.name, "sha256": rule.sha256, "target": rule.target},
        "selectors": {name: find_selector(name).doc for name in config.selectors},
        "seeds": config.seeds,
        "evaluation": {name: rows.height for name, rows in data.evaluation.items()},
        "candidates": {name: rows.height for name, rows in data.pools.items()},
    }
