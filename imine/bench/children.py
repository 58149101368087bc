"""Programs as benchmarks: their time, and the environment in which they find imine."""

from __future__ import annotations

import importlib.util
import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imine.bench.locate import source_tree
from imine.errors import BenchError


@dataclass(frozen=True, slots=True)
class Child:
    """A program that ended well.

    Attributes:
        wall, cpu: seconds from start to end, and of CPU in all its threads.
        output: what it wrote to standard output.
    """

    wall: float
    cpu: float
    output: str


def run_child(command: Sequence[str], env: Mapping[str, str] | None = None) -> Child:
    """Run a program and time it.

    Args:
        command: program and arguments.
        env: its environment; by default :func:`child_environment`.

    Raises:
        BenchError: it ended with another code than 0; the message ends with the last line of its errors.

    Examples:
        >>> run_child(["echo", "done"]).output
        'done\\n'
    """
    env = child_environment() if env is None else env
    cpu, wall = cpu_seconds(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(env))
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    if done.returncode:
        errors = done.stderr.strip().splitlines() or ["it said nothing"]
        raise BenchError(f"{Path(command[0]).name} ended with code {done.returncode}: {errors[-1]}")
    return Child(wall, cpu, done.stdout)


def child_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of a child that finds imine and its kernels where this process found them.

    Args:
        changes: variables to set.

    Examples:
        >>> child_environment({"LC_ALL": "C"})["LC_ALL"]
        'C'
    """
    paths = [*_homes(), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    path = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))} if paths else {}
    # A pytest above must not speak to the one below.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return own | path | dict(changes or {})


def _homes() -> list[str]:
    """Folders of the packages, but for installed ones: those are found anyway, after the standard library."""
    homes = []
    for package in ("imine", "imine_kernels"):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            homes.append(Path(spec.origin).resolve().parents[1])
        elif (tree := source_tree()) is not None:
            # A bare checkout, run from its root, where only imine itself is found.
            homes.append(tree / "kernels")
    return [str(home) for home in homes if home.name not in ("site-packages", "dist-packages")]


def cpu_seconds() -> float:
    """CPU time so far of this process, all its threads, and its children that have ended.

    Examples:
        >>> cpu_seconds() > 0
        True
    """
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)
