"""What of imine is usable here: packages, devices, models, indicators."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import imine
from imine.columns import COLUMNS
from imine.errors import ImineError, ModelNotFoundError

EXTRAS: dict[str, tuple[str, ...]] = {
    "models": ("torch", "transformers", "safetensors", "tokenizers", "gguf"),
    "train": ("deepspeed", "accelerate", "peft"),
    "search": ("optuna",),
    "flaml": ("flaml",),
    "neighbors": ("pynndescent", "faiss-cpu"),
    "ray": ("ray",),
    "report": ("jinja2",),
    "bench": ("pytest-benchmark",),
}
"""Packages of each extra, as their distributions are named."""

_VARIABLES = (
    "IMINE_CACHE",
    "HF_HOME",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "PIP_INDEX_URL",
    "PIP_FIND_LINKS",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)
# Of a processor, as Linux names them: what makes bfloat16 quicker than float32 rather than slower.
_BF16_UNITS = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: ``python``, ``extra``, ``device``, ``model``, ``indicators`` or ``environment``.
        name: what it is.
        usable: whether it can be used here; ``None`` where that is no question.
        about: versions, place, or what is missing and what to do.
    """

    topic: str
    name: str
    usable: bool | None
    about: str


def examine() -> list[Finding]:
    """Look at what imine can use here; loads no model and asks no network.

    Returns:
        Findings in the order of their topics.

    Examples:
        >>> findings = examine()
        >>> findings[0].topic, findings[0].name
        ('python', 'imine')
    """
    return [*_python(), *_extras(), *_devices(), *_models(), *_indicators(), *_environment()]


def _python() -> list[Finding]:
    return [
        Finding("python", "imine", None, imine.__version__),
        Finding(
            "python", "python", None, f"{platform.python_version()}, {platform.system()} {platform.machine()}"
        ),
    ]


def _extras() -> list[Finding]:
    return [_extra(name, packages) for name, packages in EXTRAS.items()]


def _extra(name: str, packages: tuple[str, ...]) -> Finding:
    versions = {package: _version(package) for package in packages}
    absent = [package for package, version in versions.items() if version is None]
    if absent:
        about = f'{", ".join(absent)} not installed: pip install "imine[{name}]"'
    else:
        about = ", ".join(f"{package} {version}" for package, version in versions.items())
    return Finding("extra", name, not absent, about)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[Finding]:
    units = [unit for unit in _BF16_UNITS if unit in _cpu_flags()]
    fast = f"bfloat16 units ({', '.join(units)})" if units else "no bfloat16 units"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [Finding("device", "cpu", True, f"{cores} cores, {fast}")]
    if importlib.util.find_spec("torch") is None:
        return found
    import torch

    if not torch.cuda.is_available():
        return [*found, Finding("device", "accelerator", False, "none that torch can use")]
    for i in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(i)
        memory, bf16 = facts.total_memory / 2**30, "" if torch.cuda.is_bf16_supported() else ", no bfloat16"
        found.append(Finding("device", f"cuda:{i}", True, f"{facts.name}, {memory:.0f} GiB{bf16}"))
    return found


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())


def _models() -> list[Finding]:
    from imine.indicators.models import MODELS, cache_dir, model_path

    found = []
    for spec in MODELS.values():
        try:
            found.append(Finding("model", spec.name, True, str(model_path(spec.name))))
        except ModelNotFoundError:
            verb = "convert" if spec.weights == "pickle" else "get"
            found.append(
                Finding("model", spec.name, False, f"imine models {verb} {spec.name} fetches {spec.size}")
            )
    folder = cache_dir()
    near = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = os.statvfs(near).f_bavail * os.statvfs(near).f_frsize / 1e9
    writable = os.access(near, os.W_OK)
    about = (
        f"{folder}, {free:.0f} GB free"
        if writable
        else f"{folder} cannot be written; IMINE_CACHE names another"
    )
    return [*found, Finding("model", "cache folder", writable, about)]


def _indicators() -> list[Finding]:
    from imine.indicators.score import check_models
    from imine.indicators.settings import ScoreSettings

    found = []
    for group in dict.fromkeys(spec.group for spec in COLUMNS.values()):
        names = [spec.name for spec in COLUMNS.values() if spec.group == group]
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        try:
            check_models(names, ScoreSettings())
            found.append(Finding("indicators", group, True, shown))
        except ModelNotFoundError:
            found.append(Finding("indicators", group, False, f"{shown}: its model is not here"))
        except ImineError as error:
            found.append(Finding("indicators", group, False, f"{shown}: {error}"))
    return found


def _environment() -> list[Finding]:
    return [
        Finding("environment", name, None, _without_password(os.environ[name]))
        for name in _VARIABLES
        if os.environ.get(name)
    ]


def _without_password(value: str) -> str:
    """An address without the user and password that it may carry.

    Examples:
        >>> _without_password("https://me:secret@mirror.example/simple"), _without_password("/models")
        ('https://mirror.example/simple', '/models')
    """
    parts = urlsplit(value)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else value
