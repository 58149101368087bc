"""JSON lines and JSON arrays as rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from imine.errors import BadRowError, FormatError
from imine.records.conversations import kind_of
from imine.records.faults import encoding_fault, printable
from imine.records.tables import BadRow, JsonTable, Style

_ROWS_KEYS = ("data", "rows", "examples", "instances", "items", "records", "train")
# Keys whose lists are a conversation: an object with one of them is a row, not a wrapper around rows.
_CONVERSATION_KEYS = frozenset({"conversations", "conversation", "messages", "prompt", "completion"})
_SPACE = re.compile(r"[ \t\r\n]*")

_Parsed = tuple[int, str, Any, str | None]  # line, text, value, what is wrong


def read_json_lines(path: Path, text: str, note: str) -> JsonTable:
    """One object a line; blank lines are left out."""
    return _table(path, "jsonl", _parsed_lines(text), Style(), note)


def _parsed_lines(text: str) -> Iterator[_Parsed]:
    # Only the line feed parts lines: U+2028 and its like may stand inside a string.
    for number, line in enumerate(text.split("\n"), 1):
        raw = line.strip(" \t\r")
        if raw:
            yield number, raw, *_parse(raw)


def _parse(raw: str) -> tuple[Any, str | None]:
    fault = encoding_fault(raw)
    if fault:
        return None, fault
    try:
        return json.loads(raw), None
    except json.JSONDecodeError as error:
        return None, f"invalid JSON: {error.msg} at character {error.pos + 1}"
    except (ValueError, RecursionError) as error:
        return None, f"invalid JSON: {error}"


def _table(path: Path, container: str, rows: Iterable[_Parsed], style: Style, note: str) -> JsonTable:
    lines, source, objects, bad = [], [], [], []
    for line, raw, value, found in rows:
        fault = found
        if not fault:
            fault = (
                encoding_fault(raw, value) if isinstance(value, dict) else f"{kind_of(value)}, not an object"
            )
        if fault:
            bad.append(BadRow(str(path), line, fault, printable(raw)))
        else:
            lines.append(line)
            source.append(raw)
            objects.append(value)
    return JsonTable(path, container, lines, tuple(bad), style, note, source, objects)


def read_json_array(path: Path, text: str, note: str) -> JsonTable:
    """A JSON array of objects, or one object: around such an array, or a row itself.

    Raises:
        FormatError: it is neither.
        BadRowError: a syntax error: what follows it cannot be told apart.
    """
    start = _skip(text, 0)
    style, key = Style(), None
    if text[start : start + 1] == "{":
        members, places, end = _members(path, text, start)
        _end_of_text(path, text, end)
        key = _rows_key(path, members)
        if key is None:
            row = (text.count("\n", 0, start) + 1, text[start:end], members, None)
            return _table(path, "json", [row], style, "; ".join(n for n in (note, "one object") if n))
        start = places[key]
        style = Style(around={k: None if k == key else v for k, v in members.items()}, rows_key=key)
    spans = list(_elements(path, text, start, last=key is None))
    before = text[start + 1 : spans[0][0]] if spans else ""
    indent = before.rpartition("\n")[2] if "\n" in before else ""
    style = Style(indent=indent, around=style.around, rows_key=style.rows_key)
    note = "; ".join(n for n in (note, f"rows under {key!r}" if key else "") if n)
    return _table(path, "json", _with_lines(text, spans), style, note)


def _with_lines(text: str, spans: list[tuple[int, int, Any]]) -> Iterator[_Parsed]:
    line, last = 1, 0
    for begin, end, value in spans:
        line, last = line + text.count("\n", last, begin), begin
        raw = text[begin:end]
        yield line, raw, value, encoding_fault(raw)


def _rows_key(path: Path, members: dict[str, Any]) -> str | None:
    """The key that holds the rows; none where the object is a row itself."""
    lists = [k for k, v in members.items() if isinstance(v, list) and all(isinstance(x, dict) for x in v)]
    if _CONVERSATION_KEYS & set(lists) or not lists:
        return None
    keys = [k for k in _ROWS_KEYS if k in lists] or lists
    if len(keys) > 1:
        raise FormatError(
            f"{path}: is one JSON object, and it is not clear which of its keys holds the rows "
            f"(lists of objects: {', '.join(keys)}); leave one of them, or write the rows as a JSON array"
        )
    return keys[0]


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _decode(path: Path, text: str, at: int) -> tuple[Any, int]:
    try:
        return json.JSONDecoder().raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise _lost(path, text, error.pos, error.msg) from error
    except (ValueError, RecursionError) as error:
        raise _lost(path, text, at, str(error)) from error


def _lost(path: Path, text: str, at: int, what: str) -> BadRowError:
    line = text.count("\n", 0, at) + 1
    return BadRowError(
        f"{path}, line {line}: invalid JSON: {what}. In a JSON array the rows after a syntax error cannot be "
        "told apart, so they cannot be skipped either: mend the file, or turn it into JSON lines"
    )


def _end_of_text(path: Path, text: str, at: int) -> None:
    at = _skip(text, at)
    if at < len(text):
        raise _lost(path, text, at, "text after the end")


def _elements(path: Path, text: str, start: int, last: bool) -> Iterator[tuple[int, int, Any]]:
    """Begin, end and value of each element of the array at ``start``; ``last`` if nothing may follow it."""
    if text[start : start + 1] != "[":
        raise FormatError(
            f"{path}: does not begin with '[' or '{{', so it is no JSON array; give another --format"
        )
    at = _skip(text, start + 1)
    while text[at : at + 1] != "]":
        value, end = _decode(path, text, at)
        yield at, end, value
        at = _after_comma(path, text, end, "]")
    if last:
        _end_of_text(path, text, at + 1)


def _after_comma(path: Path, text: str, at: int, closing: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] == closing:
        return at
    if text[at : at + 1] != ",":
        raise _lost(path, text, at, f"',' or '{closing}' expected")
    at = _skip(text, at + 1)
    if text[at : at + 1] == closing:
        raise _lost(path, text, at, f"a value expected after ',', not '{closing}'")
    return at


def _members(path: Path, text: str, start: int) -> tuple[dict[str, Any], dict[str, int], int]:
    """The members of the object at ``start``, where the value of each begins, and the object's end."""
    values: dict[str, Any] = {}
    places: dict[str, int] = {}
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}":
        key, at = _decode(path, text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":" or not isinstance(key, str):
            raise _lost(path, text, at, "a name and ':' expected")
        places[key] = _skip(text, at + 1)
        values[key], at = _decode(path, text, places[key])
        at = _after_comma(path, text, at, "}")
    return values, places, at + 1
