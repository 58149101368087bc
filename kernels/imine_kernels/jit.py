"""The one place that holds numba's options, and its disk cache, which sees a change in any file of this package."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
import warnings
from collections.abc import Callable
from functools import cache, update_wrapper
from pathlib import Path
from typing import Any

import numba
from numba.extending import register_jitable

_configuration = threading.Lock()

_OPTIONS: dict[str, Any] = {
    # Blocks of rows run in ordinary threads: no numba threading layer, see docs/lexical.md.
    "nogil": True,
    # Division by zero gives inf or nan instead of a branch to an exception.
    "error_model": "numpy",
    # Nobody takes the address of a kernel.
    "no_cfunc_wrapper": True,
}


def cache_enabled() -> bool:
    """Whether compiled kernels are kept on disk; ``IMINE_NUMBA_CACHE=0`` turns that off.

    Examples:
        >>> isinstance(cache_enabled(), bool)
        True
    """
    return os.environ.get("IMINE_NUMBA_CACHE", "1") != "0"


@cache
def cache_folder() -> Path | None:
    """The folder of this version's compiled kernels; ``None`` where none can be written.

    numba itself notices a change only in the file of the cached function: helpers or constants from another
    file would stay old in it. Therefore the folder's name holds a hash of all sources of the package. It lies in
    ``NUMBA_CACHE_DIR`` where that is set, else in ``IMINE_CACHE`` or the user's cache folder.

    Examples:
        >>> folder = cache_folder()
        >>> folder is None or folder.name == sources_digest()
        True
    """
    try:
        base = Path(numba.config.CACHE_DIR or _user_cache() / "kernels")
    except RuntimeError:  # a user without a home
        return None
    folder = base / sources_digest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _user_cache() -> Path:
    if own := os.environ.get("IMINE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imine"


@cache
def sources_digest() -> str:
    """Hash of the sources of all kernels.

    Examples:
        >>> len(sources_digest())
        16
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def helper(function: Callable[..., Any]) -> Any:
    """Let kernels call a function, which is compiled as a part of them; called from Python it stays as it is.

    Not numba's ``njit``, which compiles a helper for callers from Python too, and twice where a plain 0 is handed to it
    before a variable: with it the first call of the whole lexical group took a third longer.

    Examples:
        >>> @helper
        ... def double(x):
        ...     return 2 * x
        >>> double(2)
        4
    """
    return register_jitable(**_OPTIONS)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel on its first call from Python, or take it from the disk cache.

    No signature is given, because one would compile at import.

    Examples:
        >>> @kernel
        ... def double(x):
        ...     return 2 * x
        >>> callable(double)
        True
    """
    folder = cache_folder() if cache_enabled() else None
    plain = numba.njit(**_OPTIONS)(function)
    if folder is None:
        return plain
    # The configuration is everybody's: kernels of two modules may be made in two threads at once.
    with _configuration:
        users, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
        try:
            return _Kernel(numba.njit(cache=True, **_OPTIONS)(function), plain)
        except RuntimeError:  # a function without a source file (typed into a console) cannot be kept
            return plain
        finally:
            numba.config.CACHE_DIR = users


class _Kernel:
    """A kernel from the disk cache, or without it where the cache fails: it must never be what stops a run."""

    def __init__(self, cached: Any, plain: Any) -> None:
        self.cached, self.plain = cached, plain
        update_wrapper(self, cached.py_func)

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self.cached(*arguments)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            warnings.warn(
                f"the cache of compiled kernels in {cache_folder()} fails and is left out: {error!r}. "
                "Free the disk, or delete the folder.",
                RuntimeWarning,
                stacklevel=2,
            )
            self.cached = self.plain
            return self.plain(*arguments)


def default_threads() -> int:
    """Threads to use when none are asked for: ``NUMBA_NUM_THREADS``, else the cores of this process.

    Examples:
        >>> default_threads() >= 1
        True
    """
    return int(numba.config.NUMBA_NUM_THREADS)
