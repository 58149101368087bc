"""How files, containers and layouts are told apart, and how that is overridden."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from imine.errors import FormatError
from imine.records import read, read_records
from imine.records.layouts import SPELLINGS, parse_format

TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def lines(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("keys", "layout", "columns"),
    [
        (["instruction", "input", "output", "text"], "alpaca", ["instruction", "input", "output"]),
        (
            ["instruction", "context", "response", "category"],
            "alpaca",
            ["instruction", "context", "response"],
        ),
        (["Question", "Answer"], "alpaca", ["Question", None, "Answer"]),
        (["query", "response", "original_question"], "alpaca", ["query", None, "response"]),
        (["input", "output"], "alpaca", ["input", None, "output"]),
        (["inputs", "targets"], "alpaca", ["inputs", None, "targets"]),
        (["input", "context", "output"], "alpaca", ["input", "context", "output"]),
        (["problem", "solution"], "alpaca", ["problem", None, "solution"]),
        (["prompt", "response"], "alpaca", ["prompt", None, "response"]),
        (["prompt", "context", "completion"], "alpaca", ["prompt", "context", "completion"]),
        (["prompt", "instruction", "output", "response"], "alpaca", ["instruction", None, "output"]),
        (["prompt", "completion", "answer"], "prompt_completion", None),
    ],
)
def test_columns_are_told_by_name(tmp_path, keys, layout, columns):
    records = read_records(lines(tmp_path / "a.jsonl", {k: f"<{k}>" for k in keys}))
    (decision,) = records.decisions
    assert decision.layout == layout
    if columns:
        assert [decision.columns.get(f) for f in ("instruction", "input", "output")] == columns
        expected = tuple(f"<{c}>" if c else "" for c in columns)
        assert records.frame.select("instruction", "input", "output").row(0) == expected
    used = set(decision.columns.values())
    own = [k if k not in records.frame.columns[:5] else f"{k}_original" for k in keys if k not in used]
    assert records.frame.columns[5:] == own


@pytest.mark.parametrize("spelling", SPELLINGS["output"])
def test_every_spelling_of_the_output(tmp_path, spelling):
    assert read(lines(tmp_path / "a.jsonl", {"query": "q", spelling: "a"}))["output"].to_list() == ["a"]


@pytest.mark.parametrize("spelling", SPELLINGS["instruction"])
def test_every_spelling_of_the_instruction(tmp_path, spelling):
    assert read(lines(tmp_path / "a.jsonl", {spelling: "q", "reply": "a"}))["instruction"].to_list() == ["q"]


def test_conversations_come_before_text_columns(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"prompt": "p", "prompt_id": "7", "messages": TALK})
    assert read_records(path).decisions[0].layout == "messages"


def test_a_column_named_messages_that_holds_none_is_no_conversation(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"instruction": "p", "output": "o", "messages": 3})
    assert read_records(path).decisions[0].layout == "alpaca"


def test_a_stray_row_does_not_decide_for_the_file(tmp_path):
    rows = [{"instruction": "a", "output": "b"}] * 3
    path = lines(tmp_path / "a.jsonl", *rows, {"messages": TALK})
    records = read_records(path, on_bad_row="skip")
    assert records.decisions[0].layout == "alpaca"
    assert [(b.line, b.reason) for b in records.bad_rows] == [(4, "'instruction' is missing")]


def test_a_rare_input_is_still_the_input(tmp_path):
    rows = [{"instruction": "a", "output": "b"}] * 3
    assert read(lines(tmp_path / "a.jsonl", *rows, {**rows[0], "input": "c"}))["input"].to_list() == [
        "",
        "",
        "",
        "c",
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"question": "q", "query": "r", "answer": "a"},
            "'question' and 'query' could each be the instruction",
        ),
        ({"question": "q", "answer": "a", "response": "r"}, "--map output=answer"),
        ({"question": "q", "chosen": "a"}, r"needs a column for the output.*columns found: question, chosen"),
        ({"text": "q"}, r"needs a column for the instruction.*map=\{'instruction': 'COLUMN'\}"),
        ({"messages": TALK, "conversations": TALK}, "'conversations' and 'messages' both hold conversations"),
    ],
)
def test_ambiguous_and_unknown_columns_are_named_with_what_to_give(tmp_path, row, message):
    with pytest.raises(FormatError, match=message):
        read(lines(tmp_path / "a.jsonl", row))


def test_map_overrides_names(tmp_path):
    path = lines(
        tmp_path / "a.jsonl", {"my_question": "q", "my_answer": "a", "uid": 7, "set": "s", "output": "x"}
    )
    mapping = {"instruction": "my_question", "output": "my_answer", "id": "uid", "source": "set"}
    frame = read(path, map=mapping)
    assert frame.rows(named=True) == [
        {"id": "7", "source": "s", "instruction": "q", "input": "", "output": "a", "output_original": "x"}
    ]


def test_map_can_say_that_there_is_no_such_column(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"instruction": "q", "context": "long", "output": "a"})
    frame = read(path, map={"input": None})
    assert frame["input"].to_list() == [""]
    assert frame["context"].to_list() == ["long"]


def test_map_names_the_conversation(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"chat": TALK})
    assert read_records(path, map={"messages": "chat"}).decisions[0].layout == "messages"
    assert read_records(path, map={"conversations": "chat"}).decisions[0].layout == "sharegpt"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"instruction": "nope"}, r"no such column; columns found: instruction, output"),
        ({"title": "output"}, r"'title' is no field; allowed: instruction, input"),
        ({"instruction": "instruction", "completion": "output"}, "does not belong to the layout"),
    ],
)
def test_wrong_maps_are_errors(tmp_path, mapping, message):
    with pytest.raises(FormatError, match=message):
        read(lines(tmp_path / "a.jsonl", {"instruction": "q", "output": "a"}), map=mapping)


def test_format_names_the_layout(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"prompt": "p", "completion": "c", "messages": TALK})
    assert read_records(path).decisions[0].layout == "messages"
    assert read_records(path, format="prompt-completion").decisions[0].layout == "prompt_completion"
    assert read_records(path, format="jsonl:alpaca").decisions[0].layout == "alpaca"
    with pytest.raises(FormatError, match="the layout sharegpt needs a column for the conversations"):
        read(path, format="sharegpt")


def test_format_names_the_container(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text("prompt\tcompletion\na, b\tc\n")
    assert read(path, format="tsv")["instruction"].to_list() == ["a, b"]
    with pytest.raises(FormatError, match="is no Parquet file"):
        read(path, format="parquet")
    pl.DataFrame({"prompt": ["a"], "completion": ["b"]}).write_parquet(path)
    assert read(path)["output"].to_list() == ["b"]
    with pytest.raises(FormatError, match="is a Parquet file, but --format says csv"):
        read(path, format="csv")


def test_unknown_formats_are_errors():
    assert parse_format("NDJSON:ShareGPT") == parse_format("jsonl:sharegpt")
    with pytest.raises(FormatError, match="'xml' is not known; allowed: auto, jsonl"):
        parse_format("xml")
    with pytest.raises(FormatError, match="is not known"):
        parse_format("csv:json")


@pytest.mark.parametrize(
    ("name", "text", "container"),
    [
        ("a.jsonl", '[{"prompt": "p", "completion": "c"}]', "json"),
        ("a.jsonl", '[\n{"prompt": "p", "completion": "c"}\n]', "json"),
        ("a.json", '{"prompt": "p", "completion": "c"}\n{"prompt": "q", "completion": "d"}\n', "jsonl"),
        ("a.json", '\n\n{"prompt": "p", "completion": "c"}\n\n{"prompt": "q", "completion": "d"}\n', "jsonl"),
        ("a.json", '{"prompt": "p",\n "completion": "c"}', "json"),
        ("a.csv", '{"prompt": "p", "completion": "c"}\n', "jsonl"),
        ("a.csv", "prompt,completion\np,c\n", "csv"),
        ("a", '{"prompt": "p", "completion": "c"}\n', "jsonl"),
        ("a.txt", "prompt,completion\np,c\n", "csv"),
        ("a.jsonl", '\ufeff{"prompt": "p", "completion": "c"}\n', "jsonl"),
        ("a.csv", "\ufeffprompt,completion\r\np,c\r\n", "csv"),
    ],
)
def test_content_decides_before_the_suffix(tmp_path, name, text, container):
    (tmp_path / name).write_bytes(text.encode())
    records = read_records(tmp_path / name)
    assert records.decisions[0].container == container
    assert records.frame.select("instruction", "output").row(0) == ("p", "c")


def test_a_surprising_container_is_said(tmp_path):
    (tmp_path / "a.jsonl").write_text('[{"prompt": "p", "completion": "c"}]')
    line = read_records(tmp_path / "a.jsonl").decisions[0].describe()
    assert "[named .jsonl, but holds json]" in line
    assert line.endswith("layout prompt_completion (prompt, completion), 1 row")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.parquet", b"", "is empty, which no Parquet file is"),
        ("a.txt", b"hello", "neither its suffix nor its content"),
        ("a.csv", "a,b\n".encode("utf-16"), "is UTF-16"),
        ("a.csv", b"a,a\n1,2\n", "names a column twice: 'a'"),
        ("a.csv", b"fra\xe9,b\n1,2\n", "the header cannot be read: invalid UTF-8"),
        ("a.json", b'{"a": [{}], "b": [{}]}', "not clear which of its keys holds the rows"),
        ("a.parquet", b"PAR1 broken", "cannot be read"),
    ],
)
def test_files_that_are_nothing(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError, match=message):
        read(tmp_path / name)


def test_paths_patterns_and_lists(tmp_path):
    for name in ("b.jsonl", "a.jsonl", "[x].jsonl"):
        lines(tmp_path / name, {"prompt": name, "completion": "c"})
    assert read(str(tmp_path / "?.jsonl"))["instruction"].to_list() == ["a.jsonl", "b.jsonl"]
    assert read([tmp_path / "b.jsonl", tmp_path / "a*"])["instruction"].to_list() == ["b.jsonl", "a.jsonl"]
    assert read(tmp_path / "[x].jsonl").height == 1
    for paths, message in [
        (tmp_path / "c.jsonl", "no such file"),
        (tmp_path / "c*.jsonl", "no file matches"),
        (tmp_path, "is a folder"),
        ([tmp_path / "a.jsonl", str(tmp_path / "a*")], "given twice"),
        ([], "no file was given"),
    ]:
        with pytest.raises(FormatError, match=message):
            read(paths)


def test_wrong_arguments(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"prompt": "p", "completion": "c"})
    with pytest.raises(ValueError, match="turns: 'all' is not one of first"):
        read(path, turns="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="on_bad_row: 'drop' is not one of fail, skip"):
        read(path, on_bad_row="drop")  # type: ignore[arg-type]


def test_a_column_for_the_system_message(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"system_prompt": "Be brief.", "question": "q", "response": "a"})
    assert read(path)["instruction"].to_list() == ["Be brief.\n\nq"]
    path = lines(tmp_path / "b.jsonl", {"system": "Be brief.", "conversations": TALK})
    assert read(path)["instruction"].to_list() == ["Be brief.\n\nHi"]


def test_progress_is_told_of_each_file(tmp_path):
    class Counting:
        told: list[object]

        def start(self, stage: str, total: int, unit: str = "rows", done: int = 0) -> None:
            self.told = [(stage, total, unit)]

        def advance(self, count: int) -> None:
            self.told.append(count)

        def finish(self) -> None:
            self.told.append("end")

        def note(self, text: str) -> None:
            raise AssertionError(text)

    progress = Counting()
    read([lines(tmp_path / f"{n}.jsonl", {"prompt": n, "completion": "c"}) for n in "ab"], progress=progress)
    assert progress.told == [("read", 2, "files"), 1, 1, "end"]


def test_the_page_on_formats_names_every_spelling():
    page = (Path(__file__).resolve().parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
    for field, spellings in SPELLINGS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{field}`"))
        assert [s for s in spellings if f"`{s}`" not in row] == []
