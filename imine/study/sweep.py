"""Many finetunes one after another, each recorded in a ledger as soon as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imine.progress import Progress, SilentProgress, format_seconds
from imine.study.ledger import Ledger
from imine.study.trial import Trainer


@dataclass(frozen=True, slots=True)
class Job:
    """One finetune to do.

    Attributes:
        run: number or name of the run, unique in its ledger.
        ids: rows to train on.
        seed: of the training.
        about: further fields of the run's record.
    """

    run: int | str
    ids: tuple[str, ...]
    seed: int
    about: Mapping[str, Any] = field(default_factory=dict)


def run_jobs(
    jobs: Sequence[Job],
    trainer: Trainer,
    ledger: Ledger,
    *,
    progress: Progress | None = None,
    after_job: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Do the jobs that the ledger does not have yet; the base model is evaluated first.

    Args:
        jobs: all jobs of the sweep, the finished ones included.
        trainer: base model, recipe and data.
        ledger: grows by a record a job.
        progress: told of every run.
        after_job: called with a run's record once it is in the ledger.

    Raises:
        StudyError: a finetune fails.
    """
    say = progress or SilentProgress()
    if ledger.baseline is None:
        say.note("evaluating the base model")
        ledger.append(trainer.baseline())
    left = [job for job in jobs if job.run not in ledger.runs]
    say.start("finetunes", len(jobs), "runs", done=len(jobs) - len(left))
    began = time.monotonic()
    for done, job in enumerate(left, 1):
        record = trainer.run(job.run, job.ids, job.seed) | dict(job.about)
        ledger.append(record)
        seconds = (time.monotonic() - began) / done * (len(left) - done)
        say.note(f"{_line(record, ledger)}; {format_seconds(seconds)} left")
        say.advance(1)
        if after_job:
            after_job(record)
    say.finish()


def _line(record: Mapping[str, Any], ledger: Ledger) -> str:
    baseline = ledger.baseline
    assert baseline is not None
    sets = ", ".join(f"{name} {part['loss']:.4f}" for name, part in record["evaluation"].items())
    seconds = record["seconds_train"] + record["seconds_evaluate"]
    return (
        f"run {record['run']}: loss {baseline['loss']:.4f} -> {record['loss']:.4f} ({sets}); "
        f"{record['response_tokens']:,} response tokens, {format_seconds(seconds)}"
    )
