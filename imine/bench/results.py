"""What a run of the benchmarks found, and its file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from imine.bench.machine import Machine
from imine.bench.spread import Spread, Target
from imine.errors import BenchError
from imine.files import replace_file

SCHEMA = "imine-bench/1"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a benchmark is compared with, measured in the same run.

    Attributes:
        name: what ran.
        ratio: its seconds over those of the benchmark: above 1 the benchmark is faster.
        cpu_ratio: the same of CPU seconds, of all threads and child processes; ``None`` where not measured.
        seconds: of the baseline.
        in_turn: whether both ran in turn, round by round, so that ``ratio`` is one of rounds.
    """

    name: str
    ratio: Spread
    cpu_ratio: Spread | None
    seconds: Spread
    in_turn: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """A benchmark that was timed.

    Attributes:
        name: file and function, e.g. ``lexical/core_panel[1 thread]``.
        seconds: wall time of a round.
        cpu_seconds: CPU time of a round, of all threads and child processes; ``None`` where not measured.
        rows, bytes: what a round works through.
        baseline: what it is compared with.
        target: of the ratio to the baseline.
        peer: the other package that runs in it, by import name.
    """

    name: str
    seconds: Spread
    cpu_seconds: Spread | None
    rows: int | None
    bytes: int | None
    baseline: Baseline | None
    target: Target | None
    peer: str | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that a benchmark found besides its own time.

    Attributes:
        name: of the benchmark.
        what: what was measured.
        unit: of the value; ``s`` for times.
        value: the number; the less, the better.
        target: of the value.
        rows, bytes: what it was measured on.
    """

    name: str
    what: str
    unit: str
    value: Spread
    target: Target | None
    rows: int | None
    bytes: int | None

    @property
    def full_name(self) -> str:
        """Benchmark and quantity."""
        return f"{self.name}: {self.what}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A benchmark that gave no figure.

    Attributes:
        name: of the benchmark.
        outcome: left out with a reason, or failed.
        reason: why.
    """

    name: str
    outcome: Literal["skipped", "failed"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRun:
    """A run of the benchmarks.

    Attributes:
        date: when it began, ISO 8601 with the offset from UTC.
        quick: whether it was the run of a minute.
        selected: the expression that chose benchmarks; empty for all.
        machine: where it ran.
        versions: of Python and packages.
        commit: of the source tree, with ``+`` where it was changed.
        load: processes wanting a core in the minute before, on average.
        notes: what the benchmarks say of themselves: corpus, locale.
        measured, figures, outcomes: what came of it.
    """

    date: str
    quick: bool
    selected: str
    machine: Machine
    versions: dict[str, str]
    commit: str | None
    load: float | None
    notes: tuple[str, ...]
    measured: tuple[Measured, ...]
    figures: tuple[Figure, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Benchmarks that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.outcome == "failed")

    def to_json(self) -> str:
        """The run as JSON, one file a run."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"

    def to_csv(self) -> str:
        """The run as a table: one row a quantity, each with date, machine and versions."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(_Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in _rows(self))
        return text.getvalue()

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the JSON file and the CSV beside it.

        Args:
            folder: made where it is missing.

        Returns:
            Paths of both; their name is the time of the run and the commit, or else the version.
        """
        stamp = self.date[:19].replace(":", "").replace("-", "").replace("T", "-")
        source = (
            self.commit.replace("+", "-changed") if self.commit else self.versions.get("imine", "unknown")
        )
        stem = folder / f"{stamp}-{source}{'-quick' if self.quick else ''}"
        json_path, csv_path = Path(f"{stem}.json"), Path(f"{stem}.csv")
        replace_file(json_path, lambda path: path.write_text(self.to_json(), encoding="utf-8"))
        replace_file(csv_path, lambda path: path.write_text(self.to_csv(), encoding="utf-8"))
        return json_path, csv_path


def load_run(path: Path) -> BenchRun:
    """Read the file of a run.

    Args:
        path: a JSON file that :meth:`BenchRun.write` wrote.

    Raises:
        BenchError: there is no such file, or it is of another kind.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BenchError(f"{path}: no such file; name a JSON file that `imine bench` stored") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BenchError(f"{path} is no JSON file: {error}; name one that `imine bench` stored") from None
    schema = content.pop("schema", None) if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise BenchError(f"{path}: its schema is {schema!r}, not {SCHEMA!r}; run `imine bench` again for one")
    try:
        return TypeAdapter(BenchRun).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BenchError(f"{path} is damaged: {where}: {first['msg']}") from None


@dataclass(frozen=True, slots=True)
class _Row:
    date: str
    commit: str
    name: str
    quantity: str
    unit: str
    median: float
    low: float
    high: float
    rounds: int
    baseline: str
    target: str
    verdict: str
    rows: int | None
    bytes: int | None
    quick: bool
    machine: str
    load: float | None
    versions: str


def _rows(run: BenchRun) -> Iterator[_Row]:
    versions = " ".join(f"{name}={number}" for name, number in run.versions.items())

    def row(
        of: Measured | Figure,
        quantity: str,
        unit: str,
        value: Spread,
        baseline: str = "",
        judged: bool = False,
    ) -> _Row:
        target = of.target if judged else None
        return _Row(
            run.date,
            run.commit or "",
            of.name,
            quantity,
            unit,
            value.median,
            value.low,
            value.high,
            value.rounds,
            baseline,
            "" if target is None else str(target),
            "" if target is None else target.verdict(value),
            of.rows,
            of.bytes,
            run.quick,
            run.machine.describe(),
            run.load,
            versions,
        )

    for one in run.measured:
        yield row(one, "wall time", "s", one.seconds)
        if one.cpu_seconds is not None:
            yield row(one, "CPU time", "s", one.cpu_seconds)
        if one.baseline is not None:
            name = one.baseline.name
            yield row(one, "wall time of the baseline", "s", one.baseline.seconds, name)
            yield row(one, "ratio", "", one.baseline.ratio, name, judged=True)
            if one.baseline.cpu_ratio is not None:
                yield row(one, "CPU ratio", "", one.baseline.cpu_ratio, name)
    for figure in run.figures:
        yield row(figure, figure.what, figure.unit, figure.value, judged=True)
