"""One function for all formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from imine.errors import FormatError
from imine.exports import axolotl, hub, llama_factory
from imine.exports.about import About
from imine.exports.layouts import LAYOUTS
from imine.records.storage import CONTAINER_OF_SUFFIX, side_path, split_suffixes
from imine.records.writing import write_frame

FORMATS = ("alpaca", "sharegpt", "messages", "parquet", "huggingface", "llama-factory", "axolotl")
"""Names of the formats."""

_SUFFIXES = {
    "alpaca": ("json", "jsonl"),
    "sharegpt": ("json", "jsonl"),
    "messages": ("json", "jsonl"),
    "parquet": ("parquet",),
}
_ENDINGS = {
    "alpaca": ".json",
    "sharegpt": ".json",
    "messages": ".jsonl",
    "parquet": ".parquet",
    "axolotl": ".yaml",
}


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote.

    Attributes:
        files: all files, that of the rows first.
        rejected: the file of the rejected rows; ``None`` without any.
    """

    files: tuple[Path, ...]
    rejected: Path | None


def export(
    records: pl.DataFrame,
    path: str | Path,
    format: str,
    *,
    rejected: pl.DataFrame | None = None,
    about: About | None = None,
) -> Exported:
    """Write records for another program, whole or not at all, file by file.

    A record is one exchange, the one that was scored: earlier turns of a conversation stand, labelled, in its input
    (``docs/formats.md``). The columns beside instruction, input and output are carried in every format; one that is
    named like the format's own key becomes ``<name>_original``.

    Args:
        records: ``instruction`` and ``output``, also ``input`` and others, as :func:`imine.read` gives them.
        path: for ``alpaca``, ``sharegpt`` and ``messages`` a file ending in ``.json`` or ``.jsonl``, also ``.gz`` or
            ``.zst``; for ``parquet`` one in ``.parquet``; for ``huggingface`` and ``llama-factory`` a folder; for
            ``axolotl`` the file of the block, ``.yaml``, beside which the rows go into a ``.jsonl``.
        format: one of :data:`FORMATS`.
        rejected: records with the column ``imine_reason``, written beside in the same layout.
        about: name of the data set and what its card tells.

    Raises:
        FormatError: an unknown format, a path or a name that does not fit it, or records without text.

    Examples:
        >>> import tempfile
        >>> rows = pl.DataFrame({"id": ["a"], "instruction": ["2 + 2?"], "input": [""], "output": ["4"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = export(rows, f"{folder}/mined.jsonl", "messages").files[0]
        ...     print(written.read_text(), end="")
        {"messages":[{"role":"user","content":"2 + 2?"},{"role":"assistant","content":"4"}],"id":"a"}
    """
    path, about = Path(path), about or About()
    check_export(path, format, about.name)
    if not about.name:
        about = replace(about, name=_stem(path, format))
    files = _WRITERS[format](records, rejected, path, about)
    return Exported(tuple(f for f in files if f is not None), files[-1])


def check_export(path: Path, format: str, name: str = "") -> None:
    """Refuse, before any work, a format that is not known, or a path or a name that does not fit it.

    Args:
        path, format: as for :func:`export`.
        name: of the data set; by default that of the path.

    Raises:
        FormatError: says what is allowed.

    Examples:
        >>> check_export(Path("mined.csv"), "alpaca")
        Traceback (most recent call last):
        imine.errors.FormatError: mined.csv: rows as alpaca go into a file ending in .json, .jsonl
    """
    if format not in FORMATS:
        raise FormatError(f"no export format {format!r}; there are: {', '.join(FORMATS)}")
    if format in _SUFFIXES:
        container = CONTAINER_OF_SUFFIX.get(split_suffixes(path)[1])
        if container not in _SUFFIXES[format] or path.is_dir():
            allowed = ", ".join(f".{suffix}" for suffix in _SUFFIXES[format])
            raise FormatError(f"{path}: rows as {format} go into a file ending in {allowed}")
    elif format == "axolotl":
        if path.suffix not in (".yaml", ".yml") or path.is_dir():
            raise FormatError(f"{path}: the block for axolotl goes into a file ending in .yaml")
    elif path.exists() and not path.is_dir():
        raise FormatError(f"{path}: {format} needs a folder, and this is a file")
    elif format == "huggingface":
        hub.check_card(path)
    elif format == "llama-factory":
        llama_factory.check_folder(path, name or _stem(path, format))


def default_path(output: Path, format: str) -> Path:
    """Where an export goes beside the mined rows, unless told.

    Examples:
        >>> default_path(Path("out/mined.jsonl.gz"), "alpaca").as_posix()
        'out/mined.alpaca.json'
        >>> default_path(Path("out/mined.jsonl"), "huggingface").as_posix()
        'out/mined.huggingface'
        >>> default_path(Path("out/mined.jsonl"), "parquet").as_posix()
        'out/mined.parquet'
    """
    if format == "parquet":  # the suffix says the format; only mined rows that end in it too need a word more
        plain = side_path(output, "parquet", "")
        return plain if plain != output else side_path(output, "export")
    return side_path(output, format, _ENDINGS.get(format, ""))


def files_of(path: Path, format: str, name: str = "", *, rejected: bool = True) -> tuple[Path, ...]:
    """The files that an export writes; all are replaced, but the descriptions of llama-factory get an entry.

    Args:
        path, format: as for :func:`export`.
        name: of the data set; by default that of the path.
        rejected: whether rejected rows are written too.

    Examples:
        >>> [file.as_posix() for file in files_of(Path("mined.yaml"), "axolotl")]
        ['mined.jsonl', 'mined.yaml', 'mined.rejected.jsonl']
    """
    if format == "axolotl":
        first, *more, last = axolotl.paths(path)
    elif format == "huggingface":
        first, *more, last = hub.paths(path)
    elif format == "llama-factory":
        first, *more, last = llama_factory.paths(path, name or _stem(path, format))
    else:
        first, more, last = path, [], side_path(path, "rejected")
    return (first, *more, last) if rejected else (first, *more)


def _stem(path: Path, format: str) -> str:
    return split_suffixes(path)[0] if format in _ENDINGS else path.name


def _single(format: str) -> Callable[..., list[Path | None]]:
    def write(
        records: pl.DataFrame, rejected: pl.DataFrame | None, path: Path, about: About
    ) -> list[Path | None]:
        write_frame(LAYOUTS[format](records), path)
        beside = None if rejected is None else side_path(path, "rejected")
        if rejected is not None and beside is not None:
            write_frame(LAYOUTS[format](rejected), beside)
        return [path, beside]

    return write


_WRITERS: dict[str, Callable[..., list[Path | None]]] = {
    **{name: _single(name) for name in LAYOUTS},
    "huggingface": hub.write_dataset,
    "llama-factory": llama_factory.write_llama_factory,
    "axolotl": axolotl.write_axolotl,
}
