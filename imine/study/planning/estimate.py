"""The plan of a study: its design is drawn and its rows tokenised, and nothing is trained or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from imine.columns import require_column
from imine.indicators.templates import EncodedExample
from imine.progress import Progress, SilentProgress
from imine.study.config import Study
from imine.study.design import Subset
from imine.study.designs.rows import StudyRows, encode_rows
from imine.study.designs.settings import DesignConfig
from imine.study.ledger import Ledger, read_ledger
from imine.study.planning.counting import count_evaluation, count_pools, count_run, count_tokens
from imine.study.planning.parts import EvaluationPlan, Speed, Stage, StudyPlan, Tokens
from imine.study.planning.sizes import disk_of, free_bytes, memory_of
from imine.study.planning.speed import measure_speed, speed_of_ledger
from imine.study.pools import StudyData, load_data
from imine.study.scoring import Scorer
from imine.study.sweep.slots import find_slots


@dataclass(frozen=True, slots=True)
class _Drawn:
    data: StudyData
    subsets: Sequence[Subset]
    encoded: dict[str, EncodedExample]
    evaluation: dict[str, list[EncodedExample]]
    notes: tuple[str, ...]


def plan_study(
    study: Study,
    *,
    out: Path | None = None,
    lm: Any = None,
    measure: bool = True,
    steps: int = 2,
    progress: Progress | None = None,
) -> StudyPlan:
    """Say what a study takes before it starts.

    Rows, tokens and padding are those of the study itself: the same design, the same tokenizer, the same batches.
    Where the rows depend on scores (univariate and optimal designs), random rows stand for them, and a note says so.
    Time follows from the runs in the ledger, where there are some, else from a short measurement.

    Args:
        study: the study.
        out: folder of the results; that of the study file by default. Nothing is written to it.
        lm: base model, as ``load_causal_lm`` gives it; by default the one that the study names.
        measure: whether to load the base model and time a few steps where the ledger has no runs.
        steps: training steps to time.
        progress: told of what is read.

    Raises:
        StudyConfigError: a pool is not there, or the pools have too few rows.
        StudyError: the ledger is damaged, or the measurement fails.
        ModelNotFoundError: the base model is not at hand.
        MissingExtraError: a package that is needed is not installed.
    """
    say, folder = progress or SilentProgress(), out or study.out
    ledger = read_ledger(folder / "ledger.jsonl")
    measured = measure and not ledger.runs
    if measured and lm is None:
        lm = _load(study)
    tokenizer = lm.tokenizer if lm else _tokenizer(study)
    drawn = _draw(study, tokenizer, say)
    evaluation = tuple(
        EvaluationPlan(name, count_evaluation(rows, study.config.finetune))
        for name, rows in drawn.evaluation.items()
    )
    once = sum(part.once.padded for part in evaluation)
    speed = speed_of_ledger(ledger, once)
    if measured:
        say.note("measuring: a few training steps and evaluations")
        speed = _measure(study, lm, drawn, steps)
    return _assemble(study, folder, ledger, drawn, evaluation, speed, _weights(study, lm))


def _load(study: Study) -> Any:
    from imine.indicators.models import load_causal_lm
    from imine.study.machine import check_needs, set_threads

    check_needs(study, load_model=True, score_rows=False)
    set_threads(study.config.finetune.threads)
    return load_causal_lm(study.resolve_model(study.config.finetune.model))


def _tokenizer(study: Study) -> Any:
    from imine.indicators.models.loading import load_tokenizer

    return load_tokenizer(study.resolve_model(study.config.finetune.model))


@dataclass(frozen=True, slots=True)
class _Reader:
    """What the encoding needs of a model."""

    tokenizer: Any


def _draw(study: Study, tokenizer: Any, say: Progress) -> _Drawn:
    lm, settings = _Reader(tokenizer), study.config.finetune
    data = load_data(study, progress=say)
    rows = StudyRows(_without_scores(study, data), data, lm, _no_scorer)
    design = rows.draw({})
    ids = {id for subset in design.subsets for id in subset.ids}
    if study.config.design.needs_scores:
        ids = set(data.candidates["id"])
    encoded = rows.encoded(data.candidates.filter(pl.col("id").is_in(list(ids))))
    held = {name: encode_rows(lm, part, settings) for name, part in data.evaluation.items()}
    return _Drawn(data, design.subsets, encoded, held, design.notes)


def _without_scores(study: Study, data: StudyData) -> Study:
    """The study, or one with random subsets of all candidates where its rows depend on scores.

    Scoring all candidates can take as long as the finetunes: it is no part of a plan.
    """
    design = study.config.design
    if not design.needs_scores:
        return study
    kept = ("subsets", "examples", "response_tokens", "repeats", "guard", "reference_rows")
    random = DesignConfig(
        weights=({name: float(frame.height) for name, frame in data.pools.items()},),
        **{key: getattr(design, key) for key in kept},
    )
    return replace(study, config=study.config.model_copy(update={"design": random}))


def _no_scorer() -> Scorer:
    raise AssertionError("a plan computes no scores")


def _measure(study: Study, lm: Any, drawn: _Drawn, steps: int) -> Speed:
    rows = list(drawn.encoded.values())
    held = [example for part in drawn.evaluation.values() for example in part]
    return measure_speed(lm, rows, held, study.config.finetune, steps=steps)


def _weights(study: Study, lm: Any) -> tuple[int, int, int]:
    """Number of weights of the base model, entries of its output, and number of weights that are trained."""
    model, vocabulary = (lm.model, len(lm.tokenizer)) if lm is not None else _shapes(study)
    count = sum(p.numel() for p in model.parameters())
    lora = study.config.finetune.lora
    if lora is None:
        return count, vocabulary, count
    from imine.study.finetune.adapters import with_adapters

    tuned = with_adapters(model, lora, share=True)
    return count, vocabulary, sum(p.numel() for p in tuned.parameters() if p.requires_grad)


def _shapes(study: Study) -> tuple[Any, int]:
    """The base model without its numbers, and entries of its output."""
    import torch

    from imine.indicators.models import model_path
    from imine.indicators.models.loading import import_transformers

    transformers = import_transformers()
    folder = model_path(study.resolve_model(study.config.finetune.model))
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    # Shapes without numbers: a model of any size takes no memory so.
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return model, config.get_text_config().vocab_size


def _assemble(
    study: Study,
    folder: Path,
    ledger: Ledger,
    drawn: _Drawn,
    evaluation: tuple[EvaluationPlan, ...],
    speed: Speed | None,
    weights: tuple[int, int, int],
) -> StudyPlan:
    config, subsets = study.config, drawn.subsets
    counted = {s.run: count_run(s, drawn.encoded, config.finetune) for s in subsets}
    trained = sum((tokens for tokens, _ in counted.values()), Tokens())
    steps = sum(n for _, n in counted.values())
    scored = count_tokens(list(drawn.encoded.values()))
    reference = _reference_rows(study, drawn.data)
    left = [run for run in counted if run not in ledger.runs]
    runs, done = len(subsets), len(subsets) - len(left)
    left_tokens = sum((counted[run][0] for run in left), Tokens())
    stages = _stages(study, folder, ledger, len(left), left_tokens, evaluation, scored, reference, speed)
    sizes = {name: frame.height for name, frame in drawn.data.pools.items()}
    return StudyPlan(
        name=config.name,
        runs=runs,
        done=done,
        steps=steps,
        pools=count_pools(subsets, drawn.encoded, sizes, config.finetune.epochs),
        trained=trained,
        evaluation=evaluation,
        scored=scored,
        reference_rows=reference,
        parameters=weights[0],
        stages=stages,
        speed=speed,
        memory=memory_of(*weights[:2], config.finetune, trained=weights[2]),
        disk=disk_of(subsets, steps, evaluation, scored.rows, len(config.indicators.names), reference),
        disk_free=free_bytes(folder),
        notes=_notes(study, drawn, scored, speed),
    )


def _reference_rows(study: Study, data: StudyData) -> int:
    if not any(require_column(name).group == "neighbors" for name in study.config.indicators.names):
        return 0
    return min(study.config.design.reference_rows, data.candidates.height)


def _stages(
    study: Study,
    folder: Path,
    ledger: Ledger,
    runs: int,
    trained: Tokens,
    evaluation: Sequence[EvaluationPlan],
    scored: Tokens,
    reference: int,
    speed: Speed | None,
) -> tuple[Stage, ...]:
    once = sum(part.once.padded for part in evaluation)
    stages = []
    if not (folder / "scores.parquet").exists():
        stages += _scoring(study, scored, reference, speed)
    if ledger.baseline is None:
        seconds = once / speed.evaluate if speed else None
        stages.append(Stage("base model", f"{once:,} padded tokens", seconds))
    # Each worker has the speed of one, as long as there are cores or devices for all.
    workers = min(len(find_slots(study.config.finetune.workers, None)) or 1, max(runs, 1))
    beside = f", {workers} at a time" if workers > 1 else ""
    train = (runs * speed.setup + trained.padded / speed.train) / workers if speed else None
    stages.append(Stage("finetunes", f"{runs:,} runs{beside}, {trained.padded:,} padded tokens", train))
    held = runs * once / speed.evaluate / workers if speed else None
    stages.append(Stage("evaluations", f"{runs:,} times {once:,} padded tokens", held))
    return tuple(stages)


def _scoring(study: Study, scored: Tokens, reference: int, speed: Speed | None) -> list[Stage]:
    groups = {require_column(name).group for name in study.config.indicators.names}
    stages = []
    if "likelihood" in groups:
        seconds = scored.tokens / speed.evaluate if speed else None
        stages.append(Stage("perplexity", f"{scored.tokens:,} tokens of {scored.rows:,} rows", seconds))
    if other := sorted(groups - {"likelihood"}):
        rows = f"{scored.rows:,} rows" + (f" and {reference:,} of reference" if reference else "")
        stages.append(Stage(f"other indicators ({', '.join(other)})", rows, None))
    return stages


def _notes(study: Study, drawn: _Drawn, scored: Tokens, speed: Speed | None) -> tuple[str, ...]:
    notes = list(drawn.notes)
    if study.config.design.needs_scores:
        notes.append(
            f"The rows of this {study.config.design.kind} design depend on the scores of all candidates: what is "
            "trained on is reckoned for random rows of them."
        )
    if scored.cut:
        notes.append(
            f"{scored.cut:,} of {scored.rows:,} rows are longer than max_tokens and lose a part of it."
        )
    if speed is None:
        notes.append("No time: nothing was measured, and the ledger has no runs.")
    return tuple(notes)
