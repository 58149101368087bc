"""Reading files into records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from imine.errors import BadRowError, FormatError
from imine.progress import Progress, SilentProgress
from imine.records.containers import load_table
from imine.records.conversations import POLICIES, Turns
from imine.records.extract import Extracted, extract
from imine.records.ids import choose_ids, content_keys, make_unique
from imine.records.layouts import FormatChoice, Layout, detect_layout, parse_format
from imine.records.record_set import FileDecision, RecordSet
from imine.records.storage import PathLike, resolve_paths, split_suffixes
from imine.records.tables import MISSING, BadRow, Table
from imine.records.values import dump_json, stack

CANONICAL = ("id", "source", "instruction", "input", "output")


@dataclass(frozen=True)
class _File:
    table: Table
    layout: Layout
    records: Extracted
    bad: list[BadRow]
    own_ids: list[str | None]  # one a row of the table


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
        files.append(_read_file(path, choice, map, turns, on_bad_row))
        progress.advance(1)
    progress.finish()
    bad = tuple(row for file in files for row in file.bad)
    if bad and on_bad_row == "fail":
        raise _bad_row_error(bad)
    return _assemble(files, bad, turns)


def _bad_row_error(bad: Sequence[BadRow]) -> BadRowError:
    first = bad[0]
    more = (
        f" {len(bad) - 1:,} more bad row{'s follow' if len(bad) > 2 else ' follows'}." if len(bad) > 1 else ""
    )
    place = "row" if first.file.endswith((".parquet", ".pq")) else "line"
    return BadRowError(
        f"{first.file}, {place} {first.line}: {first.reason}.{more} Mend the file, or leave such rows out "
        "and have them written aside: --on-bad-row skip (Python: on_bad_row='skip')"
    )


def _read_file(
    path: Path, choice: FormatChoice, mapping: Mapping[str, str | None] | None, turns: Turns, on_bad_row: str
) -> _File:
    table = load_table(path, choice.container)
    if not len(table) and table.bad:
        if on_bad_row == "fail":
            raise _bad_row_error(table.bad)
        raise FormatError(f"{path}: not one row can be read; line {table.bad[0].line}: {table.bad[0].reason}")
    if not len(table) and not table.names():
        raise FormatError(f"{path}: holds no rows")
    layout = detect_layout(table, choice.layout, mapping)
    records = extract(table, layout, turns)
    bad = sorted((*table.bad, *records.bad), key=lambda row: row.line)
    column = layout.columns.get("id")
    own = [_id_text(v) for v in (table.values(column) if column else [None] * len(table))]
    return _File(table, layout, records, bad, own)


def _id_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _assemble(files: Sequence[_File], bad: tuple[BadRow, ...], turns: Turns) -> RecordSet:
    frame = stack([_frame(file) for file in files])
    places = pl.concat(_places(file, number) for number, file in enumerate(files))
    own = [file.own_ids[row] for file in files for row in file.records.rows]
    ids = _ids(frame, places, own, turns)
    given = any(own)
    names = [*CANONICAL, *(c for c in frame.columns if c not in CANONICAL)]
    frame = frame.with_columns(pl.Series("id", ids, dtype=pl.String))
    notes: tuple[str, ...] = ()
    if given and ids != own:
        names.append("id_original")
        frame = frame.with_columns(pl.Series("id_original", own, dtype=pl.String))
        notes = _id_notes(own, places)
    places = places.with_columns(frame["id"])
    decisions = tuple(_decision(file) for file in files)
    tables = tuple(file.table.light() for file in files)
    return RecordSet(frame.select(names), decisions, bad, notes, tables, places)


def _id_notes(own: Sequence[str | None], places: pl.DataFrame) -> tuple[str, ...]:
    rows = (
        places.select("table", "row")
        .with_columns(pl.Series("own", own, dtype=pl.String))
        .unique(["table", "row"])
    )
    shared = rows.filter(pl.col("own").is_not_null() & pl.col("own").is_duplicated()).height
    none = rows["own"].null_count()
    notes = []
    if shared:
        notes.append(f"{shared:,} rows share their id with another row: their ids are made of their content")
    if none:
        notes.append(f"rows without an id: {none:,}; theirs is made of their content")
    return tuple(notes)


def _decision(file: _File) -> FileDecision:
    rows = len(file.table) - len(file.records.bad)
    path, table, layout = str(file.table.path), file.table, file.layout
    return FileDecision(
        path,
        table.container,
        layout.name,
        layout.columns,
        rows,
        len(file.records.rows),
        len(file.bad),
        table.note,
    )


def _places(file: _File, number: int) -> pl.DataFrame:
    count = len(file.records.rows)
    return pl.DataFrame(
        {
            "table": pl.repeat(number, count, dtype=pl.Int64, eager=True),
            "row": pl.Series(file.records.rows, dtype=pl.Int64),
            "cut": pl.Series(file.records.cuts, dtype=pl.Int64),
            "conversation": pl.repeat(file.layout.conversation, count, dtype=pl.String, eager=True),
        }
    )


def _frame(file: _File) -> pl.DataFrame:
    table, records, columns = file.table, file.records, file.layout.columns
    stem = split_suffixes(table.path)[0]
    source = [stem] * len(records.rows)
    if "source" in columns:
        values = table.values(columns["source"])
        source = [_source_text(values[row], stem) for row in records.rows]
    texts = {
        "source": source,
        "instruction": records.instruction,
        "input": records.input,
        "output": records.output,
    }
    canonical = pl.DataFrame([pl.Series(name, v, dtype=pl.String) for name, v in texts.items()])
    own = table.frame([n for n in table.names() if n not in columns.values()])
    own = own.rename({n: f"{n}_original" for n in own.columns if n in CANONICAL})
    if own.width and len(records.rows) and records.rows != list(range(len(table))):
        own = own[records.rows]
    elif not records.rows:
        own = own.clear()
    return canonical.hstack(own.get_columns())


def _source_text(value: Any, stem: str) -> str:
    if value is None or value is MISSING or value == "":
        return stem
    return value if isinstance(value, str) else dump_json(value)


def _ids(frame: pl.DataFrame, places: pl.DataFrame, own: Sequence[str | None], turns: Turns) -> list[str]:
    if turns != "each" or places["cut"].null_count() == places.height:
        return choose_ids(own, lambda at: content_keys(frame[list(at)]))
    # One id a conversation, made of its last record, which holds all of it; then the number of the reply.
    row = places.select(pl.struct("table", "row").rle_id().alias("group"), "cut")
    last = (
        row.with_row_index("at")
        .group_by("group", maintain_order=True)
        .agg(pl.col("at").last())["at"]
        .to_list()
    )
    base = choose_ids([own[i] for i in last], lambda at: content_keys(frame[[last[i] for i in at]]))
    number = row.select(pl.int_range(pl.len()).over("group") + 1)[:, 0].to_list()
    groups, cuts = row["group"].to_list(), row["cut"].to_list()
    return make_unique(
        [base[g] if cut is None else f"{base[g]}#{k}" for g, cut, k in zip(groups, cuts, number, strict=True)]
    )
