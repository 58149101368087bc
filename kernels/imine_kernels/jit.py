"""The one place that holds numba's options, with one switch for its disk cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numba

_OPTIONS: dict[str, Any] = {
    # Blocks of rows run in ordinary threads: no numba threading layer, see docs/lexical.md.
    "nogil": True,
    # Division by zero gives inf or nan instead of a branch to an exception.
    "error_model": "numpy",
}


def cache_enabled() -> bool:
    """Whether compiled kernels are kept on disk; ``IMINE_NUMBA_CACHE=0`` turns that off.

    Examples:
        >>> isinstance(cache_enabled(), bool)
        True
    """
    return os.environ.get("IMINE_NUMBA_CACHE", "1") != "0"


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel, or a helper of one, on its first call.

    numba's disk cache sees only changes in the file of the cached function: a kernel, its helpers and its
    constants share a file. No signature is given, because one would compile at import.

    Examples:
        >>> @kernel
        ... def double(x):
        ...     return 2 * x
        >>> callable(double)
        True
    """
    if cache_enabled():
        try:
            return numba.njit(cache=True, **_OPTIONS)(function)
        except RuntimeError:
            # numba finds no writable place for the cache (a read-only installation without a home folder).
            return numba.njit(**_OPTIONS)(function)
    return numba.njit(**_OPTIONS)(function)


def default_threads() -> int:
    """Threads to use when none are asked for: ``NUMBA_NUM_THREADS``, else the cores of this process.

    Examples:
        >>> default_threads() >= 1
        True
    """
    return int(numba.config.NUMBA_NUM_THREADS)
