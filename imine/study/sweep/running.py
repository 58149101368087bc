"""Who works on what: a small file beside the ledger, for ``imine study status``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from imine.files import replace_file
from imine.study.sweep.process import WorkerProcess


@dataclass(frozen=True, slots=True)
class Running:
    """What a worker does.

    Attributes:
        worker: its number, from 0.
        device: what it runs on.
        what: ``run 3``, ``the base model``, or ``starting``.
        since: when it began that, UTC, ISO 8601.
    """

    worker: int
    device: str
    what: str
    since: str


def running_file(ledger: Path) -> Path:
    """Where it is, for a ledger."""
    return ledger.with_suffix(".running.json")


def write_running(ledger: Path, workers: Sequence[WorkerProcess]) -> None:
    """Write what the workers do now."""
    now = datetime.now(UTC)
    rows = [
        Running(
            worker.slot.number,
            worker.slot.device,
            worker.task.name if worker.task else "waiting" if worker.ready else "starting",
            (now - timedelta(seconds=worker.seconds())).isoformat(timespec="seconds"),
        )
        for worker in workers
    ]
    text = json.dumps([asdict(row) for row in rows])
    replace_file(running_file(ledger), lambda beside: beside.write_text(text, encoding="utf-8"))


def read_running(ledger: Path) -> tuple[Running, ...]:
    """What the workers did when the file was written last; nothing where there is no file."""
    with suppress(FileNotFoundError):
        return tuple(Running(**row) for row in json.loads(running_file(ledger).read_text(encoding="utf-8")))
    return ()
