"""Rows back into files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import polars as pl

from imine.errors import FormatError
from imine.records.conversations import as_list
from imine.records.plain import frame_texts
from imine.records.storage import split_suffixes, target_container, write_atomic, write_text
from imine.records.tables import RowEdit, Style, Table, stack_in_order
from imine.records.values import dump_json, text_series

_NEEDS_ONE_LINE = re.compile(r"[\r\n]")
_CHUNK = 5_000


def write_rows(path: Path, tables: Sequence[Table], places: pl.DataFrame, extra: pl.DataFrame | None) -> None:
    """Write rows of the tables in the order of ``places``, in the container that the suffix names.

    Args:
        path: the file.
        tables: files as they were read.
        places: ``id``, ``table``, ``row`` and ``cut`` of each row.
        extra: ``id`` and columns to be added.
    """
    container, compression = target_container(path)
    added = _added(places, extra)
    groups = [_Group(table, number, places) for number, table in enumerate(tables)]
    # Where no row is written, a file that has rows says which columns there are.
    groups = [g for g in groups if g.rows] or [g for g in groups if len(g.table)][:1]
    if container in ("jsonl", "json"):
        texts = _ordered_texts(groups, places.height)
        if added is not None and added.width:
            texts = [_with_keys(t, keys) for t, keys in zip(texts, frame_texts(added), strict=True)]
        _write_json(path, container, compression, texts, _common([g.table.style for g in groups]))
        return
    frame = stack_in_order([g.frame() for g in groups], [g.places for g in groups])
    if added is not None:
        frame = frame.with_columns(added.get_columns())
    delimiters = {g.table.style.delimiter for g in groups if g.table.container == "csv"}
    _write_table(path, frame, delimiters.pop() if len(delimiters) == 1 else ",")


class _Group:
    """The rows that come from one table, and where they go."""

    def __init__(self, table: Table, number: int, places: pl.DataFrame) -> None:
        mine = places.with_row_index("place").filter(pl.col("table") == number)
        self.table = table
        self.rows: list[int] = mine["row"].to_list()
        self.places: list[int] = mine["place"].to_list()
        column = mine["conversation"].drop_nulls()
        cuts = mine["cut"]
        self.edit: RowEdit | None = None
        if len(column) and cuts.null_count() < len(cuts):
            self.edit = RowEdit(column[0], cuts.to_list(), shorten)

    def texts(self) -> list[str]:
        return self.table.texts(self.rows, self.edit)

    def frame(self) -> pl.DataFrame:
        return self.table.part(self.rows, self.edit)


def shorten(conversation: Any, turns: int) -> Any:
    """The first turns of a conversation, JSON text as JSON text.

    Examples:
        >>> shorten('[{"role": "user"}, {"role": "assistant"}]', 1)
        '[{"role": "user"}]'
    """
    kept = as_list(conversation)[:turns]
    return dump_json(kept) if isinstance(conversation, str) else kept


def _added(places: pl.DataFrame, extra: pl.DataFrame | None) -> pl.DataFrame | None:
    if extra is None:
        return None
    if extra["id"].n_unique() < extra.height:
        raise ValueError("extra: an id stands in it twice")
    return places.select("id").join(extra, on="id", how="left", maintain_order="left").drop("id")


def _ordered_texts(groups: Sequence[_Group], count: int) -> list[str]:
    texts = [""] * count
    for group in groups:
        for place, text in zip(group.places, group.texts(), strict=True):
            texts[place] = text
    return texts


def _with_keys(text: str, keys: str) -> str:
    return dump_json({**json.loads(text), **json.loads(keys)})


def _common(styles: Sequence[Style]) -> Style:
    return styles[0] if styles and all(style == styles[0] for style in styles) else Style()


def _write_json(path: Path, container: str, compression: str, texts: Sequence[str], style: Style) -> None:
    pieces = _json_lines(texts) if container == "jsonl" else _json_array(texts, style)
    write_text(path, pieces, compression)


def _json_lines(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        # A line break in JSON text is always between its tokens, never inside a string.
        yield (dump_json(json.loads(text)) if _NEEDS_ONE_LINE.search(text) else text) + "\n"


def _json_array(texts: Sequence[str], style: Style) -> Iterator[str]:
    before, after = "", "\n"
    if style.around is not None:
        around = {k: [] if k == style.rows_key else v for k, v in style.around.items()}
        keys = list(around)
        at = keys.index(style.rows_key)
        head = "".join(f"{dump_json(k)}: {dump_json(around[k])},\n" for k in keys[:at])
        tail = "".join(f",\n{dump_json(k)}: {dump_json(around[k])}" for k in keys[at + 1 :])
        before, after = f"{{\n{head}{dump_json(style.rows_key)}: ", f"{tail}\n}}\n"
    yield f"{before}["
    for text, comma in zip(texts, ["", *repeat(",", len(texts) - 1)] if texts else [], strict=True):
        yield f"{comma}\n{style.indent}{text}"
    yield f"\n]{after}"


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame in the container that the suffix names."""
    container, compression = target_container(path)
    if container in ("jsonl", "json"):
        _write_json(path, container, compression, frame_texts(frame), Style())
    else:
        _write_table(path, frame, ",")


def _write_table(path: Path, frame: pl.DataFrame, delimiter: str) -> None:
    container, compression = target_container(path)
    if container == "parquet":
        write_atomic(path, lambda file: frame.write_parquet(file, compression="zstd"))
        return
    if frame.width == 0:
        raise FormatError(f"{path}: there is no column to write")
    if split_suffixes(path)[1] == ".tsv":
        delimiter = "\t"
    write_text(path, _csv(frame, delimiter), compression)


def _csv(frame: pl.DataFrame, delimiter: str) -> Iterator[str]:
    special = re.compile(f'["\r\n{re.escape(delimiter)}]')

    def field(value: str | None) -> str:
        if value is None:
            return ""
        return '"' + value.replace('"', '""') + '"' if special.search(value) else value

    # A lone empty field would be a blank line, which readers leave out.
    blank = '""' if frame.width == 1 else delimiter * (frame.width - 1)
    yield delimiter.join(map(field, frame.columns)) + "\n"
    texts = [text_series(frame[name]) for name in frame.columns]
    for start in range(0, frame.height, _CHUNK):
        columns = [series[start : start + _CHUNK].to_list() for series in texts]
        for row in zip(*columns, strict=True):
            yield (delimiter.join(map(field, row)) or blank) + "\n"
