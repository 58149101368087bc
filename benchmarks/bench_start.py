"""How long imine takes to start: its import, its help, and the first call of the lexical engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from imine.bench.children import Child, child_environment, run_child
from imine.bench.plugin import AddFigure, Paired

IMPORT = """
import json, time
wall, cpu = time.perf_counter(), time.process_time()
{statement}
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""
# imine loads its public names on first use: the third line loads them all, and polars with them.
STATEMENTS = {
    "imine": "import imine",
    "polars": "import polars",
    "imine-all-names": "from imine import *",
}
FIRST_IMPORTS = """
from imine.indicators.lexical import score_lexical
from imine.indicators.score import expand_indicators
"""
FIRST_CALL = f"""
import json, time
import imine
from imine.sample import load_sample
sample = load_sample()
wall, cpu = time.perf_counter(), time.process_time()
{FIRST_IMPORTS}
LEXICAL = expand_indicators("lexical")
score_lexical(sample, LEXICAL, threads=1)
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of children that find bytecode of all they import, as that of an installed package is there.

    Where Python may write none (PYTHONDONTWRITEBYTECODE), a checkout's sources would be compiled at every start.
    """
    changes = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("bytecode"))}
    env = child_environment(changes if sys.dont_write_bytecode else {})
    run_child(python(f"{FIRST_IMPORTS}\nimport numba, imine_kernels.words, imine.__main__"), env)
    return env


@pytest.mark.parametrize("what", STATEMENTS)
def bench_import(benchmark: Any, figure: AddFigure, quick: bool, compiled: dict[str, str], what: str) -> None:
    """Seconds of an import statement, in a process of its own."""
    found: list[list[float]] = []
    command = python(IMPORT.format(statement=STATEMENTS[what]))
    benchmark.pedantic(
        lambda: found.append(json.loads(run_child(command, compiled).output)),
        rounds=7 if quick else 15,
        warmup_rounds=1,
    )
    store(figure, STATEMENTS[what], found[1:], "<= 0.3" if what == "imine" else None)


def store(figure: AddFigure, what: str, found: list[list[float]], target: str | None) -> None:
    walls, cpus = zip(*found, strict=True)
    figure(f"{what}, wall", walls, "s", target)
    figure(f"{what}, CPU", cpus, "s")


def bench_help(benchmark: Any, figure: AddFigure, quick: bool, compiled: dict[str, str]) -> None:
    """The whole command ``imine --help``."""
    found: list[Child] = []
    command = [sys.executable, "-m", "imine", "--help"]
    benchmark.pedantic(
        lambda: found.append(run_child(command, compiled)), rounds=7 if quick else 15, warmup_rounds=1
    )
    assert "Usage" in found[0].output
    store(figure, "imine --help", [[one.wall, one.cpu] for one in found[1:]], "<= 0.4")


@pytest.mark.parametrize("code", ["import imine", "import polars"])
def bench_process(paired: Paired, compiled: dict[str, str], code: str) -> None:
    """A process with one import against one with none."""
    paired(
        lambda: run_child(python(code), compiled),
        lambda: run_child(python("pass"), compiled),
        name="python -c pass",
    )


def bench_first_call_empty_cache(
    benchmark: Any, figure: AddFigure, quick: bool, compiled: dict[str, str], tmp_path: Path
) -> None:
    """The first call of the whole lexical group where nothing is compiled yet."""
    found: list[list[float]] = []

    def work() -> None:
        found.append(first_call(compiled, tmp_path / str(len(found))))

    benchmark.pedantic(work, rounds=1 if quick else 3)
    store(figure, "first call, nothing compiled", found, "<= 20")


def bench_first_call_with_cache(
    benchmark: Any, figure: AddFigure, quick: bool, compiled: dict[str, str], tmp_path: Path
) -> None:
    """The first call in a later process, with the kernels on disk."""
    found: list[list[float]] = []
    first_call(compiled, tmp_path)
    benchmark.pedantic(lambda: found.append(first_call(compiled, tmp_path)), rounds=6 if quick else 11)
    store(figure, "first call, kernels on disk", found, "<= 1")


def first_call(env: dict[str, str], cache: Path) -> list[float]:
    """Wall and CPU seconds of the call with what it imports, without the import of imine itself."""
    env = env | {"NUMBA_CACHE_DIR": str(cache), "IMINE_NUMBA_CACHE": "1"}
    seconds: list[float] = json.loads(run_child(python(FIRST_CALL), env).output)
    return seconds
