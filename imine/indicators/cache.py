"""Scores kept on disk between runs, keyed on content, one folder for each fingerprint.

A stopped run loses at most the rows since the last part was written, and a second run computes nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from imine.errors import CacheWarning
from imine.files import replace_file
from imine.indicators.models import cache_dir
from imine.progress import Progress

FINGERPRINT = "fingerprint.json"
"""File in each folder that says what made its values; the folder's own time is that of its last use."""

_SECONDS_BETWEEN_PARTS = 15.0


def fingerprint_hash(fingerprint: dict[str, Any]) -> str:
    """Short hash of a fingerprint.

    Examples:
        >>> fingerprint_hash({"indicator": "mtld"}) == fingerprint_hash({"indicator": "mtld"})
        True
    """
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:24]


def nearest_fingerprint(folder: Path, kind: str, fingerprint: Mapping[str, Any]) -> list[str] | None:
    """How the stored fingerprint that is most like this one differs from it.

    Args:
        folder: folder of the store that was looked for.
        kind: only stores of this kind are compared.
        fingerprint: what was looked for.

    Returns:
        One text a differing key; ``None`` where no other store of this kind is there.
    """
    found = []
    for path in sorted(folder.parent.glob(f"{kind}-*/{FINGERPRINT}")):
        try:
            kept = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError):
            continue
        if path.parent != folder and _has_parts(path.parent):
            found.append(list(_differences("", fingerprint, kept)))
    return min(found, key=len, default=None)


def _differences(path: str, wanted: Any, kept: Any) -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(kept, Mapping):
        for key in sorted({*wanted, *kept}):
            yield from _differences(f"{path}.{key}".lstrip("."), wanted.get(key), kept.get(key))
    elif wanted != kept:
        yield f"{path} is {wanted!r} now, {kept!r} there"


def why_anew(kind: str, folder: Path, fingerprint: Mapping[str, Any], there: int, wanted: int) -> str | None:
    """Why something must be computed though there is a cache, for people; ``None`` where all is there.

    Args:
        kind: what is kept.
        folder: folder of the store.
        fingerprint: what makes the values now.
        there, wanted: different rows that the store has, and that are asked for.
    """
    if there == wanted:
        return None
    if _has_parts(folder):
        return (
            f"{kind}: {there:,} of {wanted:,} different rows are in the cache; the others are new, or their text has "
            "changed"
        )
    near = nearest_fingerprint(folder, kind, fingerprint)
    if near is None:
        return f"{kind}: nothing is in the cache yet"
    return f"{kind}: computed anew, since what is in the cache was made in another way: {'; '.join(near)}"


def _has_parts(folder: Path) -> bool:
    """Whether a folder holds values: a table, or the keys of vectors."""
    return any(folder.glob("*.parquet")) or any(folder.glob("*.keys.npy"))


class ScoreStore:
    """Values under one fingerprint, in memory and as append-only parquet parts of ``key, value, why``.

    Use as a context manager: on leaving, also by an interrupt, what was taken is on disk.

    Args:
        kind: what is kept, the first part of the folder's name.
        fingerprint: what made the values.
        dtype: polars type of the values.
        on_disk: with ``False``, nothing is read from or written to the disk.
    """

    def __init__(self, kind: str, fingerprint: dict[str, Any], dtype: Any, on_disk: bool = True) -> None:
        self.folder = cache_dir() / "scores" / f"{kind}-{fingerprint_hash(fingerprint)}"
        self.values: dict[str, tuple[Any, str | None]] = {}
        self._schema = {"key": pl.String, "value": dtype, "why": pl.String}
        self._kind, self._on_disk = kind, on_disk
        self._fingerprint = fingerprint
        self._fresh: list[str] = []
        self._kept: list[str] = []
        self._parts: list[Path] = []
        self._written = time.monotonic()

    def missing(self, keys: Sequence[str], progress: Progress | None = None) -> list[int]:
        """Load what the disk has of these keys; positions of the others, each key once.

        Args:
            keys: content key of each row.
            progress: told why some are missing.
        """
        first: dict[str, int] = {}
        for i, key in enumerate(keys):
            first.setdefault(key, i)
        if self._on_disk and self.folder.is_dir():
            self._load(list(first))
            os.utime(self.folder)
        if progress is not None and (reason := self.why_anew(keys)):
            progress.note(reason)
        return [i for key, i in first.items() if key not in self.values]

    def _load(self, keys: list[str]) -> None:
        wanted = pl.LazyFrame({"key": keys}, schema={"key": pl.String})
        for part in sorted(self.folder.glob("*.parquet")):
            try:
                rows = pl.scan_parquet(part, glob=False).join(wanted, on="key", how="semi").collect()
            except FileNotFoundError:
                continue  # another process has merged its parts; at worst these rows are computed again
            except pl.exceptions.ComputeError as error:
                part.rename(part.with_suffix(".unreadable"))
                warnings.warn(f"{part}: set aside, it cannot be read: {error}", CacheWarning, stacklevel=4)
                continue
            self.values.update((key, (value, why)) for key, value, why in rows.iter_rows())

    def why_anew(self, keys: Sequence[str]) -> str | None:
        """Why some of these keys are not in the store, for people; ``None`` where all are or nothing is kept on disk.

        Args:
            keys: what was passed to :meth:`missing`.
        """
        wanted = set(keys)
        there = len(wanted & self.values.keys())
        if not self._on_disk:
            return None
        return why_anew(self._kind, self.folder, self._fingerprint, there, len(wanted))

    def add(self, key: str, value: Any, why: str | None = None) -> None:
        """Take a value, or a null with its reason; on disk after at most some fifteen seconds of further calls."""
        self.values[key] = (value, why)
        self._fresh.append(key)
        if time.monotonic() - self._written > _SECONDS_BETWEEN_PARTS:
            self.flush()

    def column(self, keys: Sequence[str]) -> pl.DataFrame:
        """The values of these keys: ``value`` and ``why``, one row a key."""
        schema = {"value": self._schema["value"], "why": pl.String}
        return pl.DataFrame([self.values[key] for key in keys], schema=schema, orient="row")

    def flush(self) -> None:
        """Write what was taken since the last part."""
        self._written = time.monotonic()
        if self._fresh and self._on_disk:
            self._parts.append(self._write(self._rows(self._fresh)))
            self._kept += self._fresh
        self._fresh.clear()

    def _rows(self, keys: list[str]) -> pl.DataFrame:
        return pl.DataFrame([(key, *self.values[key]) for key in keys], schema=self._schema, orient="row")

    def _write(self, rows: pl.DataFrame) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        about = json.dumps(self._fingerprint, indent=2, sort_keys=True) + "\n"
        replace_file(self.folder / FINGERPRINT, lambda beside: beside.write_text(about))
        part = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
        replace_file(part, rows.write_parquet)
        return part

    def __enter__(self) -> ScoreStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        if len(self._parts) > 1:
            self._write(self._rows(self._kept))
            for part in self._parts:
                part.unlink(missing_ok=True)
