"""CSV and TSV as rows."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl

from imine.errors import BadRowError, FormatError
from imine.records.faults import encoding_fault, printable
from imine.records.tables import BadRow, FrameTable, Style

DELIMITERS = (",", ";", "\t")


class _Row(NamedTuple):
    line: int
    fields: list[str]
    raw: str
    fault: str


class _Lines:
    """Lines of a text one by one, remembering those taken since the last ``clear``."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken.append(line)
        return line


@contextmanager
def _any_field_size() -> Iterator[None]:
    # The csv module refuses fields over 128 KiB by default, and keeps that limit for the whole process.
    old = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(old)


def read_csv(path: Path, text: str, delimiter: str | None, note: str) -> FrameTable:
    """CSV with a header as rows, all columns String.

    Args:
        path: the file, for messages.
        text: its content.
        delimiter: by default the one of ``DELIMITERS`` that parts the header into most columns.
        note: what was said on the container already.

    Raises:
        FormatError: the header cannot be used.
        BadRowError: a quoted field is never closed.
    """
    with _any_field_size():
        delimiter = delimiter or _delimiter(text)
        rows = _split(path, text, delimiter)
        header = _header(path, next(rows, None))
        lines, good, bad = [], [], []
        for row in rows:
            fault = row.fault or encoding_fault(row.raw)
            if not fault and len(row.fields) != len(header):
                fault = f"{len(row.fields)} fields, but the header has {len(header)}"
            if fault:
                bad.append(BadRow(str(path), row.line, fault, printable(row.raw)))
            else:
                lines.append(row.line)
                good.append(row.fields)
    columns = list(zip(*good, strict=True)) if good else [()] * len(header)
    frame = pl.DataFrame([pl.Series(n, v, dtype=pl.String) for n, v in zip(header, columns, strict=True)])
    shown = "" if delimiter == "," else f"delimiter {delimiter!r}"
    notes = "; ".join(n for n in (note, shown) if n)
    return FrameTable(path, "csv", lines, tuple(bad), Style(delimiter), notes, frame)


def _delimiter(text: str) -> str:
    start = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    return max(DELIMITERS, key=lambda mark: len(next(csv.reader([start], delimiter=mark), [])))


def _header(path: Path, row: _Row | None) -> list[str]:
    if row is None:
        raise FormatError(f"{path}: is empty")
    fault = row.fault or encoding_fault(row.raw)
    if fault:
        raise FormatError(f"{path}, line {row.line}: the header cannot be read: {fault}")
    twice = sorted({name for name in row.fields if row.fields.count(name) > 1})
    if twice:
        raise FormatError(f"{path}: the header names a column twice: {', '.join(map(repr, twice))}")
    return row.fields


def _split(path: Path, text: str, delimiter: str) -> Iterator[_Row]:
    """Rows as the csv module parts them, blank lines left out."""
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = 1
    while True:
        lines.taken.clear()
        fields, fault = [], ""
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"invalid CSV: {error}"
        raw = "".join(lines.taken)
        if fault.endswith("unexpected end of data"):
            raise BadRowError(
                f"{path}, line {line}: a quoted field that begins in this row is never closed. The rows "
                "after it cannot be told apart, so they cannot be skipped either: mend the file"
            )
        if fault or len(fields) > 1 or any(field.strip() for field in fields):
            yield _Row(line, fields, raw.rstrip("\r\n"), fault)
        line += raw.count("\n")
