"""Running benchmarks in a pytest of their own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from imine.bench.children import child_environment
from imine.bench.locate import default_data, source_tree, suite_folder
from imine.bench.machine import commit, load_average, this_machine, versions
from imine.bench.reading import read_measured
from imine.bench.results import BenchRun, Outcome
from imine.errors import BenchError, MissingExtraError

_CONFIG = Path(__file__).with_name("pytest.ini")
_PEERS = ("lexicalrichness", "datatrove", "sentence-transformers", "statsmodels", "faiss-cpu", "pynndescent")
_SHOWN = 15
# Plugins that happen to be installed would reorder benchmarks, time them out or spread them over processes.
ENVIRONMENT = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """What to run.

    Attributes:
        folder: of the benchmarks; by default imine's own.
        select: pytest's ``-k``: an expression over names; empty for all.
        quick: small corpora and few rounds.
        peers: also the benchmarks of other packages.
        data: folder of parquet files with real pools; by default the one beside the checkout, if any.
    """

    folder: Path | None = None
    select: str = ""
    quick: bool = False
    peers: bool = False
    data: Path | None = None


def run_benchmarks(settings: BenchSettings) -> BenchRun:
    """Run benchmarks, telling on standard error which one runs.

    A benchmark that fails does not stop the others; it is in :attr:`BenchRun.failed`.

    Args:
        settings: what to run.

    Raises:
        MissingExtraError: pytest or pytest-benchmark is not installed.
        BenchError: there are no such benchmarks, or pytest itself ended with an error.
    """
    check_installed()
    folder = (settings.folder or suite_folder()).resolve()
    _check(folder, settings)
    date, load = datetime.now().astimezone().isoformat(timespec="seconds"), load_average()
    with tempfile.TemporaryDirectory(prefix="imine-bench-") as scratch:
        found = _run_pytest(folder, settings, Path(scratch))
    measured, figures = read_measured(found.benchmarks)
    tree = source_tree()
    return BenchRun(
        date=date,
        quick=settings.quick,
        selected=settings.select,
        machine=this_machine(),
        versions=versions(_PEERS if settings.peers else ()),
        commit=None if tree is None else commit(tree),
        load=load,
        notes=tuple(found.notes),
        measured=measured,
        figures=figures,
        outcomes=found.outcomes,
    )


def check_installed() -> None:
    """Fail where the extra ``bench`` is not installed.

    Raises:
        MissingExtraError: names the packages and the install line.

    Examples:
        >>> check_installed()
    """
    absent = [name for name in ("pytest", "pytest_benchmark") if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingExtraError(
            f'imine bench: {", ".join(absent)} not installed; the extra brings them: pip install "imine[bench]"'
        )


def _check(folder: Path, settings: BenchSettings) -> None:
    if not any(folder.glob("bench_*.py")):
        raise BenchError(f"{folder} holds no benchmarks: they are files named bench_*.py")
    if settings.data is not None and not any(settings.data.glob("*.parquet")):
        raise BenchError(f"--data {settings.data} holds no parquet files")


@dataclass(frozen=True, slots=True)
class _Found:
    benchmarks: dict[str, Any]
    notes: list[str]
    outcomes: tuple[Outcome, ...]


def _run_pytest(folder: Path, settings: BenchSettings, scratch: Path) -> _Found:
    json_path, report_path = scratch / "benchmarks.json", scratch / "report.json"
    done = subprocess.run(
        _command(folder, settings, scratch, json_path, report_path),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=scratch,
        env=child_environment(ENVIRONMENT),
    )
    # 0: all ran, 1: some failed, 5: none was chosen, or all were left out.
    if done.returncode not in (0, 1, 5) or not report_path.is_file():
        tail = "\n".join(done.stdout.strip().splitlines()[-_SHOWN:])
        raise BenchError(f"pytest ended with code {done.returncode} over {folder}:\n{tail}")
    report = json.loads(report_path.read_text(encoding="utf-8"))
    outcomes = tuple(Outcome(**one) for one in report["outcomes"])
    written = json_path.is_file() and json_path.stat().st_size
    benchmarks = json.loads(json_path.read_text(encoding="utf-8")) if written else {"benchmarks": []}
    if not benchmarks["benchmarks"] and not outcomes:
        raise BenchError(f"no benchmark of {folder} matches -k {settings.select!r}")
    return _Found(benchmarks, report["notes"], outcomes)


def pytest_command(folder: Path) -> list[str]:
    """The command that collects and runs the benchmarks of a folder, under their own configuration alone.

    Args:
        folder: an absolute path. Nothing above it is read: no configuration, no ``conftest.py``.

    Examples:
        >>> pytest_command(Path("/benchmarks"))[1:4]
        ['-m', 'pytest', '/benchmarks']
    """
    command = [sys.executable, "-m", "pytest", str(folder), "-c", str(_CONFIG)]
    command += ["--rootdir", str(folder), "--confcutdir", str(folder)]
    return [*command, "-p", "no:cacheprovider", "-p", "pytest_benchmark.plugin", "-p", "imine.bench.plugin"]


def _command(
    folder: Path, settings: BenchSettings, scratch: Path, json_path: Path, report_path: Path
) -> list[str]:
    data = settings.data or default_data()
    # -s: output goes to us, and progress to the user's standard error, where nothing captures it.
    command = [*pytest_command(folder), "-q", "-s"]
    command += ["--basetemp", str(scratch / "files"), "--benchmark-json", str(json_path)]
    command += ["--bench-report", str(report_path), "--benchmark-disable-gc", "--benchmark-quiet"]
    command += ["-k", settings.select] if settings.select else []
    command += ["--quick"] if settings.quick else []
    command += ["--peers"] if settings.peers else []
    return command + (["--data", str(data.resolve())] if data is not None else [])
