"""The ledger: one JSON line a finished run, appended and synced; all else is made from it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imine.errors import StudyChangedError, StudyError

_START_ANEW = "put the file back from a copy, or start anew in another folder with out or --out"


@dataclass(slots=True)
class Ledger:
    """What a ledger file holds.

    Attributes:
        path: the file.
        records: its records in order; each has a ``kind``: ``study``, ``baseline``, ``run``, ``failed`` (a run that
            gave no result) or ``stage`` (seconds that belong to no run).
        torn: bytes of a last line that was cut off while it was written; not among the records.
    """

    path: Path
    records: list[dict[str, Any]] = field(default_factory=list)
    torn: int = 0

    @property
    def study(self) -> dict[str, Any] | None:
        """The newest ``study`` record."""
        return next((r for r in reversed(self.records) if r["kind"] == "study"), None)

    @property
    def baseline(self) -> dict[str, Any] | None:
        """The evaluation of the base model."""
        return next((r for r in self.records if r["kind"] == "baseline"), None)

    @property
    def started(self) -> bool:
        """Whether a model was evaluated: from then on the recipe is fixed."""
        return self.baseline is not None or bool(self.runs)

    @property
    def runs(self) -> dict[int, dict[str, Any]]:
        """The finished runs by their number."""
        return {r["run"]: r for r in self.records if r["kind"] == "run"}

    @property
    def failed(self) -> dict[int | str, dict[str, Any]]:
        """The newest failure of every run that failed and is not finished."""
        finished = self.runs
        return {r["run"]: r for r in self.records if r["kind"] == "failed" and r["run"] not in finished}

    @property
    def device_seconds(self) -> dict[str, float]:
        """Seconds of devices by stage, over everything that this ledger records.

        ``load``: starting processes with the base model; ``train``; ``evaluate``, the base model's included;
        ``score``: the indicators; ``lost``: attempts at runs that gave no result.

        Examples:
            >>> records = [
            ...     {"kind": "stage", "stage": "load", "seconds": 4.0},
            ...     {"kind": "baseline", "seconds_evaluate": 2.0},
            ...     {"kind": "run", "run": 0, "seconds_train": 9.0, "seconds_evaluate": 2.5},
            ...     {"kind": "failed", "run": 1, "seconds_lost": 7.0},
            ... ]
            >>> Ledger(Path("ledger.jsonl"), records).device_seconds
            {'load': 4.0, 'train': 9.0, 'evaluate': 4.5, 'score': 0.0, 'lost': 7.0}
        """
        total = dict.fromkeys(("load", "train", "evaluate", "score", "lost"), 0.0)
        for record in self.records:
            if record["kind"] == "stage":
                total[record["stage"]] = total.get(record["stage"], 0.0) + record["seconds"]
            for stage in ("train", "evaluate", "lost"):
                total[stage] += record.get(f"seconds_{stage}", 0.0)
        return total

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; when this returns it is on the disk.

        A torn last line is cut off first; what cannot be written whole is not written.

        Raises:
            ValueError: a number of the record is not finite.
            StudyError: the disk is full or fails.
        """
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        fresh = not self.path.exists()
        with self.path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END) - self.torn
            file.truncate(end)
            self.torn = 0
            try:
                _write_all(file.fileno(), line.encode())
                os.fsync(file.fileno())
            except OSError as error:
                file.truncate(end)
                raise StudyError(
                    f"{self.path} cannot be written: {error}; what was finished before is kept: make room, and run "
                    "the same again"
                ) from error
        if fresh:
            _sync_folder(self.path.parent)
        self.records.append(record)


def _write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]


def _sync_folder(folder: Path) -> None:
    # A new file survives a loss of power only once its name is on the disk as well.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_ledger(path: Path) -> Ledger:
    """Read a ledger; one that is not there is empty.

    Args:
        path: ``ledger.jsonl``.

    Raises:
        StudyError: a line before the last cannot be read.
    """
    ledger = Ledger(path)
    if not path.exists():
        return ledger
    *lines, rest = path.read_bytes().split(b"\n")
    # Records end in a line break, so what follows the last one was being written when the process died.
    ledger.torn = len(rest)
    for number, line in enumerate(lines, 1):
        ledger.records.append(_record(line, f"{path}, line {number}"))
    return ledger


def _record(line: bytes, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        reason = "no object with a kind"
    except ValueError as error:
        record, reason = None, str(error)
    if isinstance(record, dict) and "kind" in record:
        return record
    # Without the recipe nobody knows how the runs were made; a run or the baseline can be made again.
    redone = line.startswith(
        tuple(b'{"kind": "%b"' % kind for kind in (b"run", b"baseline", b"failed", b"stage"))
    )
    advice = (
        "put the file back from a copy, or remove this line and it is made again" if redone else _START_ANEW
    )
    raise StudyError(f"{place}: not a record ({reason}); {advice}")


def check_recipe(
    ledger: Ledger,
    recipe: dict[str, Any],
    subsets: int,
    where: str,
    *,
    repeats: Mapping[str, int] | None = None,
) -> None:
    """Refuse to go on where the study is not the one that the ledger was started with.

    Before the baseline there is nothing that another recipe could spoil.

    Args:
        ledger: the ledger.
        recipe: flat keys and values that the finetunes depend on.
        subsets: number of subsets, which may only grow.
        where: the study file, for the message.
        repeats: ``runs`` and ``seeds`` of the repeats, which may only grow as well.

    Raises:
        StudyChangedError: names the keys that differ, with both values.
        StudyError: the ledger has runs or a baseline, and no record of the recipe that they were made with.
    """
    if not ledger.started:
        return
    if ledger.study is None:
        raise StudyError(
            f"{ledger.path}: the record of the study is missing, so nobody can tell which recipe its runs were "
            f"made with; {_START_ANEW}"
        )
    old = dict(ledger.study["recipe"])
    if subsets < ledger.study["subsets"]:
        old, recipe = old | {"design.subsets": ledger.study["subsets"]}, recipe | {"design.subsets": subsets}
    for key, least in ledger.study.get("repeats", {}).items():
        if (now := (repeats or {}).get(key, 0)) < least:
            old[f"design.repeats.{key}"], recipe = least, recipe | {f"design.repeats.{key}": now}
    keys = [key for key in {**old, **recipe} if _show(old, key) != _show(recipe, key)]
    if keys:
        lines = [f"{key}: {_show(old, key)} when it was started, now {_show(recipe, key)}" for key in keys]
        raise StudyChangedError(
            "\n  ".join([f"{where} is not the study that {ledger.path} was started with:", *lines])
            + "\nPut the old values back, or name another folder with out or --out. What may change: more "
            "design.subsets and design.repeats, the indicators (but those that the design looks at), micro_tokens, "
            "zero_stage, offload, threads, workers, time_limit, and where files and models lie."
        )


def check_rows(ledger: Ledger, rows_sha256: Mapping[int, str]) -> None:
    """Refuse to go on where a finished run was trained on other rows than are drawn for it now.

    Args:
        ledger: the ledger.
        rows_sha256: hash of the drawn row ids by run.

    Raises:
        StudyError: names the first such run.
    """
    for run, record in sorted(ledger.runs.items()):
        if record["rows_sha256"] != rows_sha256.get(run):
            made = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
            raise StudyError(
                f"{ledger.path}: run {run} was trained on other rows than are drawn for it now. Study file and "
                "data files are the same, so the way rows are read or drawn may have changed with the version "
                f"of imine, numpy or polars, or the ledger was edited. The run was made with {made}. Go on with "
                "these versions, or start anew in another folder with out or --out"
            )


def _show(recipe: dict[str, Any], key: str) -> str:
    return json.dumps(recipe[key]) if key in recipe else "absent"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a study's folder; the lock goes with the process, however it ends.

    Raises:
        StudyError: another process works in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        # Whoever asks whether the folder is held holds it for a moment.
        for left in reversed(range(5)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if not left:
                    raise StudyError(
                        f"another process runs the study in {folder}; wait for it or end it"
                    ) from None
                time.sleep(0.1)
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process works in a folder now."""
    try:
        with (folder / ".lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
