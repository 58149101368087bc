"""Scores kept on disk between runs, keyed on content, one folder for each fingerprint.

A stopped run loses at most the rows since the last part was written, and a second run computes nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from imine.errors import CacheWarning
from imine.files import replace_file
from imine.indicators.models import cache_dir

_SECONDS_BETWEEN_PARTS = 15.0


def fingerprint_hash(fingerprint: dict[str, Any]) -> str:
    """Short hash of a fingerprint.

    Examples:
        >>> fingerprint_hash({"indicator": "mtld"}) == fingerprint_hash({"indicator": "mtld"})
        True
    """
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:24]


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
        self._on_disk = on_disk
        self._fingerprint = fingerprint
        self._fresh: list[str] = []
        self._parts: list[Path] = []
        self._written = time.monotonic()

    def missing(self, keys: Sequence[str]) -> list[int]:
        """Load what the disk has of these keys; positions of the others, each key once."""
        first: dict[str, int] = {}
        for i, key in enumerate(keys):
            first.setdefault(key, i)
        if self._on_disk:
            self._load(list(first))
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
            rows = [(key, *self.values[key]) for key in self._fresh]
            self._parts.append(self._write(pl.DataFrame(rows, schema=self._schema, orient="row")))
        self._fresh.clear()

    def _write(self, rows: pl.DataFrame) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "fingerprint.json").write_text(
            json.dumps(self._fingerprint, indent=2, sort_keys=True) + "\n"
        )
        part = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
        replace_file(part, rows.write_parquet)
        return part

    def __enter__(self) -> ScoreStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        if len(self._parts) > 1:
            merged = pl.concat([pl.read_parquet(part, memory_map=False) for part in self._parts])
            self._write(merged)
            for part in self._parts:
                part.unlink(missing_ok=True)
