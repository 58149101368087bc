"""What a study needs of this machine, and what it records of it."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import imine
from imine.study.config import Study
from imine.study.recipe import FinetuneConfig

# The last two decide which rows are drawn and how they are read.
_PACKAGES = ("torch", "transformers", "deepspeed", "numpy", "polars")


def check_needs(study: Study, *, load_model: bool, score_rows: bool) -> None:
    """Fail before any work where something is missing that a study needs only later.

    Args:
        study: the study.
        load_model: whether its base model will be loaded.
        score_rows: whether imine's own indicators will be computed.

    Raises:
        StudyError: a launcher started several ranks.
        MissingExtraError: DeepSpeed, peft, torch or transformers is not installed.
        ModelNotFoundError: the base model or the encoder is not there.
    """
    from imine.indicators.models import check_extra, model_path
    from imine.indicators.score import check_models
    from imine.study.finetune import check_alone, check_training
    from imine.study.scoring import score_settings

    check_alone("a study")
    check_training(study.config.finetune.lora is not None)
    if load_model:
        check_extra("finetuning")
        model_path(study.resolve_model(study.config.finetune.model))
    if score_rows:
        check_models(study.config.indicators.names, score_settings(study))


def set_threads(threads: int | None) -> None:
    """Let torch use so many CPU threads; its own choice stays for ``None``."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def forget_peaks() -> None:
    """Begin anew to measure the largest memory of this process and, on CUDA, of the device.

    Linux alone can do so for a process; elsewhere the largest of the process so far is what is found.
    """
    import torch

    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def parent_threads(recipe: FinetuneConfig, *, in_process: bool) -> int | None:
    """CPU threads of the process that scores, and finetunes itself or has workers for it.

    Workers start when the scoring is done, so it takes the threads of all of them.

    Args:
        recipe: for ``threads`` and ``workers``.
        in_process: whether this process finetunes too; the bits of its losses depend on its threads.

    Examples:
        >>> from imine.study.recipe import FinetuneConfig
        >>> parent_threads(FinetuneConfig(threads=1, workers=2), in_process=False)
        2
    """
    if recipe.threads is None or in_process:
        return recipe.threads
    return recipe.threads * max(1, recipe.workers or 1)


def machine_record(model: Any) -> dict[str, Any]:
    """Device of a model, threads, memory and versions of this process, for the ledger."""
    import torch

    device = next(model.parameters()).device
    on_cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_cuda else "cpu",
        "threads": torch.get_num_threads(),
        "peak_rss_mb": _peak_rss_mb(),
        **({"peak_device_mb": torch.cuda.max_memory_allocated(device) // 2**20} if on_cuda else {}),
        "versions": {"imine": imine.__version__, **{name: _version(name) for name in _PACKAGES}},
    }


def _peak_rss_mb() -> int:
    """Largest resident memory since :func:`forget_peaks`, in MiB."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    # The kernel of Linux counts KiB here.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def all_versions(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Versions of several records; where they differ, each once in the order in which they came.

    Examples:
        >>> all_versions([{"versions": {"torch": "2.13.0+cpu"}}, {"versions": {"torch": "2.14.0"}}])
        {'torch': '2.13.0+cpu, 2.14.0'}
    """
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for package, number in record["versions"].items():
            if number is not None:
                found.setdefault(package, {})[number] = None
    return {package: ", ".join(numbers) for package, numbers in found.items()}
