"""Values of JSON rows as polars columns, and back to text, without loss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, combinations
from typing import Any

import polars as pl

from imine.records.plain import frame_texts, text_of

_INT64 = 2**63


def dump_json(value: Any) -> str:
    """JSON text in one line, Unicode as it is; bytes as base64, spans of time as ISO 8601.

    Examples:
        >>> dump_json({"a": "é", "b": [1, 2.5, None], "c": b"ab"})
        '{"a": "é", "b": [1, 2.5, null], "c": "YWI="}'
    """
    return json.dumps(value, ensure_ascii=False, default=text_of)


def value_text(value: Any) -> str:
    """A value as text: text as it is, what JSON knows as JSON, anything else as :func:`text_of` has it.

    Examples:
        >>> value_text("a"), value_text(0.5), value_text(["a"]), value_text(b"ab")
        ('a', '0.5', '["a"]', 'YWI=')
    """
    if isinstance(value, str):
        return value
    known = value is None or isinstance(value, bool | int | float | list | dict)
    return dump_json(value) if known else text_of(value)


def series_of(name: str, values: Sequence[Any]) -> pl.Series:
    """A column of JSON values: a native type where all rows share one, else String.

    Where the values have different types (``5`` and ``"five"``, or objects with different keys), strings
    stay as they are and everything else becomes its JSON text.

    Examples:
        >>> series_of("tags", [["a"], [], None]).dtype
        List(String)
        >>> series_of("level", [1, "two", {"n": 3}]).to_list()
        ['1', 'two', '{"n": 3}']
    """
    dtype = _dtype(values)
    if dtype is not None:
        return pl.Series(name, values, dtype=dtype, strict=False)
    return pl.Series(
        name, [v if v is None or isinstance(v, str) else dump_json(v) for v in values], dtype=pl.String
    )


def _dtype(values: Sequence[Any]) -> pl.DataType | None:
    kinds = {type(v) for v in values if v is not None}
    if kinds <= {str}:
        return pl.String()
    if kinds == {bool}:
        return pl.Boolean()
    if kinds <= {int, float}:
        return _number(values, float in kinds)
    if kinds == {list}:
        inner = _dtype(list(chain.from_iterable(v for v in values if v is not None)))
        return None if inner is None else pl.List(inner)
    return _struct([v for v in values if v is not None]) if kinds == {dict} else None


def _number(values: Sequence[Any], with_floats: bool) -> pl.DataType | None:
    whole = [v for v in values if type(v) is int]
    if not with_floats:
        return pl.Int64() if all(-_INT64 <= v < _INT64 for v in whole) else None
    return pl.Float64() if all(abs(v) <= 2**53 for v in whole) else None


def _struct(rows: list[dict[str, Any]]) -> pl.DataType | None:
    keys = list(rows[0])
    if not keys or any(row.keys() != rows[0].keys() for row in rows):
        return None
    inner = {key: _dtype([row[key] for row in rows]) for key in keys}
    if any(dtype is None for dtype in inner.values()):
        return None
    return pl.Struct({key: dtype for key, dtype in inner.items() if dtype is not None})


def text_series(series: pl.Series) -> pl.Series:
    """A column as text for CSV; null stays null.

    Nested values become the JSON that they are in JSON lines, bytes base64, spans of time ISO 8601
    (``P1DT5S``).

    Examples:
        >>> text_series(pl.Series("a", [[1, 2], None])).to_list()
        ['[1, 2]', None]
        >>> text_series(pl.Series("b", [[b"ab"]])).to_list()
        ['["YWI="]']
    """
    if series.dtype == pl.String:
        return series
    if series.dtype.is_nested():
        values = [json.loads(text)["v"] for text in frame_texts(series.to_frame("v"))]
    elif series.dtype == pl.Object:
        values = series.to_list()
    elif series.dtype == pl.Binary:
        return series.bin.encode("base64")
    elif series.dtype in (pl.Duration, pl.Time):
        # A cast to text fails for a span of time, and cuts a time of day to seconds.
        return series.dt.to_string("iso")
    else:
        return series.cast(pl.String)
    return pl.Series(series.name, [None if v is None else dump_json(v) for v in values], dtype=pl.String)


def stack(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Frames one below the other; a column that one lacks is null there.

    Columns of one name and different types become their common type, or text where there is none.

    Examples:
        >>> stack([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": ["x"], "b": [[2]]})]).rows()
        [('1', None), ('x', [2])]
    """
    if len(frames) == 1:
        return frames[0]
    names = dict.fromkeys(name for frame in frames for name in frame.columns)
    unlike = [name for name in names if not _concatenates([f[name] for f in frames if name in f.columns])]
    texts = [f.with_columns(text_series(f[c]) for c in unlike if c in f.columns) for f in frames]
    return pl.concat(texts, how="diagonal_relaxed")


def _concatenates(columns: Sequence[pl.Series]) -> bool:
    dtypes = {column.dtype for column in columns}
    if len(dtypes) == 1:
        return True
    if not all(_alike(a, b) for a, b in combinations(dtypes, 2)):
        return False
    # Whether a list becomes text shows only with rows, so all of them are tried.
    try:
        pl.concat([column.to_frame() for column in columns], how="vertical_relaxed")
    except pl.exceptions.PolarsError:
        return False
    return True


def _alike(a: Any, b: Any) -> bool:
    """Whether the common type of polars keeps what is in both.

    It does not for some that polars puts together: an object beside text becomes ``{1}``, text beside
    bytes becomes bytes, a span of time beside a number a count of its unit.
    """
    if pl.Null in (a, b):
        return True
    if isinstance(a, pl.List | pl.Array) and isinstance(b, pl.List | pl.Array):
        return _alike(a.inner, b.inner)
    if isinstance(a, pl.Struct) and isinstance(b, pl.Struct):
        other = {field.name: field.dtype for field in b.fields}
        return all(_alike(f.dtype, other[f.name]) for f in a.fields if f.name in other)
    return _kind(a) == _kind(b)


def _kind(dtype: Any) -> Any:
    if dtype.is_numeric() or dtype == pl.Boolean:
        return "number"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    return "date" if dtype in (pl.Date, pl.Datetime) else dtype.base_type()
