"""A file as rows, before anybody knows what its columns mean."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from imine.records.plain import frame_texts
from imine.records.values import dump_json, series_of, stack

MISSING = object()


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be read.

    Attributes:
        file: the file.
        line: its line, from 1; in Parquet the row, from 1.
        reason: what is wrong.
        raw: the row as it stands in the file, bytes that are not UTF-8 as ``\\xNN``.
    """

    file: str
    line: int
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class Style:
    """What a file looked like, so that it can be written alike.

    Attributes:
        delimiter: of CSV.
        indent: white space before each row of a JSON array.
        around: for a JSON object with the rows under one of its keys: the whole object, the rows left out.
        rows_key: that key.
    """

    delimiter: str = ","
    indent: str = ""
    around: Mapping[str, Any] | None = None
    rows_key: str = ""


@dataclass(frozen=True)
class Table(ABC):
    """Rows of one file. Two kinds: :class:`JsonTable` and :class:`FrameTable`.

    Attributes:
        path: the file.
        container: ``jsonl``, ``json``, ``csv`` or ``parquet``.
        lines: line of each row, from 1.
        bad: rows that could not even be split into columns.
        style: how to write it alike.
        note: what is worth saying on how the container was told.
    """

    path: Path
    container: str
    lines: Sequence[int]
    bad: tuple[BadRow, ...] = ()
    style: Style = field(default_factory=Style)
    note: str = ""

    def __len__(self) -> int:
        return len(self.lines)

    @abstractmethod
    def names(self, share: float = 0.0) -> list[str]:
        """Columns that at least a share of the rows have, in order of their first appearance."""

    @abstractmethod
    def values(self, name: str) -> list[Any]:
        """A column as Python values, ``MISSING`` where a row has no such key."""

    @abstractmethod
    def raw(self, row: int) -> str:
        """A row as text."""

    @abstractmethod
    def frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Columns as polars columns; all of them by default."""

    @abstractmethod
    def texts(self, rows: Sequence[int], edit: RowEdit | None = None) -> list[str]:
        """Rows as JSON texts, after an edit of each where one is given."""

    @abstractmethod
    def part(self, rows: Sequence[int], edit: RowEdit | None = None) -> pl.DataFrame:
        """Rows as a frame with all columns, after an edit of each where one is given."""

    def light(self) -> Table:
        """The table without what only reading needs."""
        return self


@dataclass(frozen=True)
class RowEdit:
    """Conversations to be shortened on writing.

    Attributes:
        column: column of the conversation.
        cuts: turns to keep, one number a row.
        shorten: the conversation cut to that many turns.
    """

    column: str
    cuts: Sequence[int]
    shorten: Callable[[Any, int], Any]


@dataclass(frozen=True)
class JsonTable(Table):
    """Rows that are JSON objects.

    Attributes:
        source: text of each row as it came.
        objects: the same, parsed; empty once it is read.
    """

    source: Sequence[str] = ()
    objects: Sequence[dict[str, Any]] = ()

    def names(self, share: float = 0.0) -> list[str]:
        """Keys that at least a share of the rows have."""
        counts = Counter(key for row in self.objects for key in row)
        return [key for key, count in counts.items() if count >= share * len(self.objects)]

    def values(self, name: str) -> list[Any]:
        """The values of a key."""
        return [row.get(name, MISSING) for row in self.objects]

    def raw(self, row: int) -> str:
        """The row as it came."""
        return self.source[row]

    def frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Keys as columns, typed as :func:`series_of` says."""
        return _frame_of(self.objects, self.names() if columns is None else columns)

    def texts(self, rows: Sequence[int], edit: RowEdit | None = None) -> list[str]:
        """Rows to the letter as they came, unless they are edited."""
        if edit is None:
            return [self.source[row] for row in rows]
        objects = [json.loads(self.source[row]) for row in rows]
        for row, cut in zip(objects, edit.cuts, strict=True):
            row[edit.column] = edit.shorten(row[edit.column], cut)
        return [dump_json(row) for row in objects]

    def part(self, rows: Sequence[int], edit: RowEdit | None = None) -> pl.DataFrame:
        """Rows as a frame, with the columns and types of the whole file."""
        objects = [json.loads(text) for text in self.source]
        names = list(dict.fromkeys(key for row in objects for key in row))
        return _part(_frame_of(objects, names), rows, edit)

    def light(self) -> JsonTable:
        """The table without the parsed objects."""
        return replace(self, objects=())


@dataclass(frozen=True)
class FrameTable(Table):
    """Rows of a polars frame.

    Attributes:
        data: the frame as it was read.
    """

    data: pl.DataFrame = field(default_factory=pl.DataFrame)

    def names(self, share: float = 0.0) -> list[str]:
        """All columns: each row has them."""
        return self.data.columns

    def values(self, name: str) -> list[Any]:
        """A column, categories as text."""
        series = self.data[name]
        if series.dtype in (pl.Categorical, pl.Enum):
            series = series.cast(pl.String)
        return series.to_list()

    def raw(self, row: int) -> str:
        """The row as JSON."""
        return frame_texts(self.data[row : row + 1])[0]

    def frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Columns as they are."""
        return self.data if columns is None else self.data.select(columns)

    def texts(self, rows: Sequence[int], edit: RowEdit | None = None) -> list[str]:
        """Rows as JSON texts."""
        return frame_texts(self.part(rows, edit))

    def part(self, rows: Sequence[int], edit: RowEdit | None = None) -> pl.DataFrame:
        """Rows with the types they came with."""
        return _part(self.data, rows, edit)


def _part(data: pl.DataFrame, rows: Sequence[int], edit: RowEdit | None) -> pl.DataFrame:
    part = data[list(rows)] if len(rows) else data.clear()
    if edit is None:
        return part
    old = part[edit.column]
    new = [edit.shorten(v, cut) for v, cut in zip(old.to_list(), edit.cuts, strict=True)]
    return part.with_columns(pl.Series(edit.column, new, dtype=old.dtype))


def _frame_of(objects: Sequence[dict[str, Any]], names: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame([series_of(name, [row.get(name) for row in objects]) for name in names])


def stack_in_order(parts: Sequence[pl.DataFrame], places: Sequence[Sequence[int]]) -> pl.DataFrame:
    """Frames put together so that the rows of each stand at its places."""
    if len(parts) == 1:
        return parts[0]
    order = pl.Series([place for one in places for place in one], dtype=pl.Int64)
    return stack(parts)[order.arg_sort()]
