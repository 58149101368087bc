"""Where models run and in which number type, where nothing was said."""

from __future__ import annotations

import sys
from pathlib import Path

from imine.errors import SettingsError

DTYPES = ("auto", "float32", "bfloat16")
"""What may be asked for; ``auto`` becomes one of the others."""

# Of an x86 processor, as Linux names them: without them torch computes bfloat16 slower than float32.
_BF16_UNITS = frozenset({"amx_bf16", "avx512_bf16"})
# What a driver of an accelerator leaves on Linux: NVIDIA's, AMD's, and Windows' below Linux.
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def find_devices() -> tuple[str, ...]:
    """All CUDA (or ROCm) devices, else Apple's, else the CPU, by the names that torch gives them."""
    if not _may_have_accelerator():
        return ("cpu",)
    import torch

    if torch.cuda.is_available():
        return tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    return ("mps",) if torch.backends.mps.is_available() else ("cpu",)


def _may_have_accelerator() -> bool:
    """Whether it is worth the two seconds of importing torch to ask it."""
    return not sys.platform.startswith("linux") or any(Path(driver).exists() for driver in _DRIVERS)


def choose_dtype(wanted: str, devices: tuple[str, ...]) -> str:
    """The number type in which a causal model runs.

    Args:
        wanted: one of :data:`DTYPES`. ``auto`` is bfloat16 where the hardware has units for it (a CUDA device that is
            not emulating it, a CPU with AMX-BF16 or AVX512-BF16), else float32; float32 on Apple's devices.
        devices: where it runs; empty for what is found.

    Examples:
        >>> choose_dtype("float32", ()), choose_dtype("bfloat16", ("cpu",))
        ('float32', 'bfloat16')
    """
    if wanted != "auto":
        return wanted
    kind = (devices or find_devices())[0].partition(":")[0]
    if kind == "cpu":
        return "bfloat16" if cpu_flags() & _BF16_UNITS else "float32"
    if kind == "cuda":
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "float32"


def check_devices(devices: tuple[str, ...]) -> None:
    """Fail where a name is none of a device.

    Raises:
        SettingsError: with what is allowed.

    Examples:
        >>> check_devices(("cuda:0", "cuda:1"))
    """
    for device in devices:
        kind, colon, index = device.partition(":")
        if kind not in ("cpu", "cuda", "mps") or (colon and not index.isdigit()):
            raise SettingsError(f"a device is cpu, cuda, cuda:0 (1, ...) or mps, not {device!r}")
    if len({device.partition(":")[0] for device in devices}) > 1:
        raise SettingsError(f"devices must be of one kind, not {', '.join(devices)}")


def cpu_flags() -> frozenset[str]:
    """What the processor can do, as Linux names it; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return next(
        (frozenset(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), frozenset()
    )
