"""What a sweep does: jobs, and the tasks that processes make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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


@dataclass(frozen=True, slots=True)
class Task:
    """What one worker does at a time.

    Attributes:
        run: of the job; ``None`` for the evaluation of the base model.
        ids, seed: of the job.
        rows: the tokenised examples of ``ids``: a worker holds no others.
    """

    run: int | str | None
    ids: tuple[str, ...] = ()
    seed: int = 0
    rows: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For people."""
        return "the base model" if self.run is None else f"run {self.run}"

    def do(self, trainer: Any) -> dict[str, Any]:
        """The ledger's record of the task, made here and now.

        Args:
            trainer: has ``baseline`` and ``run`` like :class:`imine.study.trial.Trainer`.
        """
        record: dict[str, Any] = (
            trainer.baseline() if self.run is None else trainer.run(self.run, self.ids, self.seed)
        )
        return record
