"""Which column is the instruction, which the output: detection by name, and overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imine.errors import FormatError
from imine.records.containers import CONTAINERS
from imine.records.conversations import RowFault, as_list
from imine.records.tables import MISSING, Table

LAYOUTS = ("alpaca", "prompt_completion", "sharegpt", "messages")

SPELLINGS: dict[str, tuple[str, ...]] = {
    "instruction": (
        "instruction",
        "instructions",
        "prompt",
        "question",
        "query",
        "problem",
        "request",
        "user",
        "human",
    ),
    "input": ("input", "context"),
    "output": (
        "output",
        "response",
        "completion",
        "answer",
        "target",
        "targets",
        "solution",
        "reply",
        "assistant",
    ),
    "system": ("system", "system_prompt"),
    "prompt": ("prompt",),
    "completion": ("completion",),
    "conversations": ("conversations", "conversation"),
    "messages": ("messages",),
    "id": ("id",),
    "source": ("source",),
}
# Taken for the instruction only where no column of the table above is there.
_LAST_RESORT = ("input", "inputs")

_FIELDS = {
    "alpaca": ("instruction", "input", "output", "system"),
    "prompt_completion": ("prompt", "completion", "system"),
    "sharegpt": ("conversations", "system"),
    "messages": ("messages", "system"),
}
_REQUIRED = {
    "alpaca": ("instruction", "output"),
    "prompt_completion": ("prompt", "completion"),
    "sharegpt": ("conversations",),
    "messages": ("messages",),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """What the columns of a file mean.

    Attributes:
        name: one of ``LAYOUTS``, or ``unknown`` where there is no row to tell it from.
        columns: column of each field that the file has; ``id`` and ``source`` among them.
    """

    name: str
    columns: Mapping[str, str]

    @property
    def conversation(self) -> str | None:
        """Column of the conversation, if there is one."""
        return self.columns.get("conversations") or self.columns.get("messages")


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """What ``format`` asks for; ``None`` where it is left to detection."""

    container: str | None = None
    layout: str | None = None


def parse_format(text: str) -> FormatChoice:
    """``auto``, a container, a layout, or ``container:layout``.

    Raises:
        FormatError: it is none of these.

    Examples:
        >>> parse_format("csv:prompt-completion")
        FormatChoice(container='csv', layout='prompt_completion')
        >>> parse_format("auto")
        FormatChoice(container=None, layout=None)
    """
    container: str | None = None
    layout: str | None = None
    for part in text.lower().replace("-", "_").split(":"):
        if part == "ndjson":
            part = "jsonl"
        if part in CONTAINERS and container is None:
            container = part
        elif part in LAYOUTS and layout is None:
            layout = part
        elif part != "auto":
            shown = ", ".join((*CONTAINERS, *LAYOUTS)).replace("_", "-")
            raise FormatError(
                f"format {text!r} is not known; allowed: auto, {shown}, or both as in csv:alpaca"
            )
    return FormatChoice(container, layout)


def detect_layout(table: Table, wanted: str | None, mapping: Mapping[str, str | None] | None) -> Layout:
    """What the columns of a table mean.

    In this order: the mapping; the wanted layout; a column ``conversations`` or ``messages`` that holds
    lists of objects; ``instruction`` and ``output`` under just these names; ``prompt`` and ``completion``;
    the other spellings of the Alpaca family. Within a field its plain name wins over the other
    spellings; two other spellings side by side are an error.

    Args:
        table: the rows.
        wanted: one of ``LAYOUTS``, or ``None`` to find out.
        mapping: column for some fields; ``None`` or ``""`` says that there is none.

    Raises:
        FormatError: no layout fits, or two do; the message names the columns.
    """
    given = _checked_mapping(table, mapping or {})
    # A stray row with other keys must not decide for the file; where that finds nothing, all keys count.
    finder = _Finder(table, given, table.names(share=0.5))
    try:
        return finder.find(wanted)
    except FormatError:
        everything = _Finder(table, given, table.names())
        if set(everything.names) == set(finder.names):
            raise
        return everything.find(wanted)


def _checked_mapping(table: Table, mapping: Mapping[str, str | None]) -> dict[str, str | None]:
    names = table.names()
    for field, column in mapping.items():
        if field not in SPELLINGS:
            raise FormatError(f"--map: {field!r} is no field; allowed: {', '.join(SPELLINGS)}")
        if column and column not in names:
            raise FormatError(f"{table.path}: --map {field}={column}: no such column; {_found(names)}")
    return dict(mapping)


def _found(names: Sequence[str]) -> str:
    return f"columns found: {', '.join(names) if names else 'none'}"


class _Finder:
    def __init__(self, table: Table, given: dict[str, str | None], names: list[str]) -> None:
        self.table, self.given, self.path = table, given, Path(table.path)
        self.names = [*names, *(c for c in given.values() if c and c not in names)]
        self.free = [n for n in self.names if n not in given.values()]
        self.every_free = [n for n in table.names() if n not in given.values()]

    def find(self, wanted: str | None) -> Layout:
        name = wanted or self._asked_by_mapping() or self._recognised()
        columns = {field: self._column(name, field) for field in (*_FIELDS[name], "id", "source")}
        stray = [f for f in self.given if f not in columns]
        if stray:
            raise FormatError(f"{self.path}: --map {stray[0]} does not belong to the layout {name}")
        if name == "alpaca":
            self._instruction_of_input(columns)
        for field in _REQUIRED[name]:
            if not columns[field]:
                which = (
                    f"the layout {name}"
                    if wanted
                    else "its columns fit no layout that imine knows; the nearest"
                )
                raise self._unrecognised(f"{which} needs a column for the {field}", field)
        return Layout(name, {field: column for field, column in columns.items() if column})

    def _asked_by_mapping(self) -> str | None:
        for name, fields in (
            ("sharegpt", {"conversations"}),
            ("messages", {"messages"}),
            ("prompt_completion", {"prompt", "completion"}),
            ("alpaca", {"instruction", "input", "output"}),
        ):
            if fields & self.given.keys():
                return name
        return None

    def _recognised(self) -> str:
        talks = [(n, c) for n in ("sharegpt", "messages") for c in self._talk_columns(n)]
        if len(talks) > 1:
            found = " and ".join(repr(column) for _, column in talks)
            raise self._unrecognised(f"columns {found} both hold conversations", "messages", talks[0][1])
        if talks:
            return talks[0][0]
        if {"instruction", "output"} <= set(self.names):
            return "alpaca"
        lowered = {_norm(n) for n in self.free}
        if {"prompt", "completion"} <= lowered and not lowered & set(SPELLINGS["input"]):
            return "prompt_completion"
        return "alpaca"

    def _talk_columns(self, name: str) -> list[str]:
        field = "conversations" if name == "sharegpt" else name
        return [n for n in self.free if _norm(n) in SPELLINGS[field] and _holds_turns(self.table.values(n))]

    def _column(self, layout: str, field: str) -> str | None:
        if field in self.given:
            return self.given[field] or None
        free = self.free if field in _REQUIRED[layout] else self.every_free
        plain = [n for n in free if n == field] or [n for n in free if _norm(n) == field]
        found = plain or [n for n in free if _norm(n) in SPELLINGS[field]]
        if len(found) > 1:
            both = " and ".join(map(repr, found))
            raise self._unrecognised(
                f"columns {both} could each be the {field} of the layout {layout}", field, found[0]
            )
        return found[0] if found else None

    def _instruction_of_input(self, columns: dict[str, str | None]) -> None:
        if columns["instruction"] or "instruction" in self.given or "input" in self.given:
            return
        found = next((n for last in _LAST_RESORT for n in self.free if _norm(n) == last), None)
        if found:
            rest = [n for n in self.free if _norm(n) == "context"]
            columns["instruction"], columns["input"] = found, rest[0] if rest else None

    def _unrecognised(self, what: str, field: str, column: str = "COLUMN") -> FormatError:
        return FormatError(
            f"{self.path}: {what}; say which with --map {field}={column} (Python: map={{{field!r}: "
            f"{column!r}}}); {_found(self.names)}"
        )


def _norm(name: str) -> str:
    return name.strip().lower()


def _holds_turns(values: Sequence[Any]) -> bool:
    seen = 0
    for value in values:
        if value is None or value is MISSING:
            continue
        try:
            turns = as_list(value)
        except RowFault:
            turns = []
        if turns and isinstance(turns[0], Mapping):
            return True
        seen += 1
        if seen == 20:
            break
    return False
