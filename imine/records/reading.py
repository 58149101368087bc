"""Reading files into records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from imine.errors import BadRowError, FormatError, NoRecordsError
from imine.progress import Progress, SilentProgress
from imine.records.assembling import ReadFile, assemble
from imine.records.containers import load_table
from imine.records.conversations import POLICIES, Turns
from imine.records.extract import Extracted, extract
from imine.records.layouts import FormatChoice, Layout, detect_layout, parse_format
from imine.records.record_set import RecordSet
from imine.records.storage import PathLike, resolve_paths
from imine.records.tables import MISSING, BadRow
from imine.records.values import value_text

_NAMED_AT_MOST = 5


def read_records(
    paths: PathLike | Sequence[PathLike],
    *,
    format: str = "auto",
    map: Mapping[str, str | None] | None = None,
    turns: Turns = "first",
    on_bad_row: Literal["fail", "skip"] = "fail",
    progress: Progress | None = None,
) -> RecordSet:
    """Read instruction data, and keep what is needed to write it back.

    Arguments and errors are those of :func:`imine.records.read`.

    Returns:
        The records, how each file was understood, and the bad rows.
    """
    if turns not in POLICIES:
        raise ValueError(f"turns: {turns!r} is not one of {', '.join(POLICIES)}")
    if on_bad_row not in ("fail", "skip"):
        raise ValueError(f"on_bad_row: {on_bad_row!r} is not one of fail, skip")
    choice = parse_format(format)
    progress = progress or SilentProgress()
    found = resolve_paths(paths)
    progress.start("read", len(found), "files")
    files = []
    for path in found:
        files.append(_read_file(path, choice, map, turns))
        progress.advance(1)
    progress.finish()
    bad = tuple(row for file in files for row in file.bad)
    if bad and on_bad_row == "fail":
        raise _bad_row_error(bad)
    if not any(file.records.rows for file in files):
        raise _nothing_left(files, bad)
    return assemble(files, bad, turns)


def _bad_row_error(bad: Sequence[BadRow]) -> BadRowError:
    more = (
        f" {len(bad) - 1:,} more bad row{'s follow' if len(bad) > 2 else ' follows'}." if len(bad) > 1 else ""
    )
    return BadRowError(
        f"{_told(bad[0])}.{more} Mend the file, or leave such rows out "
        "and have them written aside: --on-bad-row skip (Python: on_bad_row='skip')"
    )


def _told(bad: BadRow) -> str:
    place = "row" if bad.file.endswith((".parquet", ".pq")) else "line"
    return f"{bad.file}, {place} {bad.line}: {bad.reason}"


def _nothing_left(files: Sequence[ReadFile], bad: Sequence[BadRow]) -> FormatError:
    reasons = []
    if bad:
        reasons.append(f"{len(bad):,} bad row{'' if len(bad) == 1 else 's'}, the first {_told(bad[0])}")
    empty = [str(file.table.path) for file in files if not len(file.table) and not file.bad]
    if empty:
        more = f" and {len(empty) - _NAMED_AT_MOST:,} more" if len(empty) > _NAMED_AT_MOST else ""
        reasons.append(f"no row in {', '.join(empty[:_NAMED_AT_MOST])}{more}")
    error = FormatError if bad else NoRecordsError
    return error(
        f"no record left of the files to read: {'; '.join(reasons)}. Mend them, name others, or say how to "
        "read them: --format, --map (Python: format=, map=)"
    )


def _read_file(
    path: Path, choice: FormatChoice, mapping: Mapping[str, str | None] | None, turns: Turns
) -> ReadFile:
    table = load_table(path, choice.container)
    if not len(table):
        return ReadFile(table, Layout("unknown", {}), Extracted(), list(table.bad), [], [])
    layout = detect_layout(table, choice.layout, mapping)
    records = extract(table, layout, turns)
    bad = sorted((*table.bad, *records.bad), key=lambda row: row.line)
    column = layout.columns.get("id")
    ids = table.values(column) if column else [None] * len(table)
    return ReadFile(table, layout, records, bad, list(map(_usable_id, ids)), list(map(_original_id, ids)))


def _usable_id(value: Any) -> str | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole or (isinstance(value, str) and value) else None


def _original_id(value: Any) -> str | None:
    return None if value is MISSING or value is None or value == "" else value_text(value)
