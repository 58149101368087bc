"""Every layout in every container and compression: read, and written back as it came."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import polars as pl
import pytest
import zstandard

from imine.errors import FormatError
from imine.records import read, read_records, write

ALPACA = [
    {"instruction": "Add.", "input": "1 2", "output": "3", "level": 1, "score": 0.5, "tags": ["a", "b"]},
    {"instruction": "Grüße auf \u2028 Türkisch", "input": "", "output": 'a "quote",\nand a line', "level": 2,
     "score": 1.0, "tags": []},
    {"instruction": "Say nothing.", "input": "", "output": "", "level": 3, "score": None, "tags": ["c"]},
]  # fmt: skip
PAIRS = [{"prompt": "Why?", "completion": "Because."}, {"prompt": "Who?", "completion": "Me; you\t."}]
SHAREGPT = [
    {"conversations": [{"from": "system", "value": "Be kind."}, {"from": "human", "value": "Hi"},
                       {"from": "gpt", "value": "Hello"}], "model": "x"},
    {"conversations": [{"from": "human", "value": "Bye"}, {"from": "gpt", "value": "Ciao"}], "model": None},
]  # fmt: skip
MESSAGES = [
    {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        "n": {"deep": [1]},
    },
    {
        "messages": [{"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Ciao"}],
        "n": {"deep": []},
    },
]
ROWS = {"alpaca": ALPACA, "prompt_completion": PAIRS, "sharegpt": SHAREGPT, "messages": MESSAGES}
EXPECTED = {
    "alpaca": [
        ("Add.", "1 2", "3"),
        (ALPACA[1]["instruction"], "", ALPACA[1]["output"]),
        ("Say nothing.", "", ""),
    ],
    "prompt_completion": [("Why?", "", "Because."), ("Who?", "", "Me; you\t.")],
    "sharegpt": [("Be kind.\n\nHi", "", "Hello"), ("Bye", "", "Ciao")],
    "messages": [("Hi", "", "Hello"), ("Bye", "", "Ciao")],
}
SUFFIXES = [
    *(f"{kind}{packed}" for kind in (".jsonl", ".json", ".csv", ".tsv") for packed in ("", ".gz", ".zst")),
    ".ndjson",
    ".parquet",
]


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def plain_file(path: Path, rows: list[dict]) -> Path:
    """Write rows without imine."""
    kind = path.name.split(".")[1]
    if kind == "parquet":
        pl.DataFrame(rows).write_parquet(path)
        return path
    if kind in ("jsonl", "ndjson"):
        text = "".join(dump(row) + "\n" for row in rows)
    elif kind == "json":
        text = json.dumps(rows, ensure_ascii=False, indent=2)
    else:
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
        writer.writeheader()
        writer.writerows(
            {k: dump(v) if isinstance(v, list | dict) else v for k, v in row.items()} for row in rows
        )
        text = out.getvalue()
    pack = {"gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}.get(path.suffix[1:], bytes)
    path.write_bytes(pack(text.encode()))
    return path


def plain_text(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(data).read()
    return data.decode()


def texts(frame: pl.DataFrame) -> list[tuple]:
    return frame.select("instruction", "input", "output").rows()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("layout", list(ROWS))
def test_reads_every_layout_in_every_container_and_writes_it_back(tmp_path, layout, suffix):
    path = plain_file(tmp_path / f"pool{suffix}", ROWS[layout])
    records = read_records(path)
    (decision,) = records.decisions
    assert decision.layout == layout
    kind = suffix.split(".")[1]
    assert decision.container == {"ndjson": "jsonl", "tsv": "csv"}.get(kind, kind)
    assert texts(records.frame) == EXPECTED[layout]
    assert records.frame["source"].unique().to_list() == ["pool"]
    target = tmp_path / f"out{suffix}"
    records.write(target, records.frame["id"])
    again = read_records(target)
    assert texts(again.frame) == EXPECTED[layout]
    assert again.frame.drop("source").equals(records.frame.drop("source"))


@pytest.mark.parametrize("layout", list(ROWS))
@pytest.mark.parametrize("packed", ["", ".gz", ".zst"])
def test_json_lines_come_back_to_the_letter_in_the_order_asked_for(tmp_path, layout, packed):
    path = plain_file(tmp_path / f"pool.jsonl{packed}", ROWS[layout])
    records = read_records(path)
    ids = records.frame["id"].to_list()[::-1]
    records.write(tmp_path / f"out.jsonl{packed}", ids)
    assert plain_text(tmp_path / f"out.jsonl{packed}").splitlines(keepends=False) == [
        line for row in ROWS[layout][::-1] for line in dump(row).splitlines()
    ]


def test_json_keeps_escapes_big_numbers_and_key_order(tmp_path):
    line = '{"z": 123456789012345678901234567890, "output": "caf\\u00e9", "instruction": "a", "f": 1e400}'
    (tmp_path / "a.jsonl").write_text(line + "\n")
    records = read_records(tmp_path / "a.jsonl")
    records.write(tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_text() == line + "\n"
    assert records.frame["z"].to_list() == ["123456789012345678901234567890"]


def test_json_array_written_to_json_lines_is_one_line_a_row(tmp_path):
    records = read_records(plain_file(tmp_path / "a.json", ALPACA))
    records.write(tmp_path / "b.jsonl")
    assert [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().split("\n")[:-1]] == ALPACA


def test_json_array_keeps_its_indent(tmp_path):
    path = plain_file(tmp_path / "a.json", ALPACA)
    read_records(path).write(tmp_path / "b.json")
    assert (tmp_path / "b.json").read_text() == path.read_text() + "\n"


@pytest.mark.parametrize("around", [{"data": ALPACA}, {"version": "1", "train": ALPACA, "seed": [3]}])
def test_json_object_around_the_rows_is_kept(tmp_path, around):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(around, indent=1))
    records = read_records(path)
    assert "rows under" in records.decisions[0].describe()
    records.write(tmp_path / "b.json", records.frame["id"][1:])
    key = next(k for k, v in around.items() if v is ALPACA)
    written = json.loads((tmp_path / "b.json").read_text())
    assert written == {**around, key: ALPACA[1:]}
    assert list(written) == list(around)


@pytest.mark.parametrize("row", [ALPACA[0], MESSAGES[0], SHAREGPT[0]])
def test_json_file_of_one_object_is_one_row(tmp_path, row):
    (tmp_path / "a.json").write_text(json.dumps(row, indent=1))
    assert read(tmp_path / "a.json").height == 1


def test_parquet_keeps_types_and_rows_exactly(tmp_path):
    frame = pl.DataFrame(
        {
            "id": ["a", "b"],
            "source": ["s", "s"],
            "instruction": ["x", "y"],
            "input": ["", ""],
            "output": ["1", "2"],
            "when": pl.Series(["2020-01-01", None]).str.to_date(),
            "level": pl.Series([1, 2], dtype=pl.Int8),
            "kind": pl.Series(["u", "v"], dtype=pl.Categorical),
            "nested": [[{"a": 1}], [{"a": None}]],
            "nothing": pl.Series([None, None], dtype=pl.Null),
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    records = read_records(tmp_path / "a.parquet")
    records.write(tmp_path / "b.parquet", ["b", "a"])
    back = pl.read_parquet(tmp_path / "b.parquet")
    assert back.schema == pl.read_parquet(tmp_path / "a.parquet").schema
    assert back.rows() == frame[[1, 0]].rows()


def test_canonical_parquet_reads_as_it_is(tmp_path):
    frame = pl.DataFrame(
        {"id": ["a"], "source": ["s"], "instruction": ["x"], "input": ["y"], "output": ["z"], "n": [1]}
    )
    frame.write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").equals(frame)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".csv.zst"])
@pytest.mark.parametrize("origin", [".jsonl", ".parquet", ".csv"])
def test_converts_between_containers(tmp_path, origin, suffix):
    records = read_records(plain_file(tmp_path / f"a{origin}", ALPACA))
    records.write(tmp_path / f"b{suffix}")
    again = read(tmp_path / f"b{suffix}")
    assert texts(again) == EXPECTED["alpaca"]
    assert set(again.columns) >= {"level", "score", "tags"}
    assert [json.loads(v) if isinstance(v, str) else v for v in again["tags"].to_list()] == [
        ["a", "b"],
        [],
        ["c"],
    ]


def test_files_of_different_layouts_keep_theirs_in_json_and_are_put_together_in_a_table(tmp_path):
    one, two = plain_file(tmp_path / "a.jsonl", ALPACA), plain_file(tmp_path / "b.parquet", MESSAGES)
    records = read_records([one, two])
    assert records.frame["source"].to_list() == ["a"] * 3 + ["b"] * 2
    ids = records.frame["id"].to_list()
    order = [ids[3], ids[0], ids[4]]
    records.write(tmp_path / "c.jsonl", order)
    rows = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().split("\n")[:-1]]
    assert rows == [MESSAGES[0], ALPACA[0], MESSAGES[1]]
    records.write(tmp_path / "c.parquet", order)
    table = pl.read_parquet(tmp_path / "c.parquet")
    assert table["instruction"].to_list() == [None, "Add.", None]
    assert table["messages"].to_list() == [MESSAGES[0]["messages"], None, MESSAGES[1]["messages"]]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_extra_columns_are_added_by_id(tmp_path, suffix):
    records = read_records(plain_file(tmp_path / f"a{suffix}", ALPACA))
    first, second, third = records.frame["id"]
    extra = pl.DataFrame(
        {"id": [second, first], "imine_reason": ["too long", "no ü"], "imine_loss": [0.5, 2.0]}
    )
    records.write(tmp_path / f"b{suffix}", [first, second, third], extra)
    again = read(tmp_path / f"b{suffix}")
    assert again["imine_reason"].to_list()[:2] == ["no ü", "too long"]
    assert [float(v) for v in again["imine_loss"].to_list()[:2]] == [2.0, 0.5]
    assert again["imine_reason"].to_list()[2] in (None, "")
    assert texts(again) == EXPECTED["alpaca"]


def test_extra_with_an_id_twice_is_an_error(tmp_path):
    records = read_records(plain_file(tmp_path / "a.jsonl", ALPACA))
    name = records.frame["id"][0]
    with pytest.raises(ValueError, match="extra: an id stands in it twice"):
        records.write(tmp_path / "b.jsonl", [name], pl.DataFrame({"id": [name, name], "x": [1.0, 2.0]}))


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
@pytest.mark.parametrize("origin", [".jsonl", ".parquet"])
def test_no_rows_can_be_written(tmp_path, origin, suffix):
    records = read_records(plain_file(tmp_path / f"a{origin}", ALPACA))
    records.write(
        tmp_path / f"b{suffix}", [], pl.DataFrame({"id": [], "why": []}, schema={"id": str, "why": str})
    )
    if suffix == ".json":
        assert json.loads((tmp_path / "b.json").read_text()) == []
    elif suffix == ".jsonl":
        assert (tmp_path / "b.jsonl").read_text() == ""
    elif suffix == ".csv":
        assert (tmp_path / "b.csv").read_text() == "instruction,input,output,level,score,tags,why\n"
    else:
        assert pl.read_parquet(tmp_path / "b.parquet").shape == (0, 7)


def test_unknown_ids_and_suffixes_are_errors(tmp_path):
    records = read_records(plain_file(tmp_path / "a.jsonl", ALPACA))
    with pytest.raises(ValueError, match="ids: 1 of them are not among the records, 'nobody'"):
        records.write(tmp_path / "b.jsonl", ["nobody"])
    with pytest.raises(FormatError, match=r"the suffix says no format to write; allowed: \.jsonl"):
        records.write(tmp_path / "b.xml")
    with pytest.raises(FormatError, match=r"leave \.gz away"):
        records.write(tmp_path / "b.parquet.gz")
    assert not list(tmp_path.glob("b*"))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "b.parquet"
    target.write_text("old")
    with pytest.raises(BaseException, match=r".+"):
        write(pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}), target)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["b.parquet"]


def test_csv_delimiter_is_told_and_kept(tmp_path):
    (tmp_path / "a.csv").write_text("question;answer\nA, b?;c\n")
    records = read_records(tmp_path / "a.csv")
    assert "delimiter ';'" in records.decisions[0].describe()
    assert texts(records.frame) == [("A, b?", "", "c")]
    records.write(tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text() == "question;answer\nA, b?;c\n"


def test_long_csv_fields_and_the_module_limit(tmp_path):
    before = csv.field_size_limit()
    rows = [{"prompt": "p" * 300_000, "completion": "c"}]
    assert texts(read(plain_file(tmp_path / "a.csv", rows))) == [("p" * 300_000, "", "c")]
    assert csv.field_size_limit() == before


def test_public_write_takes_any_frame(tmp_path):
    frame = read(plain_file(tmp_path / "a.jsonl", ALPACA))
    for suffix in (".jsonl", ".json.gz", ".parquet"):
        write(frame, tmp_path / f"b{suffix}")
        assert read(tmp_path / f"b{suffix}").equals(frame)
    write(frame, tmp_path / "b.csv")
    assert texts(read(tmp_path / "b.csv")) == texts(frame)


def test_public_write_like_the_records_it_came_from(tmp_path):
    records = read_records(plain_file(tmp_path / "a.jsonl", MESSAGES))
    write(records.frame[1:], tmp_path / "b.jsonl", like=records)
    assert json.loads((tmp_path / "b.jsonl").read_text()) == MESSAGES[1]


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_compressed_files_cut_off_are_errors(tmp_path, packed):
    path = plain_file(tmp_path / f"a.jsonl{packed}", [{**ALPACA[0], "output": str(list(range(5000)))}] * 50)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match="cut off"):
        read(path)


def test_compressed_files_of_several_members(tmp_path):
    lines = [(dump(row) + "\n").encode() for row in PAIRS]
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(map(zstandard.ZstdCompressor().compress, lines)))
    (tmp_path / "a.jsonl.gz").write_bytes(b"".join(map(gzip.compress, lines)))
    assert read(tmp_path / "a.jsonl.zst").height == read(tmp_path / "a.jsonl.gz").height == 2
