"""The pytest plugin that the benchmarks run under: options, pairs measured in turn, figures, peers, progress.

``imine bench`` loads it. A benchmark is a function ``bench_...`` in a file ``bench_....py``::

    def bench_count(paired, text):
        paired(lambda: len(text.split()), lambda: text.count(" "), name="str.count", bytes=len(text))
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from imine.bench.children import cpu_seconds
from imine.bench.names import display_name

Work = Callable[[], object]

_ROUNDS = {True: (6, 15), False: (9, 25)}  # least and most, by quick
_SECONDS = {True: 3.0, False: 20.0}  # of a pair's rounds together, where the least rounds allow it
_NOTES = pytest.StashKey[list[str]]()
_OUTCOMES = pytest.StashKey[list[dict[str, str]]]()


class Paired(Protocol):
    """Runs ours and a baseline in turn; see :func:`paired`."""

    def __call__(
        self,
        ours: Work,
        baseline: Work,
        *,
        name: str,
        rows: int | None = None,
        bytes: int | None = None,
        target: str | None = None,
    ) -> None:
        """Measure the pair."""


class AddFigure(Protocol):
    """Stores a number besides the time; see :func:`figure`."""

    def __call__(self, what: str, values: Sequence[float], unit: str, target: str | None = None) -> None:
        """Store it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that ``imine bench`` passes on."""
    group = parser.getgroup("imine bench")
    group.addoption("--quick", action="store_true", help="small corpora, few rounds")
    group.addoption("--peers", action="store_true", help="also benchmarks of other packages")
    group.addoption("--data", default=None, help="folder of parquet files with real pools")
    group.addoption("--bench-report", default=None, help="file for outcomes and notes (JSON)")


def pytest_configure(config: pytest.Config) -> None:
    """Begin the report."""
    config.stash[_NOTES], config.stash[_OUTCOMES] = [], []


def pytest_benchmark_generate_machine_info(config: pytest.Config) -> dict[str, Any]:
    """Nothing: ``imine bench`` describes the machine itself, without its name."""
    return {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out peers that were not asked for or are not installed."""
    for item in items:
        if not hasattr(item, "_nodeid"):
            # pytest-benchmark before 5.3 reads this name, which pytest 9.2 no longer has; 5.3 cannot be asked for,
            # as its py-cpuinfo2 and deepspeed's py-cpuinfo own the same module.
            vars(item)["_nodeid"] = item.nodeid
        mark = item.get_closest_marker("peer")
        if mark is None:
            continue
        (package,) = mark.args
        if not config.getoption("--peers"):
            item.add_marker(pytest.mark.skip(reason=f"compares with {package}; --peers runs it"))
        elif importlib.util.find_spec(package) is None:
            item.add_marker(pytest.mark.skip(reason=f"{package} is not installed"))


def pytest_runtest_logstart(nodeid: str) -> None:
    """Say what runs: a run takes minutes."""
    print(f"bench: {display_name(nodeid)}", file=sys.stderr, flush=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what gave no figure, with its reason."""
    report = yield
    if report.skipped or report.failed:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else _last_line(report, call)
        item.config.stash[_OUTCOMES].append(
            {
                "name": display_name(item.nodeid),
                "outcome": "skipped" if report.skipped else "failed",
                "reason": reason.removeprefix("Skipped: "),
            }
        )
    return report


def _last_line(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    if call.excinfo is None:
        return str(report.longrepr)
    lines = str(call.excinfo.value).strip().splitlines()
    return f"{call.excinfo.typename}: {lines[0] if lines else ''}".strip()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report for the process that started this one."""
    path = session.config.getoption("--bench-report")
    if path is not None:
        report = {
            "notes": session.config.stash[_NOTES],
            "outcomes": session.config.stash[_OUTCOMES],
        }
        Path(path).write_text(json.dumps(report), encoding="utf-8")


@pytest.fixture(scope="session")
def quick(request: pytest.FixtureRequest) -> bool:
    """Whether the run shall take a minute only."""
    return bool(request.config.getoption("--quick"))


@pytest.fixture(scope="session")
def data_folder(request: pytest.FixtureRequest) -> Path | None:
    """The folder of real pools; ``None`` where there is none."""
    folder = request.config.getoption("--data")
    return None if folder is None else Path(folder)


@pytest.fixture(scope="session")
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A function that adds a line to what is said under the table, once."""
    notes = request.config.stash[_NOTES]

    def add(text: str) -> None:
        if text not in notes:
            notes.append(text)

    return add


@pytest.fixture
def figure(benchmark: Any) -> AddFigure:
    """A function that stores a number that is not the time of the benchmark; the less, the better."""
    figures = benchmark.extra_info.setdefault("figures", [])

    def add(what: str, values: Sequence[float], unit: str, target: str | None = None) -> None:
        figures.append({"what": what, "values": list(values), "unit": unit, "target": target})

    return add


@pytest.fixture
def paired(benchmark: Any, quick: bool) -> Paired:
    """A function that times a baseline and ours in turn, round by round.

    A machine that gets slower or busier for a while then slows both. Each round is the baseline, then ours; the
    ratio is one of rounds. Before the first round each runs twice, so that caches are filled and kernels compiled;
    the second time decides how many rounds there are.
    """

    def run(
        ours: Work,
        baseline: Work,
        *,
        name: str,
        rows: int | None = None,
        bytes: int | None = None,
        target: str | None = None,
    ) -> None:
        ours()
        baseline()
        warm = _Timed(baseline), _Timed(ours)
        least, most = _ROUNDS[quick]
        rounds = min(most, max(least, int(_SECONDS[quick] / sum(work() for work in warm))))
        theirs, mine = _Timed(baseline), _Timed(ours)
        benchmark.pedantic(mine, setup=theirs.discard, rounds=rounds)
        benchmark.extra_info |= {
            "rows": rows,
            "bytes": bytes,
            "target": target,
            "cpu_seconds": mine.cpu,
            "baseline": name,
            "baseline_seconds": theirs.wall,
            "baseline_cpu_seconds": theirs.cpu,
        }

    return run


@pytest.fixture(autouse=True)
def _peer(request: pytest.FixtureRequest) -> None:
    mark = request.node.get_closest_marker("peer")
    if mark is not None and "benchmark" in request.fixturenames:
        request.getfixturevalue("benchmark").extra_info["peer"] = mark.args[0]


class _Timed:
    """Work whose calls keep their wall time and the CPU time of all threads and finished children."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def __call__(self) -> float:
        cpu, wall = cpu_seconds(), time.perf_counter()
        self._work()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(cpu_seconds() - cpu)
        return self.wall[-1]

    def discard(self) -> None:
        """As a call, without a result: what pytest-benchmark wants of a set-up."""
        self()
