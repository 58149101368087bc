"""Files of bad rows only, files without a row, and runs of which no record is left."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from imine.errors import BadRowError, FormatError
from imine.records import read, read_records

GOOD = {"instruction": "a", "output": "b"}


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_a_file_of_bad_rows_only_does_not_end_a_run_that_skips_them(tmp_path):
    bad, good = lines(tmp_path / "bad.jsonl", "x", "y"), lines(tmp_path / "good.jsonl", {**GOOD, "n": 1})
    (tmp_path / "bad.csv").write_text("instruction,output,n\nonly one\n")
    files = [bad, tmp_path / "bad.csv", good]
    with pytest.raises(BadRowError, match=r"bad\.jsonl, line 1: invalid JSON.* 2 more bad rows follow"):
        read(files)
    records = read_records(files, on_bad_row="skip")
    assert records.frame.drop("id").rows(named=True) == [
        {"source": "good", "instruction": "a", "input": "", "output": "b", "n": 1}
    ]
    assert [(Path(b.file).name, b.line) for b in records.bad_rows] == [
        ("bad.jsonl", 1), ("bad.jsonl", 2), ("bad.csv", 2)
    ]  # fmt: skip
    assert records.decisions[0].describe().endswith("jsonl, layout unknown, 0 rows, 2 bad rows")
    records.write_bad_rows(tmp_path / "aside.jsonl")
    assert len((tmp_path / "aside.jsonl").read_text().splitlines()) == 3
    records.write(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "instruction,output,n\na,b,1\n"
    records.write(tmp_path / "none.csv", [])
    assert (tmp_path / "none.csv").read_text() == "instruction,output,n\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["x", "y"],
            r"no record left of the files to read: 2 bad rows, the first .*a\.jsonl, line 1: invalid",
        ),
        ([{"instruction": "a", "output": None}], r"1 bad row, the first .*line 1: 'output' is null\. Mend"),
    ],
)
def test_no_record_left_after_bad_rows_is_an_error(tmp_path, rows, message):
    path = lines(tmp_path / "a.jsonl", *rows)
    with pytest.raises(BadRowError, match="line 1"):
        read(path)
    with pytest.raises(FormatError, match=message):
        read(path, on_bad_row="skip")


def rowless(folder: Path) -> list[Path]:
    contents = {
        "nothing.jsonl": b"", "blank.csv": b"\n\n", "header.csv": b"instruction,output\n", "list.json": b"[]",
        "wrapped.json": b'{"data": []}', "blank.tsv.gz": gzip.compress(b" \n"),
    }  # fmt: skip
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    empty = pl.DataFrame(schema={"instruction": pl.String, "output": pl.String, "n": pl.Int64})
    empty.write_parquet(folder / "schema.parquet")
    return [*(folder / name for name in contents), folder / "schema.parquet"]


@pytest.mark.parametrize("mode", ["fail", "skip"])
def test_files_without_a_row_are_an_error_where_nothing_else_is_read(tmp_path, mode):
    paths = rowless(tmp_path)
    for path in paths:
        with pytest.raises(
            FormatError, match=f"no record left of the files to read: no row in .*{path.name}"
        ):
            read(path, on_bad_row=mode)
    with pytest.raises(FormatError, match=r"no row in .*nothing\.jsonl, .*wrapped\.json and 2 more\. Mend"):
        read(paths, on_bad_row=mode)


@pytest.mark.parametrize("mode", ["fail", "skip"])
def test_files_without_a_row_beside_others_are_said(tmp_path, mode):
    good = lines(tmp_path / "good.jsonl", {**GOOD, "n": 1})
    records = read_records([*rowless(tmp_path), good], on_bad_row=mode)
    assert records.frame["n"].to_list() == [1]
    assert [d.rows for d in records.decisions] == [0] * 7 + [1]
    assert "nothing.jsonl: jsonl [is empty], layout unknown, 0 rows" in records.decisions[0].describe()
    records.write(tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {**GOOD, "n": 1}


def test_bad_rows_and_files_without_a_row_are_both_named(tmp_path):
    (tmp_path / "b.csv").write_text("")
    paths = [lines(tmp_path / "a.jsonl", "x"), tmp_path / "b.csv"]
    with pytest.raises(
        FormatError, match=r"1 bad row, the first .*a\.jsonl, line 1: .*; no row in .*b\.csv\."
    ):
        read(paths, on_bad_row="skip")
