"""Running a study: data, design, scores, baseline, then one finetune after another into the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from imine.errors import StudyError
from imine.files import replace_file
from imine.indicators.devices import find_devices
from imine.progress import Progress, SilentProgress
from imine.study.base_model import NamedModel
from imine.study.config import Study, recipe_sha256
from imine.study.design import Subset, design_frame
from imine.study.designs.rows import StudyRows, encode_rows
from imine.study.designs.settings import REPEAT_STEP
from imine.study.finetune import check_trainable
from imine.study.ledger import Ledger, check_recipe, check_rows, is_locked, locked, read_ledger
from imine.study.machine import all_versions, check_needs, parent_threads, set_threads
from imine.study.pools import StudyData, load_data
from imine.study.scoring import Scorer, ScoresLike, default_scorer
from imine.study.sweep import Job, run_jobs
from imine.study.sweep.running import Running, read_running
from imine.study.table import runs_frame, write_parquet
from imine.study.trial import Trainer


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """How far a study is.

    Attributes:
        out: folder of the results.
        done: finished runs.
        total: runs of the study.
        seconds_a_run: mean wall time of a finished run, training and evaluation; ``None`` before the first.
        torn_bytes: length of a record that was cut off while it was written; that run is done again.
        running: what the workers do now, if a process works in the folder.
        failed: reason of every run that failed and is not finished, by run; the next call tries them again.
        workers: processes that share the remaining runs.
        device_seconds: seconds of devices by stage, so far.
    """

    out: Path
    done: int
    total: int
    seconds_a_run: float | None
    torn_bytes: int = 0
    running: tuple[Running, ...] = ()
    failed: Mapping[int | str, str] = field(default_factory=dict)
    workers: int = 1
    device_seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds_left(self) -> float | None:
        """Time that the remaining runs take at this rate."""
        if self.seconds_a_run is None:
            return None
        return self.seconds_a_run * (self.total - self.done) / self.workers


def study_status(study: Study, out: Path | None = None) -> StudyStatus:
    """How far a study is, from its ledger and the file beside it that says who works on what.

    Args:
        study: the study.
        out: folder of the results; that of the study file by default.
    """
    folder = out or study.out
    ledger = read_ledger(folder / "ledger.jsonl")
    seconds = [r["seconds_train"] + r["seconds_evaluate"] for r in ledger.runs.values()]
    mean = sum(seconds) / len(seconds) if seconds else None
    total = max(study.config.design.total_runs, len(seconds))
    running = read_running(ledger.path) if is_locked(folder) else ()
    failed = {run: record["reason"] for run, record in ledger.failed.items()}
    workers = len(running) or study.config.finetune.workers or 1
    return StudyStatus(
        folder, len(seconds), total, mean, ledger.torn, running, failed, workers, ledger.device_seconds
    )


def run_study(
    study: Study,
    *,
    out: Path | None = None,
    lm: Any = None,
    scorer: Scorer | None = None,
    progress: Progress | None = None,
    after_run: Callable[[int], None] | None = None,
    workers: int | None = None,
) -> StudyStatus:
    """Run what is left of a study.

    Writes into the folder of the results ``design.parquet``, ``scores.parquet``, ``ledger.jsonl`` and, after
    each run, ``runs.parquet``; of a univariate design also ``balance.parquet``. Stopped at any point, the same
    call goes on with the first run that is not in the ledger.

    Args:
        study: the study.
        out: folder of the results; that of the study file by default.
        lm: base model with ``model``, ``tokenizer``, ``name`` and ``sha256``, as ``load_causal_lm`` gives
            it, which this process then finetunes; by default worker processes load the one that the study names.
        scorer: computes the indicators of a records frame; by default imine's own.
        progress: told of every step.
        after_run: called with a run's number once it is in the ledger.
        workers: processes that finetune; by default as the study file says. The results are the same.

    Raises:
        StudyConfigError: a pool is not there, or the pools have too few rows.
        StudyChangedError: the folder holds another study.
        StudyError: another process works in the folder, the ledger is damaged, the base model cannot be evaluated,
            or run after run fails (a single one is recorded as failed); without workers, training fails.
        ModelNotFoundError: the base model or the encoder is not at hand; nothing was read.
        MissingExtraError: DeepSpeed or torch is not installed; nothing was read.
    """
    folder, say = out or study.out, progress or SilentProgress()
    with locked(folder):
        runner = _Runner.prepare(study, folder, lm, scorer, say)
        runner.go(after_run, workers)
    return study_status(study, folder)


@dataclass(slots=True)
class _Runner:
    study: Study
    folder: Path
    say: Progress
    trainer: Trainer
    subsets: tuple[Subset, ...]
    ledger: Ledger
    scores: ScoresLike
    seconds_score: float

    @classmethod
    def prepare(cls, study: Study, folder: Path, lm: Any, scorer: Scorer | None, say: Progress) -> _Runner:
        check_needs(study, load_model=lm is None, score_rows=scorer is None)
        set_threads(parent_threads(study.config.finetune, in_process=lm is not None))
        data = load_data(study, out=folder, progress=say)
        lm = lm or _load(study)
        ledger = read_ledger(folder / "ledger.jsonl")
        recipe = _checked_recipe(study, ledger, data, lm)
        clock = _Clock()
        rows = StudyRows(
            study, data, lm, lambda: clock.of(scorer or default_scorer(study, data.candidates, folder, say))
        )
        stored = _stored_rows(folder / "design.parquet", ledger) if study.config.design.needs_scores else {}
        design = rows.draw(stored)
        for note in design.notes:
            say.note(note)
        _open_ledger(study, ledger, lm, recipe, design.subsets, say)
        table = design_frame(design.subsets)
        _write_design(table, folder / "design.parquet", ledger)
        if design.balance is not None:
            write_parquet(design.balance, folder / "balance.parquet")
        drawn = data.candidates.join(table, on="id", how="semi", maintain_order="left")
        evals = {name: encode_rows(lm, own, study.config.finetune) for name, own in data.evaluation.items()}
        encoded = rows.encoded(drawn)
        check_trainable(encoded)
        trainer = Trainer(lm, study.config.finetune, encoded, evals)
        scores = rows.scores(drawn)
        replace_file(folder / "scores.parquet", scores.write)
        return cls(study, folder, say, trainer, design.subsets, ledger, scores, clock.seconds)

    def go(self, after_run: Callable[[int], None] | None, workers: int | None) -> None:
        def recorded(record: Mapping[str, Any]) -> None:
            self.write_runs()
            if after_run:
                after_run(record["run"])

        jobs = [Job(s.run, s.ids, s.seed, {"weights": s.weights, "counts": s.counts}) for s in self.subsets]
        if not {job.run for job in jobs} <= self.ledger.runs.keys():
            self.record_scoring()
        run_jobs(jobs, self.trainer, self.ledger, progress=self.say, after_job=recorded, workers=workers)
        self.write_runs()

    def record_scoring(self) -> None:
        """Put the time of the scoring into the ledger, if it is worth a line: scores may come out of a cache."""
        if self.seconds_score < 1:
            return
        devices = find_devices()
        record = {"kind": "stage", "stage": "score", "seconds": self.seconds_score * len(devices)}
        self.ledger.append(record | {"device": devices[0]})

    def write_runs(self) -> None:
        """Make ``runs.parquet`` anew from the ledger and the scores."""
        runs, baseline, study = self.ledger.runs, self.ledger.baseline, self.ledger.study
        if not runs or baseline is None or study is None:
            return
        indicators = self.study.config.indicators.names
        labels = {subset.run: subset.labels for subset in self.subsets}
        frame = runs_frame(runs, baseline, design_frame(self.subsets), self.scores.frame, indicators, labels)
        write_parquet(frame, self.folder / "runs.parquet", self._about(runs, study))

    def _about(self, runs: Mapping[int, Mapping[str, Any]], study: Mapping[str, Any]) -> dict[str, Any]:
        names = self.study.config.indicators.names
        fingerprints = {name: self.scores.fingerprints[name] for name in names}
        return {
            "fingerprints": fingerprints,
            "study": {
                "name": self.study.config.name,
                "model": study["model"],
                "recipe": study["recipe"],
                "recipe_sha256": study["recipe_sha256"],
                "subsets": self.study.config.design.subsets,
                "finished": len(runs),
                "evaluation_sets": list(self.trainer.evaluation),
                "pools": [pool.name for pool in self.study.config.pools],
                "devices": sorted({run["device"] for run in runs.values()}),
                "device_seconds": self.ledger.device_seconds,
            },
            "versions": all_versions([runs[run] for run in sorted(runs)]),
            "reference": {
                name: print_["reference"] for name, print_ in fingerprints.items() if "reference" in print_
            },
        }


@dataclass(slots=True)
class _Clock:
    """Seconds that scoring takes, before the draw and after it."""

    seconds: float = 0.0

    def of(self, scorer: Scorer) -> Scorer:
        def timed(rows: pl.DataFrame) -> ScoresLike:
            began = time.monotonic()
            try:
                return scorer(rows)
            finally:
                self.seconds += time.monotonic() - began

        return timed


def _load(study: Study) -> NamedModel:
    return NamedModel.find(study.resolve_model(study.config.finetune.model))


def _checked_recipe(study: Study, ledger: Ledger, data: StudyData, lm: Any) -> dict[str, Any]:
    """What the runs depend on; refused where the ledger was started with something else."""
    recipe = study.config.recipe() | {f"{key} (content)": value for key, value in data.content.items()}
    recipe["finetune.model (content)"] = lm.sha256
    design = study.config.design
    check_recipe(ledger, recipe, design.subsets, str(study.path), repeats=_repeats(study))
    return recipe


def _repeats(study: Study) -> dict[str, int]:
    repeats = study.config.design.repeats
    return repeats.model_dump() if repeats else {}


def _open_ledger(
    study: Study, ledger: Ledger, lm: Any, recipe: dict[str, Any], subsets: Sequence[Subset], say: Progress
) -> None:
    check_rows(ledger, {subset.run: subset.sha256 for subset in subsets})
    if ledger.torn:
        say.note(f"{ledger.path}: a last line of {ledger.torn} bytes was cut off; that record is made again")
    now = {
        "kind": "study",
        "name": study.config.name,
        # Its content is compared; the name is for people, and where a folder lies is nobody's business.
        "model": Path(lm.name).name,
        "recipe_sha256": recipe_sha256(recipe),
        "recipe": recipe,
        "subsets": study.config.design.subsets,
        "indicators": list(study.config.indicators.names),
    }
    if repeats := _repeats(study):
        now["repeats"] = repeats
    if ledger.study != now:
        ledger.append(now)


def _stored_rows(path: Path, ledger: Ledger) -> dict[int, list[str]]:
    """Rows of a started study's design, without its repeats: those that depend on scores are drawn once.

    The recipe is the one that the ledger was started with, so the file is of this design.
    """
    if not ledger.started or not path.exists():
        return {}
    table = pl.read_parquet(path).filter(pl.col("run") < REPEAT_STEP).sort("run", "order")
    return {run: part["id"].to_list() for (run,), part in table.group_by("run", maintain_order=True)}


def _write_design(design: pl.DataFrame, path: Path, ledger: Ledger) -> None:
    """Write the design; once a run is finished, the rows that were drawn before must come out the same."""
    if path.exists() and ledger.runs:
        before = pl.read_parquet(path)
        common = design.filter(pl.col("run").is_in(before["run"].unique().to_list()))
        if not common.equals(before.filter(pl.col("run").is_in(common["run"].unique().to_list()))):
            raise StudyError(
                f"{path}: the rows that are drawn now are not those in it. The finished runs agree, so either "
                "this file was changed (then remove it, and it is made again), or numpy draws other rows for "
                "later runs (then go on with the numpy that the study was started with, or name another "
                "folder with out or --out)"
            )
    write_parquet(design, path)
