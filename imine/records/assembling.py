"""Records of several files put together: ids, sources, and names for the user's own columns."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from imine.records.conversations import Turns
from imine.records.extract import Extracted
from imine.records.ids import choose_ids, content_keys, make_unique
from imine.records.layouts import Layout
from imine.records.record_set import FileDecision, RecordSet
from imine.records.storage import split_suffixes
from imine.records.tables import MISSING, BadRow, Table
from imine.records.values import stack, value_text

CANONICAL = ("id", "source", "instruction", "input", "output")


@dataclass(frozen=True)
class ReadFile:
    """One file as it was read.

    Attributes:
        table: its rows.
        layout: what its columns mean; ``unknown``, without columns, where not one row could be read.
        records: what the rows gave.
        bad: rows that could not be read, in order.
        ids: the user's id of each row of the table, ``None`` where it has none that can be one.
        original_ids: the same as text, whatever it is; ``None`` where it has none at all.
    """

    table: Table
    layout: Layout
    records: Extracted
    bad: list[BadRow]
    ids: list[str | None]
    original_ids: list[str | None]

    @property
    def own_columns(self) -> list[str]:
        """Columns that are no field of the layout."""
        if not len(self.table):
            return []
        fields = set(self.layout.columns.values())
        return [name for name in self.table.names() if name not in fields]


def assemble(files: Sequence[ReadFile], bad: tuple[BadRow, ...], turns: Turns) -> RecordSet:
    """The records of all files.

    Args:
        files: the files; at least one of them gave a record.
        bad: rows that were left out.
        turns: policy for conversations of several turns.
    """
    renamed = _renamed(files)
    frame = stack([_frame(file, renamed) for file in files])
    places = pl.concat(_places(file, number) for number, file in enumerate(files))
    own = [file.ids[row] for file in files for row in file.records.rows]
    original = [file.original_ids[row] for file in files for row in file.records.rows]
    ids = _ids(frame, places, own, turns)
    names = ["id", *frame.columns]
    kept = free_name("id_original", frame.columns)
    if any(original) and ids != original:
        names.append(kept)
        frame = frame.with_columns(pl.Series(kept, original, dtype=pl.String))
    frame = frame.with_columns(pl.Series("id", ids, dtype=pl.String)).select(names)
    notes = _id_notes(own, original, places, kept) if any("id" in f.layout.columns for f in files) else ()
    places = places.with_columns(frame["id"])
    decisions = tuple(_decision(file) for file in files)
    return RecordSet(frame, decisions, bad, notes, tuple(file.table.light() for file in files), places)


def free_name(name: str, taken: Container[str]) -> str:
    """The name, or the first of ``name_2``, ``name_3`` and so on that is not taken.

    Examples:
        >>> free_name("id_original", {"id_original"}), free_name("a", {"b"})
        ('id_original_2', 'a')
    """
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _renamed(files: Sequence[ReadFile]) -> dict[str, str]:
    """New names of columns that are named like one of the frame's, the same in all files."""
    own = dict.fromkeys(name for file in files for name in file.own_columns)
    renamed: dict[str, str] = {}
    for name in CANONICAL:
        if name in own:
            renamed[name] = free_name(f"{name}_original", own)
    return renamed


def _id_notes(
    own: Sequence[str | None], original: Sequence[str | None], places: pl.DataFrame, kept: str
) -> tuple[str, ...]:
    columns = (pl.Series("own", own, dtype=pl.String), pl.Series("original", original, dtype=pl.String))
    rows = places.select("table", "row").with_columns(columns).unique(["table", "row"])
    shared = rows.filter(pl.col("own").is_not_null() & pl.col("own").is_duplicated()).height
    none = rows["original"].null_count()
    odd = rows["own"].null_count() - none
    notes = []
    if shared:
        notes.append(f"{shared:,} rows share their id with another row: their ids are made of their content")
    if none:
        notes.append(f"rows without an id: {none:,}; theirs is made of their content")
    if odd:
        notes.append(f"rows with an id that is neither text nor a whole number: {odd:,}; theirs is made of "
                     "their content")  # fmt: skip
    if (shared or odd) and kept != "id_original":
        notes.append(f"the ids as they came stand in {kept!r}: the files have a column 'id_original'")
    return tuple(notes)


def _decision(file: ReadFile) -> FileDecision:
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


def _places(file: ReadFile, number: int) -> pl.DataFrame:
    count = len(file.records.rows)
    return pl.DataFrame(
        {
            "table": pl.repeat(number, count, dtype=pl.Int64, eager=True),
            "row": pl.Series(file.records.rows, dtype=pl.Int64),
            "cut": pl.Series(file.records.cuts, dtype=pl.Int64),
            "conversation": pl.repeat(file.layout.conversation, count, dtype=pl.String, eager=True),
        }
    )


def _frame(file: ReadFile, renamed: Mapping[str, str]) -> pl.DataFrame:
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
    own = table.frame(file.own_columns)
    own = own.rename({name: new for name, new in renamed.items() if name in own.columns})
    if own.width and len(records.rows) and records.rows != list(range(len(table))):
        own = own[records.rows]
    elif not records.rows:
        own = own.clear()
    return canonical.hstack(own.get_columns())


def _source_text(value: Any, stem: str) -> str:
    if value is None or value is MISSING or value == "":
        return stem
    return value_text(value)


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
