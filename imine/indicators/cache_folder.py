"""What lies in the cache folder, and how it is cleared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from imine.indicators.cache import FINGERPRINT
from imine.indicators.models import cache_dir

KERNELS, MODELS = "kernels", "models"
"""Kinds that are no scores: compiled kernels of other versions of the code, and models."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One folder of the cache.

    Attributes:
        kind: ``likelihood``, ``embedding`` ... for what was scored, ``kernels`` or ``models``.
        path: the folder.
        bytes: size on disk.
        rows: rows kept; ``None`` where it holds none.
        fingerprint: what made them; empty where it is not known.
        last_used: when it was last read or written.
        current: whether it is in use by this version: compiled kernels.
    """

    kind: str
    path: Path
    bytes: int
    rows: int | None
    fingerprint: dict[str, Any]
    last_used: datetime
    current: bool = False


def cache_entries() -> list[CacheEntry]:
    """Everything in the cache folder, by kind, the last used first.

    Examples:
        >>> isinstance(cache_entries(), list)
        True
    """
    found = [
        _entry(top.name, folder)
        for top in _folders(cache_dir())
        for folder in _folders(top)
        if _is_there(folder)
    ]
    found.sort(key=lambda entry: (entry.kind in (KERNELS, MODELS), entry.kind, -entry.last_used.timestamp()))
    return found


def clear_cache(entries: Sequence[CacheEntry]) -> int:
    """Remove entries; what a run that is going on adds later is kept.

    Args:
        entries: of :func:`cache_entries`; models and the kernels in use are left where they are.

    Returns:
        Bytes that were freed.
    """
    freed = 0
    for entry in clearable(entries):
        shutil.rmtree(entry.path, ignore_errors=True)
        freed += entry.bytes if not entry.path.exists() else 0
    return freed


def clearable(entries: Sequence[CacheEntry], kinds: Sequence[str] = ()) -> list[CacheEntry]:
    """The entries that may be cleared: all but models and the kernels in use.

    Args:
        entries: of :func:`cache_entries`.
        kinds: only these; empty for all.
    """
    return [
        entry
        for entry in entries
        if entry.kind != MODELS and not entry.current and (not kinds or entry.kind in kinds)
    ]


def fingerprint_line(fingerprint: dict[str, Any]) -> str:
    """A fingerprint in one line: names and numbers, without the hashes.

    Examples:
        >>> fingerprint_line({"indicator": "perplexity", "model": {"name": "a", "sha256": "00"}, "max_tokens": 256})
        'indicator perplexity, model.name a, max_tokens 256'
    """
    return ", ".join(f"{key} {value}" for key, value in _flat("", fingerprint) if not key.endswith("sha256"))


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _flat(f"{path}.{key}".lstrip("."), below)
    else:
        yield path, value


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _is_there(folder: Path) -> bool:
    return not folder.name.startswith(".")


def _entry(top: str, folder: Path) -> CacheEntry:
    files = [path for path in folder.rglob("*") if path.is_file()]
    times = [folder.stat().st_mtime, *(path.stat().st_mtime for path in files)]
    return CacheEntry(
        kind=top if top in (KERNELS, MODELS) else folder.name.rpartition("-")[0] or top,
        path=folder,
        bytes=sum(path.stat().st_size for path in files),
        rows=_rows(folder),
        fingerprint=_fingerprint(folder / FINGERPRINT),
        last_used=datetime.fromtimestamp(max(times), tz=UTC).astimezone(),
        current=top == KERNELS and folder.name == _kernels_in_use(),
    )


def _rows(folder: Path) -> int | None:
    tables, vectors = list(folder.glob("*.parquet")), list(folder.glob("*.keys.npy"))
    if not tables and not vectors:
        return None
    total = 0
    for part in (*tables, *vectors):
        try:
            total += _table_rows(part) if part in tables else len(np.load(part, mmap_mode="r"))
        except (OSError, ValueError, EOFError, pl.exceptions.PolarsError):
            continue  # set aside, with a warning, when it is next read
    return total


def _table_rows(part: Path) -> int:
    return int(pl.scan_parquet(part, glob=False).select(pl.len()).collect().item())


def _fingerprint(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def _kernels_in_use() -> str:
    from imine_kernels.jit import sources_digest

    return sources_digest()
