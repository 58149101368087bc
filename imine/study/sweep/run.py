"""A sweep: the jobs that a ledger lacks, done in worker processes or in this one."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imine.errors import RepeatedFailureError, StudyError
from imine.progress import Progress, SilentProgress, format_seconds
from imine.study.base_model import NamedModel
from imine.study.design import rows_sha256
from imine.study.ledger import Ledger
from imine.study.sweep.jobs import Job, Task
from imine.study.sweep.limits import RunTimes
from imine.study.sweep.pool import Done, Event, Failed, Loaded, Pool
from imine.study.sweep.running import running_file, write_running
from imine.study.sweep.slots import find_slots
from imine.study.trial import Trainer

# So many runs in a row that fail are no accident of one of them.
_MOST_FAILURES_IN_A_ROW = 5


def run_jobs(
    jobs: Sequence[Job],
    trainer: Trainer,
    ledger: Ledger,
    *,
    progress: Progress | None = None,
    after_job: Callable[[dict[str, Any]], None] | None = None,
    workers: int | None = None,
    time_limit: float | None = None,
    attempts: int = 2,
) -> None:
    """Do the jobs that the ledger does not have yet; the base model is evaluated first.

    In a worker process a run that crashes, is killed, runs out of memory, raises or hangs is tried again in a fresh
    process. One that has failed so often as ``attempts`` allows, or with an error that a second attempt would meet
    again, gets a ``failed`` record with the reason, and the sweep goes on; the next call tries it again. In this
    process an error ends the sweep and leaves the ledger as it was.

    Args:
        jobs: all jobs of the sweep, the finished ones included.
        trainer: base model, recipe and data.
        ledger: grows by a record a job.
        progress: told of every run.
        after_job: called with a run's record once it is in the ledger.
        workers: processes, a run at a time each; 0 for none but this one. By default that of the recipe, else one,
            or one a GPU; where the trainer holds a model in memory, none.
        time_limit: seconds after which a run hangs; by default that of the recipe, else made of the finished runs.
        attempts: at each run, in one call.

    Raises:
        RepeatedFailureError: run after run fails; a StudyError.
        StudyError: the base model cannot be evaluated, or worker processes cannot be started; without workers, a
            finetune fails.
        ValueError: ``workers`` is negative, or ``attempts`` or ``time_limit`` is not positive.
    """
    _check_arguments(workers, time_limit, attempts)
    finished = ledger.runs
    left = [job for job in jobs if job.run not in finished]
    record = _Recorder(
        ledger, progress or SilentProgress(), after_job, len(left), {job.run: job for job in left}
    )
    record.say.start("finetunes", len(jobs), "runs", done=len(jobs) - len(left))
    if left or ledger.baseline is None:
        settings = trainer.settings
        if workers is None:
            workers = _default_workers(trainer)
        if workers == 0:
            _work_here(left, trainer, record)
        else:
            limits = RunTimes(time_limit or settings.time_limit, settings.epochs, list(finished.values()))
            _work_in_processes(left, trainer, record, workers, limits, attempts)
    record.say.finish()


def _default_workers(trainer: Trainer) -> int | None:
    # What a launcher started are ranks of one run already.
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return trainer.settings.workers if isinstance(trainer.lm, NamedModel) and not launched else 0


def _check_arguments(workers: int | None, time_limit: float | None, attempts: int) -> None:
    if workers is not None and workers < 0:
        raise ValueError(f"workers must be 0 or more, not {workers}")
    if attempts < 1:
        raise ValueError(f"attempts must be 1 or more, not {attempts}")
    if time_limit is not None and time_limit <= 0:
        raise ValueError(f"time_limit must be positive, not {time_limit}")


@dataclass(slots=True)
class _Recorder:
    """Writes the ledger: nothing else does."""

    ledger: Ledger
    say: Progress
    after_job: Callable[[dict[str, Any]], None] | None
    left: int
    jobs: Mapping[int | str, Job]
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    failures_in_a_row: int = 0

    def run(self, run: int | str, record: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> None:
        record = dict(record) | dict(self.jobs[run].about) | dict(more or {})
        self.ledger.append(record)
        self.done += 1
        self.failures_in_a_row = 0
        seconds = (time.monotonic() - self.began) / self.done * (self.left - self.done)
        self.say.note(f"{_line(record, self.ledger)}; {format_seconds(seconds)} left")
        self.say.advance(1)
        if self.after_job:
            self.after_job(record)

    def event(self, event: Event) -> None:
        """Record what happened in a worker."""
        if isinstance(event, Loaded):
            stage = {"kind": "stage", "stage": "load", "seconds": event.seconds, "device": event.device}
            self.ledger.append(stage)
        elif isinstance(event, Failed):
            self._failed(event)
        else:
            more: dict[str, Any] = {"attempts": event.attempts}
            if event.lost:
                more["seconds_lost"] = event.lost
            if event.task.run is None:
                self.ledger.append(event.record | more)
            else:
                self.run(event.task.run, event.record, more)

    def _failed(self, event: Failed) -> None:
        task = event.task
        if task.run is None:
            raise StudyError(f"the base model cannot be evaluated: {event.reason}")
        self.ledger.append(
            {
                "kind": "failed",
                "run": task.run,
                "reason": event.reason,
                "attempts": event.attempts,
                "seconds_lost": event.lost,
                "seed": task.seed,
                "n_examples": len(task.ids),
                "rows_sha256": rows_sha256(task.ids),
            }
        )
        self.left -= 1
        self.failures_in_a_row += 1
        self.say.note(
            f"{task.name} FAILED ({event.attempts} attempts): {event.reason}; the next call tries it again"
        )
        if self.failures_in_a_row >= _MOST_FAILURES_IN_A_ROW and self.left > self.done:
            raise RepeatedFailureError(
                f"{self.failures_in_a_row} runs in a row failed, the last one, {task.name}, with: {event.reason}. "
                "What is finished is in the ledger; mend the cause, and run the same again"
            )


def _work_here(left: Sequence[Job], trainer: Trainer, record: _Recorder) -> None:
    if record.ledger.baseline is None:
        record.say.note("evaluating the base model")
        record.ledger.append(trainer.baseline())
    for job in left:
        record.run(job.run, trainer.run(job.run, job.ids, job.seed))


def _work_in_processes(
    left: Sequence[Job],
    trainer: Trainer,
    record: _Recorder,
    workers: int | None,
    limits: RunTimes,
    attempts: int,
) -> None:
    ledger = record.ledger
    _free_accelerator()
    tasks = [Task(job.run, job.ids, job.seed, {id: trainer.train[id] for id in job.ids}) for job in left]
    pool = Pool(
        pickle.dumps(_detached(trainer)),
        find_slots(workers, trainer.settings.threads),
        attempts,
        limits.limit,
        lambda now: write_running(ledger.path, now),
        record.say.note,
    )
    try:
        with pool:
            if ledger.baseline is None:
                record.say.note("evaluating the base model")
                # Its loss stands before all others in the ledger; meanwhile the other workers load.
                for event in pool.work([Task(None)], spare=len(tasks)):
                    record.event(event)
            for event in pool.work(tasks):
                if isinstance(event, Done):
                    limits.add(event.record)
                record.event(event)
    finally:
        running_file(ledger.path).unlink(missing_ok=True)


def _free_accelerator() -> None:
    """Give back the memory of a GPU that this process holds without need: it may have scored the rows there."""
    if "torch" in sys.modules:
        import torch

        gc.collect()
        torch.cuda.empty_cache()


def _detached(trainer: Trainer) -> Trainer:
    """What a worker is sent once: no rows, which come with each run, and the model by its name."""
    lm = trainer.lm
    if lm is not None and not isinstance(lm, NamedModel):
        lm = NamedModel(lm.name, lm.sha256)
    return replace(trainer, lm=lm, train={})


def _line(record: Mapping[str, Any], ledger: Ledger) -> str:
    baseline = ledger.baseline
    assert baseline is not None
    sets = ", ".join(f"{name} {part['loss']:.4f}" for name, part in record["evaluation"].items())
    seconds = record["seconds_train"] + record["seconds_evaluate"]
    return (
        f"run {record['run']}: loss {baseline['loss']:.4f} -> {record['loss']:.4f} ({sets}); "
        f"{record['response_tokens']:,} response tokens, {format_seconds(seconds)}"
    )
