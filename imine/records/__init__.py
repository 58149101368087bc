"""Records: reading instruction data in any common format, and writing it back in the one it came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from imine.progress import Progress
from imine.records.conversations import Turns
from imine.records.ids import content_ids, content_keys
from imine.records.reading import read_records
from imine.records.record_set import FileDecision, RecordSet
from imine.records.storage import PathLike
from imine.records.tables import BadRow
from imine.records.writing import write_frame

__all__ = [
    "BadRow",
    "FileDecision",
    "RecordSet",
    "Turns",
    "content_ids",
    "content_keys",
    "read",
    "read_records",
    "write",
]


def read(
    paths: PathLike | Sequence[PathLike],
    *,
    format: str = "auto",
    map: Mapping[str, str | None] | None = None,
    turns: Turns = "first",
    on_bad_row: Literal["fail", "skip"] = "fail",
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Read instruction data: JSON lines, JSON arrays, CSV, TSV or Parquet, text also ``.gz`` and ``.zst``.

    Understood are the Alpaca family with its common spellings, prompt/completion, ShareGPT
    ``conversations`` and OpenAI ``messages``; docs/formats.md has the tables. A system message, and a
    column ``system`` or ``system_prompt``, is put before the instruction with a blank line between.
    Use :func:`read_records` to see how each file was understood, to get the bad rows, and to write rows
    back in the layout they came in.

    Args:
        paths: a file, a glob pattern, or a list of both.
        format: ``auto``; a container (``jsonl``, ``json``, ``csv``, ``tsv``, ``parquet``); a layout
            (``alpaca``, ``prompt-completion``, ``sharegpt``, ``messages``); or both: ``csv:alpaca``.
        map: columns of some fields: ``{"instruction": "my_question", "output": "my_answer"}``; ``None``
            for a field says that no column is it.
        turns: what a conversation of several turns gives: ``first`` reply or ``last`` reply as one
            record, ``each`` reply as a record of its own with ``#1``, ``#2`` after the id, or all
            ``joined``. Turns before the one answered go into ``input``, labelled with their role.
        on_bad_row: ``fail`` at the first row that cannot be read, or ``skip`` such rows.
        progress: is told of each file.

    Returns:
        ``id, source, instruction, input, output`` (String, no nulls), then the user's other columns.
        ``id`` is the user's own where it is text or a whole number that no other row has, else made of
        the content (``id_original`` then has the user's own as text). ``source`` is the user's own, or
        the file's name without suffixes. A column of the user's that is named like one of the five but
        is not it, appears as ``<name>_original``, or ``<name>_original_2`` where that is taken.

    Raises:
        FormatError: a file's format cannot be told; the message says what to give. Or no file gives a
            record.
        BadRowError: a row cannot be read; the message has file, line and reason.
        ValueError: ``turns`` or ``on_bad_row`` is none of the values above.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "pool.jsonl"
        >>> _ = path.write_text('{"question": "2 + 2?", "answer": "4", "level": 1}')
        >>> read(path).drop("id").rows(named=True)
        [{'source': 'pool', 'instruction': '2 + 2?', 'input': '', 'output': '4', 'level': 1}]
    """
    records = read_records(
        paths, format=format, map=map, turns=turns, on_bad_row=on_bad_row, progress=progress
    )
    return records.frame


def write(frame: pl.DataFrame, path: PathLike, like: RecordSet | None = None) -> None:
    """Write a frame in the container that the suffix names, in one step.

    Args:
        frame: any polars frame; with ``like``, one with the column ``id``.
        path: ends in ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` or ``.parquet``; text also ``.gz``, ``.zst``.
        like: records that the rows came from: instead of the frame's columns, the rows with its ids are
            written in the layout they came in.

    Raises:
        FormatError: the suffix says no format.
        ValueError: an id is not among the records of ``like``.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mined.jsonl"
        >>> write(pl.DataFrame({"instruction": ["Grüße!"], "output": ["Hallo"]}), path)
        >>> path.read_text(encoding="utf-8")
        '{"instruction":"Grüße!","output":"Hallo"}\\n'
    """
    if like is None:
        write_frame(frame, Path(path))
    else:
        like.write(path, frame["id"])
