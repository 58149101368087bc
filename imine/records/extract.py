"""Rows of a table as records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from imine.records.conversations import (
    Piece,
    RowFault,
    Turns,
    kind_of,
    parse_turns,
    piece_of_lists,
    pieces_of,
    with_system,
)
from imine.records.layouts import Layout
from imine.records.tables import MISSING, BadRow, Table


@dataclass(slots=True)
class Extracted:
    """Records of one table, as columns.

    Attributes:
        rows: row of the table that each record came from.
        instruction, input, output: texts of each record.
        cuts: turns of its conversation to write back; ``None`` for all.
        bad: rows that gave no record.
    """

    rows: list[int] = field(default_factory=list)
    instruction: list[str] = field(default_factory=list)
    input: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    cuts: list[int | None] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


def extract(table: Table, layout: Layout, turns: Turns) -> Extracted:
    """The records of a table; a row that gives none is a bad row.

    Args:
        table: the rows.
        layout: what its columns mean.
        turns: policy for conversations of several turns.
    """
    fields = [f for f in layout.columns if f not in ("id", "source")]
    columns = [table.values(layout.columns[f]) for f in fields]
    read = _reader(layout, fields, turns)
    result = Extracted()
    for row, values in enumerate(zip(*columns, strict=True)):
        try:
            pieces = read(values)
        except RowFault as fault:
            result.bad.append(BadRow(str(table.path), table.lines[row], str(fault), table.raw(row)))
            continue
        for piece in pieces:
            result.rows.append(row)
            result.instruction.append(piece.instruction)
            result.input.append(piece.input)
            result.output.append(piece.output)
            result.cuts.append(piece.cut)
    return result


def _reader(layout: Layout, fields: list[str], turns: Turns) -> Callable[[tuple[Any, ...]], list[Piece]]:
    at = {f: i for i, f in enumerate(fields)}
    system_at = at.get("system", -1)

    def system(values: tuple[Any, ...]) -> str:
        return _optional(values[system_at], layout.columns["system"]) if system_at >= 0 else ""

    def text(values: tuple[Any, ...]) -> list[Piece]:
        instruction = _required(values[asked], layout.columns[asked_field])
        output = _required(values[answered], layout.columns[answered_field])
        context = _optional(values[given], layout.columns["input"]) if given >= 0 else ""
        return [Piece(with_system(system(values), instruction), context, output)]

    def pair(values: tuple[Any, ...]) -> list[Piece]:
        if isinstance(values[asked], list) or isinstance(values[answered], list):
            return [piece_of_lists(values[asked], values[answered], system(values))]
        return text(values)

    def talk(values: tuple[Any, ...]) -> list[Piece]:
        if values[spoken] is MISSING or values[spoken] is None:
            raise RowFault(_absent(values[spoken], layout.conversation or ""))
        return pieces_of(parse_turns(values[spoken]), turns, system(values))

    if layout.conversation:
        spoken = at["conversations" if "conversations" in at else "messages"]
        return talk
    paired = layout.name == "prompt_completion"
    asked_field, answered_field = ("prompt", "completion") if paired else ("instruction", "output")
    asked, answered, given = at[asked_field], at[answered_field], at.get("input", -1)
    return pair if paired else text


def _required(value: Any, column: str) -> str:
    if isinstance(value, str):
        return value
    if value is MISSING or value is None:
        raise RowFault(_absent(value, column))
    raise RowFault(f"{column!r} is {kind_of(value)}, not text")


def _optional(value: Any, column: str) -> str:
    if isinstance(value, str):
        return value
    if value is MISSING or value is None:
        return ""
    raise RowFault(f"{column!r} is {kind_of(value)}, not text")


def _absent(value: Any, column: str) -> str:
    return f"{column!r} is missing" if value is MISSING else f"{column!r} is null"
