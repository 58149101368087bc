"""Column types that JSON and CSV do not have: bytes, times, spans of time, decimals, categories."""

from __future__ import annotations

import csv
import json
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from imine.records import read, read_records, write
from imine.records.values import stack

RAW = b"\x00\xff"
BASE64 = "AP8="
SPAN, SPAN_TEXT = timedelta(days=1, seconds=5, microseconds=7), "P1DT5.000007S"

# value of one row and its type in Parquet, and the value expected in JSON
VALUES = {
    "bytes": (RAW, pl.Binary, BASE64),
    "list_of_bytes": ([RAW, None], pl.List(pl.Binary), [BASE64, None]),
    "array_of_bytes": ([RAW], pl.Array(pl.Binary, 1), [BASE64]),
    "image": (
        {"bytes": RAW, "path": "a.png"},
        pl.Struct({"bytes": pl.Binary, "path": pl.String}),
        {"bytes": BASE64, "path": "a.png"},
    ),
    "deep": (
        [{"a b": {"c": [[RAW]]}, "n": 1}],
        pl.List(pl.Struct({"a b": pl.Struct({"c": pl.List(pl.List(pl.Binary))}), "n": pl.Int64})),
        [{"a b": {"c": [[BASE64]]}, "n": 1}],
    ),
    "span": (SPAN, pl.Duration("us"), SPAN_TEXT),
    "span_back": (-timedelta(seconds=5), pl.Duration("ms"), "-PT5S"),
    "list_of_spans": ([SPAN], pl.List(pl.Duration("us")), [SPAN_TEXT]),
    "struct_of_span": ({"d": SPAN}, pl.Struct({"d": pl.Duration("us")}), {"d": SPAN_TEXT}),
    "time": (time(1, 2, 3, 500_000), pl.Time, "01:02:03.500"),
    "list_of_times": ([time(1, 2, 3)], pl.List(pl.Time), ["01:02:03"]),
    "date": (date(2020, 1, 1), pl.Date, "2020-01-01"),
    "decimal": (Decimal("1.50"), pl.Decimal(38, 2), "1.50"),
    "list_of_decimals": ([Decimal("1.50")], pl.List(pl.Decimal(38, 2)), ["1.50"]),
    "category": ("red", pl.Categorical, "red"),
    "list_of_categories": (["red"], pl.List(pl.Categorical), ["red"]),
    "enum": ("red", pl.Enum(["red", "blue"]), "red"),
}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Two rows of every type, the second null."""
    columns = [pl.Series(name, [value, None], dtype=dtype) for name, (value, dtype, _) in VALUES.items()]
    frame = pl.DataFrame({"id": ["a", "b"], "instruction": ["x", "y"], "output": ["1", "2"]})
    frame.hstack(columns).write_parquet(tmp_path / "pool.parquet")
    return tmp_path / "pool.parquet"


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_types_of_parquet_in_json(pool, suffix):
    target = pool.with_name(f"out{suffix}")
    read_records(pool).write(target, ["b", "a"])
    text = target.read_text()
    second, first = map(json.loads, text.splitlines()) if suffix == ".jsonl" else json.loads(text)
    assert {name: first[name] for name in VALUES} == {name: v[2] for name, v in VALUES.items()}
    assert {name: second[name] for name in VALUES} == dict.fromkeys(VALUES)


def test_types_of_parquet_in_csv(pool):
    read_records(pool).write(pool.with_name("out.csv"))
    with pool.with_name("out.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    for name, (_, _, expected) in VALUES.items():
        nested = isinstance(expected, list | dict)
        assert (json.loads(first[name]) if nested else first[name]) == expected, name
        assert second[name] == "", name
    assert "b'" not in pool.with_name("out.csv").read_text()


def test_types_of_parquet_come_back_in_parquet(pool):
    read_records(pool).write(pool.with_name("out.parquet"))
    assert pl.read_parquet(pool.with_name("out.parquet")).equals(pl.read_parquet(pool))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_types_of_a_frame_written_alone(pool, suffix):
    write(read(pool), pool.with_name(f"out{suffix}"))
    again = read(pool.with_name(f"out{suffix}"))
    assert again["bytes"][0] == BASE64
    assert again["span"][0] == SPAN_TEXT


def test_bytes_beside_another_layout(pool):
    other = pool.with_name("b.jsonl")
    other.write_text('{"instruction": "p", "output": "q", "image": "none", "span": 5}\n')
    records = read_records([pool, other])
    assert json.loads(records.frame["image"][0]) == VALUES["image"][2]
    assert records.frame["span"].to_list() == [SPAN_TEXT, None, "5"]
    records.write(pool.with_name("out.csv"))
    assert read(pool.with_name("out.csv"))["image"].to_list()[2] == "none"


def test_bytes_in_a_bad_row_and_in_an_added_column(pool):
    frame = pl.read_parquet(pool).with_columns(output=pl.Series([None, "2"]))
    frame.write_parquet(pool)
    records = read_records(pool, on_bad_row="skip")
    assert json.loads(records.bad_rows[0].raw)["image"] == VALUES["image"][2]
    extra = pl.DataFrame({"id": ["b"], "mark": [{"raw": RAW}], "gap": [SPAN], "share": [float("nan")]})
    records.write(pool.with_name("out.jsonl"), extra=extra)
    row = json.loads(pool.with_name("out.jsonl").read_text())
    assert (row["mark"], row["gap"], row["share"]) == ({"raw": BASE64}, SPAN_TEXT, None)


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (pl.Series([RAW]), pl.Series(["x"]), [BASE64, "x"]),
        (pl.Series([{"a": 1}]), pl.Series(["x"]), ['{"a": 1}', "x"]),
        (pl.Series([[{"a": 1}]]), pl.Series([["x"]]), ['[{"a": 1}]', '["x"]']),
        (pl.Series([{"a": RAW}]), pl.Series([{"a": "x"}]), [f'{{"a": "{BASE64}"}}', '{"a": "x"}']),
        (pl.Series([SPAN]), pl.Series([5]), [SPAN_TEXT, "5"]),
        (pl.Series([[1]]), pl.Series([[0.5]]), [[1.0], [0.5]]),
        (pl.Series([{"a": 1}]), pl.Series([{"b": 2}]), [{"a": 1, "b": None}, {"a": None, "b": 2}]),
        (pl.Series([{"a": RAW}]), pl.Series([None]), [{"a": RAW}, None]),
    ],
)
def test_columns_of_unlike_types_are_put_together_without_loss(one, two, expected):
    assert stack([one.to_frame("c"), two.to_frame("c")])["c"].to_list() == expected


@pytest.mark.skipif(not hasattr(pl, "Map"), reason="this polars has no maps")
def test_bytes_in_a_map(tmp_path):
    pairs = pl.List(pl.Struct({"key": pl.String, "value": pl.Binary}))
    column = pl.Series("m", [[{"key": "k", "value": RAW}], None], dtype=pairs)
    write(pl.DataFrame([column.cast(pl.Map(pl.String, pl.Binary))]), tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text() == f'{{"m":{{"k":"{BASE64}"}}}}\n{{"m":null}}\n'
