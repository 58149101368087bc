"""How many workers a sweep has, and what each of them runs on."""

from __future__ import annotations

import os

from imine.indicators.devices import find_devices
from imine.study.sweep.process import Slot


def find_slots(workers: int | None, threads: int | None) -> list[Slot]:
    """Places for workers on this machine.

    Args:
        workers: how many; by default one, or one a GPU. More than there are GPUs share them in turn.
        threads: CPU threads of each; where absent and there are several, the cores are shared out among them.
    """
    devices = find_devices()
    if devices[0].startswith("cuda"):
        ids = _visible_gpus(len(devices))
        count = len(ids) if workers is None else workers
        return [
            Slot(i, f"cuda:{i % len(ids)}", {"CUDA_VISIBLE_DEVICES": ids[i % len(ids)]}) for i in range(count)
        ]
    count = 1 if workers is None else workers
    if threads is None and count > 1:
        threads = max(1, _cores() // count)
    environment = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    return [Slot(i, devices[0], environment) for i in range(count)]


def _visible_gpus(count: int) -> list[str]:
    """Names of the GPUs that this process sees, as ``CUDA_VISIBLE_DEVICES`` takes them."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[:count] or [str(i) for i in range(count)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
