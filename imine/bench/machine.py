"""The machine and the versions that a figure belongs to."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_FLAGS = (
    "sse4_2", "avx", "avx2", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8",
    "amx_bf16", "asimd", "sve", "bf16",
)  # fmt: skip
_PACKAGES = (
    "numpy", "numba", "llvmlite", "polars", "pyarrow", "scipy", "torch", "transformers", "pytest-benchmark",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides how fast this machine is, without its name or address.

    Attributes:
        cpu: model of the processor.
        cores: processors of the machine.
        usable_cores: those that this process may use.
        memory_gib: main memory, rounded to GiB; ``None`` where it cannot be told.
        flags: vector extensions of interest that the processor has.
        gpus: names of the accelerators that ``nvidia-smi`` lists.
        system: operating system and architecture.
    """

    cpu: str
    cores: int
    usable_cores: int
    memory_gib: int | None
    flags: tuple[str, ...]
    gpus: tuple[str, ...]
    system: str

    def describe(self) -> str:
        """One line for people.

        Examples:
            >>> Machine("Some CPU", 8, 2, 16, ("avx2",), (), "Linux x86_64").describe()
            'Some CPU, 2 of 8 cores, 16 GiB, avx2, Linux x86_64'
        """
        cores = f"{self.cores}" if self.cores == self.usable_cores else f"{self.usable_cores} of {self.cores}"
        memory = [] if self.memory_gib is None else [f"{self.memory_gib} GiB"]
        flags = [" ".join(self.flags)] if self.flags else []
        return ", ".join([self.cpu, f"{cores} cores", *memory, *flags, *self.gpus, self.system])


def this_machine() -> Machine:
    """The machine that this process runs on.

    Examples:
        >>> this_machine().cores >= 1
        True
    """
    facts = _cpuinfo(Path("/proc/cpuinfo"))
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return Machine(
        facts.get("model name") or platform.processor() or platform.machine(),
        cores,
        usable,
        _memory_gib(),
        tuple(flag for flag in _FLAGS if flag in flags),
        _gpus(),
        f"{platform.system()} {platform.machine()}",
    )


def _cpuinfo(path: Path) -> Mapping[str, str]:
    """Keys of the first processor in Linux' list; nothing on other systems."""
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _memory_gib() -> int | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (ValueError, OSError, AttributeError):
        return None


def _gpus() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(filter(None, done.stdout.splitlines())) if done.returncode == 0 else ()


def versions(more: tuple[str, ...] = ()) -> dict[str, str]:
    """Versions of Python, of imine and of the installed packages that decide the figures.

    Args:
        more: further distributions, e.g. the peers measured against.

    Examples:
        >>> sorted(versions())[:2]
        ['imine', 'llvmlite']
    """
    import imine

    found = {"python": platform.python_version(), "imine": imine.__version__}
    for name in (*_PACKAGES, *more):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit(folder: Path) -> str | None:
    """The commit that a folder is checked out at, with ``+`` where files differ from it.

    Args:
        folder: a folder of a source tree.

    Returns:
        Twelve digits, or ``None`` outside of a repository or without git.
    """
    git = shutil.which("git")
    if git is None:
        return None
    head = _git(git, folder, "rev-parse", "--short=12", "HEAD")
    if not head:
        return None
    return head + ("+" if _git(git, folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(git: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run([git, "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def load_average() -> float | None:
    """Processes that wanted a core in the last minute, on average; ``None`` where the system does not say.

    Examples:
        >>> (load_average() or 0.0) >= 0
        True
    """
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
