"""What JSON has no type for, as text: bytes and spans of time, wherever they are nested."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import polars as pl

# polars has maps since 2.1; before, they are read as lists of structs.
_Map: Any = getattr(pl, "Map", None)


def text_of(value: Any) -> str:
    """A Python value that JSON has no type for, as text.

    Examples:
        >>> text_of(b"ab"), text_of(timedelta(days=1, seconds=5))
        ('YWI=', 'P1DT5S')
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode("ascii")
    if isinstance(value, timedelta):
        return str(pl.Series([value]).dt.to_string("iso")[0])
    return str(value)


def frame_texts(frame: pl.DataFrame) -> list[str]:
    """Rows of a frame as JSON texts: bytes as base64, spans of time as ISO 8601, at any depth.

    Examples:
        >>> frame_texts(pl.DataFrame({"a": ["é"], "b": [None], "c": [{"bytes": b"ab"}]}))
        ['{"a":"é","b":null,"c":{"bytes":"YWI="}}']
    """
    if frame.width == 0 or frame.height == 0:
        return []
    # The JSON writer of polars panics at bytes inside of lists and structs.
    unlike = [
        _plain(pl.col(name), dtype) for name, dtype in frame.schema.items() if _plain_type(dtype) != dtype
    ]
    text = frame.with_columns(unlike).write_ndjson()
    return text.removesuffix("\n").split("\n")


def _plain_type(dtype: pl.DataType) -> pl.DataType:
    if dtype == pl.Binary or dtype == pl.Duration:
        return pl.String()
    if isinstance(dtype, pl.List | pl.Array):
        inner = _inner(dtype)
        plain = _plain_type(inner)
        return dtype if plain == inner else pl.List(plain)
    if isinstance(dtype, pl.Struct):
        return pl.Struct([pl.Field(f.name, _plain_type(_made(f.dtype))) for f in dtype.fields])
    if _Map and isinstance(dtype, _Map):
        made: pl.DataType = _Map(_plain_type(_made(dtype.key)), _plain_type(_made(dtype.value)))
        return made
    return dtype


def _plain(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Binary:
        return column.bin.encode("base64")
    if dtype == pl.Duration:
        return column.dt.to_string("iso")
    if isinstance(dtype, pl.List | pl.Array):
        inner = _inner(dtype)
        return column.cast(pl.List(inner)).list.eval(_plain(pl.element(), inner))
    if isinstance(dtype, pl.Struct):
        fields: Sequence[pl.Field] = dtype.fields
        return column.struct.with_fields(
            [_plain(column.struct.field(f.name), _made(f.dtype)).alias(f.name) for f in fields]
        )
    if _Map and isinstance(dtype, _Map):
        pairs = pl.List(pl.Struct({"key": dtype.key, "value": dtype.value}))
        return _plain(column.cast(pairs), pairs).cast(_plain_type(dtype))
    return column


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    return _made(dtype.inner)


def _made(dtype: Any) -> pl.DataType:
    """polars allows a class where an instance is meant: ``pl.List(pl.Binary)``."""
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made
