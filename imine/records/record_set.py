"""What was read, with all that is needed to write it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from imine.records.storage import PathLike, target_container, write_text
from imine.records.tables import BadRow, Table
from imine.records.values import dump_json
from imine.records.writing import write_rows


@dataclass(frozen=True, slots=True)
class FileDecision:
    """How one file was understood.

    Attributes:
        file: the file.
        container: ``jsonl``, ``json``, ``csv`` or ``parquet``.
        layout: ``alpaca``, ``prompt_completion``, ``sharegpt`` or ``messages``; ``unknown`` where not one
            row could be read.
        columns: column that each field came from.
        rows: rows that were read.
        records: records that they gave; more than ``rows`` where each reply is one.
        bad_rows: rows that could not be read.
        note: anything unexpected about the container.
    """

    file: str
    container: str
    layout: str
    columns: Mapping[str, str]
    rows: int
    records: int
    bad_rows: int
    note: str = ""

    def describe(self) -> str:
        """One line for people.

        Examples:
            >>> columns = {"instruction": "question", "output": "output"}
            >>> FileDecision("qa.csv", "csv", "alpaca", columns, 1200, 1200, 1).describe()
            'qa.csv: csv, layout alpaca (instruction from question, output), 1,200 rows, 1 bad row'
        """
        fields = (f if f == column else f"{f} from {column}" for f, column in self.columns.items())
        records = f", {_count(self.records, 'record')}" if self.records != self.rows else ""
        bad = f", {_count(self.bad_rows, 'bad row')}" if self.bad_rows else ""
        note = f" [{self.note}]" if self.note else ""
        layout = f"layout {self.layout}" + (f" ({', '.join(fields)})" if self.columns else "")
        return f"{self.file}: {self.container}{note}, {layout}, {_count(self.rows, 'row')}{records}{bad}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class RecordSet:
    """Records of one or more files.

    Attributes:
        frame: ``id, source, instruction, input, output`` and the user's other columns, one row a record.
        decisions: how each file was understood.
        bad_rows: rows that were left out, in order of file and line.
        notes: what else a reader should know, on ids for example.
        tables: the files as they came.
        places: for each record of ``frame``: ``id``, ``table``, ``row`` and ``cut`` (turns to write back;
            null for all).
    """

    frame: pl.DataFrame
    decisions: tuple[FileDecision, ...]
    bad_rows: tuple[BadRow, ...]
    notes: tuple[str, ...]
    tables: tuple[Table, ...]
    places: pl.DataFrame

    def __len__(self) -> int:
        return self.frame.height

    def write(
        self, path: PathLike, ids: Sequence[str] | pl.Series | None = None, extra: pl.DataFrame | None = None
    ) -> None:
        """Write rows back in the layout they came in, with all their columns, in one step.

        The suffix decides the container. JSON rows written as JSON keep their text to the letter; the
        columns of Parquet keep their types. Into another container values are converted: nested ones
        become JSON text in CSV. In JSON each row keeps its own layout; rows with different columns written
        to CSV or Parquet are put one below the other, with nulls where a row has no such column. A record
        that is one reply of a longer conversation (``turns="each"``) is written as the conversation up to
        that reply.

        Args:
            path: ends in ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` or ``.parquet``; text also ``.gz`` or
                ``.zst``.
            ids: which records, in this order; all by default.
            extra: ``id`` and columns to add to the rows with that id; a column that is there is replaced.

        Raises:
            FormatError: the suffix says no format.
            ValueError: an id is not among the records, or twice in ``extra``.
        """
        if ids is None:
            places = self.places
        else:
            wanted = pl.DataFrame({"id": pl.Series(ids, dtype=pl.String)})
            places = wanted.join(self.places, on="id", how="left", maintain_order="left")
            unknown = places.filter(pl.col("table").is_null())["id"].to_list()
            if unknown:
                raise ValueError(
                    f"ids: {len(unknown):,} of them are not among the records, {unknown[0]!r} is the first"
                )
        write_rows(Path(path), self.tables, places, extra)

    def write_bad_rows(self, path: PathLike) -> None:
        """Write the bad rows aside as JSON lines: ``file``, ``line``, ``reason`` and ``raw``.

        Args:
            path: ends in ``.jsonl``, also ``.gz`` or ``.zst``.
        """
        target = Path(path)
        lines = (
            dump_json({"file": b.file, "line": b.line, "reason": b.reason, "raw": b.raw})
            for b in self.bad_rows
        )
        write_text(target, (f"{line}\n" for line in lines), target_container(target)[1])
