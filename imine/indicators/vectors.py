"""Embeddings kept on disk between runs and read through memory maps, keyed on content, a folder a fingerprint.

A part is two files: the vectors, a plain ``.npy``, and beside them the keys, which are written last: a part without
keys is not there. A stopped run loses at most the rows since the last part was written.
"""

from __future__ import annotations

import json
import os
import time
import uuid
import warnings
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imine.errors import CacheWarning
from imine.files import replace_file
from imine.indicators.cache import FINGERPRINT, fingerprint_hash, why_anew
from imine.indicators.models import cache_dir
from imine.progress import Progress

_SECONDS_BETWEEN_PARTS = 15.0
# Rows copied at once where parts are merged.
_ROWS_AT_ONCE = 8192
# A content key as 16 bytes, and how many tokens of the text were cut.
_KEY = np.dtype([("key", "V16"), ("cut", "<u4")])
_DIGITS = 32


@dataclass(frozen=True, slots=True)
class _Part:
    vectors: NDArray[np.float32]
    about: NDArray[Any]
    stem: Path | None = None


class VectorStore:
    """Vectors under one fingerprint, as append-only parts that are read through memory maps.

    Use as a context manager: on leaving, also by an interrupt, what was taken is on disk.

    Args:
        kind: what is kept, the first part of the folder's name.
        fingerprint: what made the vectors.
        on_disk: with ``False``, nothing is read from or written to the disk.
    """

    def __init__(self, kind: str, fingerprint: dict[str, Any], on_disk: bool = True) -> None:
        self.folder = cache_dir() / "scores" / f"{kind}-{fingerprint_hash(fingerprint)}"
        self._kind, self._fingerprint, self._on_disk = kind, fingerprint, on_disk
        self._parts: list[_Part] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._fresh: list[tuple[list[str], NDArray[np.float32], NDArray[np.int64]]] = []
        self._mine: list[int] = []
        self._written = time.monotonic()

    def missing(self, keys: Sequence[str], progress: Progress | None = None) -> list[int]:
        """Look up these keys on disk; positions of those that are not there, each key once.

        Args:
            keys: content key of each row.
            progress: told why some are missing.
        """
        first: dict[str, int] = {}
        for i, key in enumerate(keys):
            first.setdefault(key, i)
        if self._on_disk and self.folder.is_dir():
            os.utime(self.folder)
            known = {part.stem for part in self._parts}
            for path in sorted(self.folder.glob("*.keys.npy")):
                stem = path.with_name(path.name.removesuffix(".keys.npy"))
                if stem not in known and (part := self._read(stem)) is not None:
                    self._parts.append(part)
        for number in range(len(self._parts)):
            self._enter(number, first)
        absent = [i for key, i in first.items() if key not in self._places]
        if progress is not None and self._on_disk:
            there = len(first) - len(absent)
            if reason := why_anew(self._kind, self.folder, self._fingerprint, there, len(first)):
                progress.note(reason)
        return absent

    def _read(self, stem: Path) -> _Part | None:
        files = stem.with_name(f"{stem.name}.keys.npy"), stem.with_name(f"{stem.name}.vectors.npy")
        try:
            about, vectors = np.load(files[0]), np.load(files[1], mmap_mode="r")
            if about.dtype.names == _KEY.names and about.dtype != _KEY:
                return None  # of an earlier version, which kept whether a text was cut, not by how much
            if about.dtype != _KEY or vectors.dtype != np.float32 or vectors.shape[:1] != about.shape:
                raise ValueError(
                    f"{len(about)} keys of {about.dtype}, vectors {vectors.shape} of {vectors.dtype}"
                )
        except FileNotFoundError:
            return None  # another process has merged its parts; at worst these rows are computed again
        except (OSError, ValueError, EOFError) as error:
            files[0].rename(files[0].with_suffix(".unreadable"))
            warnings.warn(f"{files[0]}: set aside, it cannot be read: {error}", CacheWarning, stacklevel=4)
            return None
        return _Part(vectors, about, stem)

    def _enter(self, number: int, wanted: Container[str]) -> None:
        """Remember where a part has the keys that are wanted."""
        digits = self._parts[number].about["key"].tobytes().hex()
        for row, start in enumerate(range(0, len(digits), _DIGITS)):
            key = digits[start : start + _DIGITS]
            if key in wanted:
                self._places[key] = number, row

    def add(self, keys: Sequence[str], vectors: NDArray[np.float32], cut: NDArray[np.int64]) -> None:
        """Take vectors; on disk after at most some fifteen seconds of further calls.

        Args:
            keys: content keys, 32 hexadecimal digits each.
            vectors: (keys, dimensions).
            cut: (keys,), tokens of the text beyond what was read of it.
        """
        self._fresh.append((list(keys), np.asarray(vectors, dtype=np.float32), cut))
        if time.monotonic() - self._written > _SECONDS_BETWEEN_PARTS:
            self.flush()

    def flush(self) -> None:
        """Write what was taken since the last part, and let go of it in memory."""
        self._written = time.monotonic()
        if not self._fresh:
            return
        keys = [key for part, _, _ in self._fresh for key in part]
        about = np.zeros(len(keys), dtype=_KEY)
        about["key"] = np.frombuffer(bytes.fromhex("".join(keys)), dtype="V16")
        about["cut"] = np.concatenate([cut for _, _, cut in self._fresh])
        part = _Part(np.concatenate([vectors for _, vectors, _ in self._fresh]), about)
        self._fresh.clear()
        if self._on_disk:
            part = self._read(self._write([part])) or part
            self._mine.append(len(self._parts))
        self._parts.append(part)
        self._enter(len(self._parts) - 1, set(keys))

    def _write(self, parts: list[_Part]) -> Path:
        replace_file(self.folder / FINGERPRINT, self._write_fingerprint)
        stem = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        about = np.concatenate([part.about for part in parts])
        replace_file(stem.with_name(f"{stem.name}.vectors.npy"), lambda beside: _save_vectors(beside, parts))
        replace_file(stem.with_name(f"{stem.name}.keys.npy"), lambda beside: _save(beside, about))
        return stem

    def _write_fingerprint(self, beside: Path) -> None:
        beside.write_text(json.dumps(self._fingerprint, indent=2, sort_keys=True) + "\n")

    def take(self, keys: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The vectors of these keys, (keys, dimensions), and how many tokens of each text were cut.

        Raises:
            KeyError: a key that is not in the store.
        """
        self.flush()
        if not keys:
            return np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.int64)
        places = np.array([self._places[key] for key in keys])
        vectors = np.empty((len(keys), self._parts[places[0, 0]].vectors.shape[1]), dtype=np.float32)
        cut = np.zeros(len(keys), dtype=np.int64)
        for number in np.unique(places[:, 0]):
            rows = np.flatnonzero(places[:, 0] == number)
            part = self._parts[number]
            vectors[rows], cut[rows] = part.vectors[places[rows, 1]], part.about["cut"][places[rows, 1]]
        return vectors, cut

    def __enter__(self) -> VectorStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        if len(self._mine) > 1:
            self._merge()

    def _merge(self) -> None:
        """Put the parts of this run into one."""
        parts = [self._parts[number] for number in self._mine]
        merged = self._read(self._write(parts))
        if merged is None:
            return
        self._mine = [len(self._parts)]
        self._parts.append(merged)
        self._enter(len(self._parts) - 1, set(self._places))
        for part in parts:
            if part.stem is not None:
                for ending in ("keys", "vectors"):
                    part.stem.with_name(f"{part.stem.name}.{ending}.npy").unlink(missing_ok=True)


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.save(file, array)


def _save_vectors(path: Path, parts: list[_Part]) -> None:
    shape = sum(len(part.about) for part in parts), parts[0].vectors.shape[1]
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            for start in range(0, len(part.about), _ROWS_AT_ONCE):
                rows = part.vectors[start : start + _ROWS_AT_ONCE]
                file.write(np.ascontiguousarray(rows, dtype="<f4").tobytes())
