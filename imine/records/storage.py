"""Files as bytes: which ones are meant, compression, and writing in one step."""

from __future__ import annotations

import glob
import gzip
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from imine.errors import FormatError

_PIECES_AT_ONCE = 2_000

PathLike = str | os.PathLike[str]

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
PARQUET_MAGIC = b"PAR1"

CONTAINER_OF_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_COMPRESSIONS = {".gz": "gz", ".zst": "zst"}


def split_suffixes(path: Path) -> tuple[str, str, str]:
    """Stem, suffix of the container and compression of a file name, in lower case but for the stem.

    Examples:
        >>> split_suffixes(Path("pool.v2.JSONL.gz")), split_suffixes(Path("notes"))
        (('pool.v2', '.jsonl', 'gz'), ('notes', '', ''))
    """
    compression = _COMPRESSIONS.get(path.suffix.lower(), "")
    inner = Path(path.stem) if compression else Path(path.name)
    return inner.stem, inner.suffix.lower(), compression


def resolve_paths(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    """The files meant by a path, a glob pattern or a list of both, patterns in sorted order.

    Raises:
        FormatError: a file does not exist, a pattern matches nothing, a file is meant twice.
    """
    wanted = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    files = [file for one in wanted for file in _expand(os.fspath(one))]
    if not files:
        raise FormatError("no file was given to read")
    seen: set[Path] = set()
    for file in files:
        if (real := file.resolve()) in seen:
            raise FormatError(f"{file}: this file is given twice; name it once")
        seen.add(real)
    return files


def _expand(path: str) -> list[Path]:
    if os.path.isfile(path):
        return [Path(path)]
    if os.path.isdir(path):
        raise FormatError(
            f"{path}: is a folder; name its files, or a pattern such as {path.rstrip('/')}/*.jsonl"
        )
    if glob.has_magic(path):
        found = [Path(p) for p in sorted(glob.glob(path, recursive=True)) if os.path.isfile(p)]
        if not found:
            raise FormatError(f"{path}: no file matches this pattern")
        return found
    raise FormatError(f"{path}: no such file")


def read_head(path: Path, size: int = 4) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(size)


def read_bytes(path: Path) -> bytes:
    """The content of a file, decompressed where its first bytes say gzip or zstd.

    Raises:
        FormatError: the compressed data is damaged or cut off.
    """
    data = path.read_bytes()
    if data.startswith(GZIP_MAGIC):
        try:
            return gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise FormatError(f"{path}: the gzip data is damaged or cut off ({error})") from error
    if data.startswith(ZSTD_MAGIC):
        return _unzstd(path, data)
    return data


def _unzstd(path: Path, data: bytes) -> bytes:
    import zstandard

    # One object a frame: the stream reader takes a file that is cut off for a complete one.
    parts: list[bytes] = []
    while data:
        frame = zstandard.ZstdDecompressor().decompressobj()
        try:
            parts.append(frame.decompress(data))
        except zstandard.ZstdError as error:
            raise FormatError(f"{path}: the zstd data is damaged ({error})") from error
        if not frame.eof:
            raise FormatError(f"{path}: the zstd data is cut off")
        data = frame.unused_data
    return b"".join(parts)


def target_container(path: Path) -> tuple[str, str]:
    """Container (``jsonl``, ``json``, ``csv``, ``parquet``) and compression of a file to be written.

    Raises:
        FormatError: the suffix names none.
    """
    _, suffix, compression = split_suffixes(path)
    container = CONTAINER_OF_SUFFIX.get(suffix)
    if container is None:
        allowed = ", ".join(CONTAINER_OF_SUFFIX)
        raise FormatError(
            f"{path}: the suffix says no format to write; allowed: {allowed}, text also .gz or .zst"
        )
    if container == "parquet" and compression:
        raise FormatError(f"{path}: Parquet is compressed inside; leave .{compression} away")
    return container, compression


def check_target(path: Path, inputs: Sequence[Path]) -> None:
    """Tell before any work that a file cannot be written, or that it would replace one that is read.

    Args:
        path: the file to be written.
        inputs: the files that are read, patterns expanded (:func:`resolve_paths`).

    Raises:
        FormatError: it is a folder; its suffix names no format; its folder is not there or cannot be
            written to; it is one of the inputs, by another name or a link too.

    Examples:
        >>> check_target(Path("mined.parquet"), [Path("pool.parquet")])
        >>> check_target(Path("pool.jsonl"), [Path("./pool.jsonl")])
        Traceback (most recent call last):
        imine.errors.FormatError: pool.jsonl: would overwrite the input pool.jsonl; name another output
    """
    if path.is_dir():
        raise FormatError(f"{path}: is a folder; name a file in it, such as {path / 'mined.jsonl'}")
    target_container(path)
    folder = path.resolve().parent
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise FormatError(f"{path}: the folder {folder} {what}; make it, or name another output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FormatError(f"{path}: the folder {folder} cannot be written to; name another output")
    for file in inputs:
        if same_file(path, file):
            raise FormatError(f"{path}: would overwrite the input {file}; name another output")


def same_file(a: Path, b: Path) -> bool:
    """Whether two paths are one file, or would be if they were written."""
    # Hard links and file systems that ignore case have several real names for one file.
    return a.resolve() == b.resolve() or (a.exists() and b.exists() and a.samefile(b))


def side_path(path: Path, word: str, suffix: str | None = None) -> Path:
    """Path of a further output beside one: its name with a word before the suffixes.

    Args:
        path: the output.
        word: what the further one holds.
        suffix: its suffix, with the dot; by default the suffix and compression of ``path``.

    Examples:
        >>> side_path(Path("out/mined.v1.jsonl.gz"), "rejected").as_posix()
        'out/mined.v1.rejected.jsonl.gz'
        >>> side_path(Path("mined.v1.jsonl.gz"), "rejected", suffix=".parquet").name
        'mined.v1.rejected.parquet'
    """
    stem, container, _ = split_suffixes(path)
    if container not in CONTAINER_OF_SUFFIX:
        stem += path.name[len(stem) : len(stem) + len(container)]
    ending = path.name[len(stem) :] if suffix is None else suffix
    return path.with_name(f"{stem}.{word}{ending}")


def write_atomic(path: Path, fill: Callable[[Any], None], compression: str = "") -> None:
    """Write a file in one step: it is there whole, or as it was before.

    Args:
        path: the file; its folder is made if need be.
        fill: is called with the open binary file.
        compression: ``gz``, ``zst`` or none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            _fill_compressed(file, fill, compression)
        os.chmod(name, _mode(path))
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def write_text(path: Path, pieces: Iterable[str], compression: str = "") -> None:
    """Write text as UTF-8 in one step, piece by piece.

    Args:
        path: the file.
        pieces: what it holds.
        compression: ``gz``, ``zst`` or none.
    """

    def fill(file: Any) -> None:
        # One call for many pieces: a call for each costs more than its compression.
        rest = iter(pieces)
        while batch := "".join(islice(rest, _PIECES_AT_ONCE)):
            file.write(batch.encode())

    write_atomic(path, fill, compression)


def _fill_compressed(file: Any, fill: Callable[[Any], None], compression: str) -> None:
    if compression == "gz":
        # No name and no time inside: the same rows make the same bytes.
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
            fill(packed)
    elif compression == "zst":
        import zstandard

        with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as packed:
            fill(packed)
    else:
        fill(file)


def _mode(path: Path) -> int:
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
