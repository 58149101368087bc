"""Values of JSON rows as polars columns, and back to text, without loss."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import polars as pl

_INT64 = 2**63


def dump_json(value: Any) -> str:
    """JSON text in one line, Unicode as it is.

    Examples:
        >>> dump_json({"a": "é", "b": [1, 2.5, None]})
        '{"a": "é", "b": [1, 2.5, null]}'
    """
    return json.dumps(value, ensure_ascii=False, default=str)


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
    """A column as text for CSV: nested values as JSON, bytes as base64, null stays null.

    Examples:
        >>> text_series(pl.Series("a", [[1, 2], None])).to_list()
        ['[1, 2]', None]
    """
    if series.dtype == pl.String:
        return series
    if series.dtype.is_nested() or series.dtype == pl.Object:
        texts = [None if v is None else dump_json(_finite(v)) for v in series.to_list()]
        return pl.Series(series.name, texts, dtype=pl.String)
    if series.dtype == pl.Binary:
        return series.bin.encode("base64")
    return series.cast(pl.String)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return {k: _finite(v) for k, v in value.items()} if isinstance(value, dict) else value


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
    if len({column.dtype for column in columns}) == 1:
        return True
    # Whether a list becomes text shows only with rows, so all of them are tried.
    try:
        pl.concat([column.to_frame() for column in columns], how="vertical_relaxed")
    except pl.exceptions.PolarsError:
        return False
    return True
