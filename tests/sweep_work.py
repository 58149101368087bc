"""A trainer without torch that workers can be given, and that fails on demand."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imine.errors import StudyError
from imine.study.design import rows_sha256
from imine.study.recipe import FinetuneConfig
from imine.study.sweep import Job

JOBS = [
    Job(k, (f"a{k}", f"b{k % 3}"), 100 + k, {"weights": {"p": 1.0}, "counts": {"p": 2}}) for k in range(6)
]


@dataclass(frozen=True)
class Row:
    """What a limit needs of a tokenised example."""

    prompt: tuple[int, ...] = (1, 2)
    response: tuple[int, ...] = (3,)


@dataclass(frozen=True)
class FakeTrainer:
    """Losses made of the ids and the seed; ``faults`` says what happens in a run instead, and how often.

    Attributes:
        folder: notes of what was tried, one file a run, a line an attempt.
        faults: by run: what happens, and in how many attempts.
        seconds: that a run takes.
    """

    folder: Path
    faults: Mapping[int | str | None, tuple[str, int]] = field(default_factory=dict)
    seconds: float = 0.0
    start: str = ""
    settings: FinetuneConfig = field(default_factory=FinetuneConfig)
    lm: Any = None
    train: Mapping[str, Any] = field(default_factory=lambda: {id: Row() for job in JOBS for id in job.ids})

    def prepare(self) -> None:
        if self.start:
            misbehave(self.start)

    def baseline(self) -> dict[str, Any]:
        self._attempt(None)
        return {"kind": "baseline", "loss": 3.0, "evaluation": {"e": {"loss": 3.0}}, "seconds_evaluate": 0.5}

    def run(self, run: int | str, ids: Sequence[str], seed: int) -> dict[str, Any]:
        assert sorted(self.train) == sorted(set(ids)), "a worker is sent the rows of its run and no others"
        self._attempt(run)
        time.sleep(self.seconds)
        digest = hashlib.sha256(f"{ids} {seed}".encode()).digest()
        loss = 1 + int.from_bytes(digest[:4], "big") / 2**32
        numbers = {"steps": 1, "tokens": 6, "response_tokens": 2, "padded_tokens": 6, "threads": 1}
        return {
            "kind": "run",
            "run": run,
            "seed": seed,
            "n_examples": len(ids),
            "rows_sha256": rows_sha256(ids),
            "loss": loss,
            "evaluation": {"e": {"loss": loss}},
            "train_losses": [2.0, loss],
            **numbers,
            "seconds_train": 0.25,
            "seconds_evaluate": 0.25,
            "peak_rss_mb": 1,
            "device": "cpu",
            "versions": {},
        }

    def _attempt(self, run: int | str | None) -> None:
        note = self.folder / f"{run}"
        with note.open("a") as file:
            file.write(f"{os.getpid()}\n")
        fault, times = self.faults.get(run, ("", 0))
        if len(note.read_text().splitlines()) <= times:
            misbehave(fault)


def misbehave(fault: str) -> None:
    if fault == "exit":
        os._exit(7)
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "hang":
        time.sleep(600)
    if fault == "memory":
        raise MemoryError
    if fault == "refused":
        raise StudyError("the loss is nan at step 3")
    raise RuntimeError(f"{fault}:\n no such luck")
