"""JSON lines, JSON arrays, CSV and Parquet: telling them apart."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path

import polars as pl

from imine.errors import FormatError
from imine.records.csv_rows import DELIMITERS, read_csv
from imine.records.json_rows import read_json_array, read_json_lines
from imine.records.storage import CONTAINER_OF_SUFFIX, PARQUET_MAGIC, read_bytes, read_head, split_suffixes
from imine.records.tables import FrameTable, JsonTable, Style, Table

_FIRST_TWO_LINES = re.compile(r"([^\n]*)(?:\n\s*([^\n]*))?")

CONTAINERS = ("jsonl", "json", "csv", "tsv", "parquet")


def load_table(path: Path, container: str | None = None) -> Table:
    """The rows of a file.

    The content decides before the suffix: Parquet, gzip and zstd are told by their first bytes, JSON by a
    first character ``[`` or ``{``; it is JSON lines if one of the first two lines is a whole object. A file
    without anything in it is a table without rows.

    Args:
        path: the file.
        container: one of ``CONTAINERS`` where it shall not be told from the file.

    Raises:
        FormatError: the container cannot be told or does not fit.
        BadRowError: a syntax error after which the rows cannot be told apart any more.
    """
    if read_head(path) == PARQUET_MAGIC or container == "parquet":
        return _read_parquet(path, container)
    suffix = split_suffixes(path)[1]
    text = _decode(path, read_bytes(path))
    if not text.strip():
        return _empty(path, container, suffix)
    found = container or _sniff(text, suffix)
    if found is None:
        raise FormatError(
            f"{path}: neither its suffix nor its content says what it is; give --format with one of "
            f"{', '.join(CONTAINERS)}"
        )
    note = "container given" if container else _surprise(suffix, found)
    if found == "jsonl":
        return read_json_lines(path, text, note)
    if found == "json":
        return read_json_array(path, text, note)
    return read_csv(
        path, text, "\t" if found == "tsv" or (not container and suffix == ".tsv") else None, note
    )


def _empty(path: Path, container: str | None, suffix: str) -> JsonTable:
    named = container or CONTAINER_OF_SUFFIX.get(suffix, "jsonl")
    if named == "parquet":
        raise FormatError(f"{path}: is empty, which no Parquet file is; write or fetch it again")
    return JsonTable(path, "csv" if named == "tsv" else named, (), note="is empty")


def _decode(path: Path, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FormatError(f"{path}: is UTF-16; convert it first: iconv -f UTF-16 -t UTF-8")
    if data.startswith(PARQUET_MAGIC):
        raise FormatError(f"{path}: is Parquet inside gzip or zstd; unpack it first")
    # Bytes that are not UTF-8 become lone surrogates, so that only the rows that hold them are bad.
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def _surprise(suffix: str, found: str) -> str:
    named = CONTAINER_OF_SUFFIX.get(suffix, "")
    return f"named {suffix}, but holds {found}" if named and named != found else ""


def _sniff(text: str, suffix: str) -> str | None:
    named = CONTAINER_OF_SUFFIX.get(suffix)
    body = text.lstrip(" \t\r\n")
    match = _FIRST_TWO_LINES.match(body)
    lines = [line.strip() for line in match.groups() if line] if match else []
    if body[0] not in "[{" or (named == "csv" and not any(map(_is_json, lines[:1]))):
        if named in ("jsonl", "json", "csv"):
            return named
        return "csv" if any(mark in lines[0] for mark in DELIMITERS) else None
    if (
        len(lines) > 1
        and lines[0] not in "[{"
        and any(line.startswith("{") and _is_json(line) for line in lines)
    ):
        return "jsonl"
    if body[0] == "[" or named == "json":
        return "json"
    return "jsonl" if _is_json(lines[0]) or not _is_json(body) else "json"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _read_parquet(path: Path, container: str | None) -> FrameTable:
    if read_head(path) != PARQUET_MAGIC:
        raise FormatError(f"{path}: is no Parquet file (it does not begin with PAR1)")
    if container not in (None, "parquet"):
        raise FormatError(f"{path}: is a Parquet file, but --format says {container}")
    try:
        frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FormatError(f"{path}: the Parquet file cannot be read: {error}") from error
    note = "" if CONTAINER_OF_SUFFIX.get(split_suffixes(path)[1]) == "parquet" else "holds Parquet"
    return FrameTable(path, "parquet", range(1, frame.height + 1), (), Style(), note, frame)
