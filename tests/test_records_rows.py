"""Bad rows, turns, ids, and the user's own columns."""

from __future__ import annotations

import json
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imine.errors import BadRowError
from imine.records import content_ids, content_keys, read, read_records

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
GOOD = {"instruction": "a", "output": "b"}


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def faults(path: Path, **kwargs) -> list[tuple[int, str]]:
    return [(bad.line, bad.reason) for bad in read_records(path, on_bad_row="skip", **kwargs).bad_rows]


# --- bad rows ---


def test_bad_rows_of_json_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    good = json.dumps(GOOD).encode()
    rows = [
        good,
        b"",
        b'{"instruction": "a"',
        b"[1]",
        b'{"instruction": "a"}',
        b'{"instruction": null, "output": ""}',
        b'{"instruction": "a", "output": 5}',
        b'{"instruction": "caf\xe9", "output": "b"}',
        b"  \t ",
        b'{"instruction": "\\ud83d", "output": "b"}',
        b'{"instruction": "a", "input": [1], "output": "b"}',
        good,
    ]
    path.write_bytes(b"\n".join(rows))
    records = read_records(path, on_bad_row="skip")
    assert [(bad.line, bad.reason) for bad in records.bad_rows] == [
        (3, "invalid JSON: Expecting ',' delimiter at character 20"),
        (4, "a list, not an object"),
        (5, "'output' is missing"),
        (6, "'instruction' is null"),
        (7, "'output' is a number, not text"),
        (8, "invalid UTF-8: byte 0xe9 at character 21 of the row"),
        (10, "half of a surrogate pair (\\ud800 to \\udfff), which is no Unicode text"),
        (11, "'input' is a list, not text"),
    ]
    assert records.frame.height == 2
    assert records.bad_rows[5].raw == '{"instruction": "caf\\xe9", "output": "b"}'
    assert records.decisions[0].describe().endswith("2 rows, 8 bad rows")


def test_the_first_bad_row_ends_the_run_by_default(tmp_path):
    path = lines(tmp_path / "a.jsonl", GOOD, '{"instruction": ', {"instruction": "a"}, GOOD)
    with pytest.raises(
        BadRowError, match=r"a\.jsonl, line 2: invalid JSON.*1 more bad row follows.*--on-bad-row skip"
    ):
        read(path)
    path = lines(tmp_path / "a.jsonl", GOOD, {"instruction": "a"}, '{"instruction": ', "x", GOOD)
    with pytest.raises(BadRowError, match=r"line 2: 'output' is missing\. 2 more bad rows follow"):
        read(path)


def test_empty_texts_are_not_bad(tmp_path):
    frame = read(lines(tmp_path / "a.jsonl", {"instruction": "", "input": None, "output": ""}))
    assert frame.select("instruction", "input", "output").row(0) == ("", "", "")


def test_bad_rows_of_a_json_array(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[\n{"instruction": "a", "output": "b"},\n3,\n\n{"instruction": "a",\n "output": null},\n'
                    '{"instruction": "c", "output": "d"}]')  # fmt: skip
    assert faults(path) == [(3, "a number, not an object"), (5, "'output' is null")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[{"instruction": "a", "output": "b"},\n{"instruction": }]', 2),
        ('[{"instruction": "a", "output": "b"}', 1),
        ('[{"instruction": "a", "output": "b"}\n{}]', 2),
        ('[{"instruction": "a", "output": "b"},\n]', 2),
        ('[{"instruction": "a", "output": "b"}]\n\nx', 3),
        ('{"data": [{"instruction": "a", "output": "b"}],\n"n" 3}', 2),
    ],
)
def test_a_broken_json_array_cannot_be_skipped(tmp_path, text, line):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadRowError, match=f"line {line}: invalid JSON: .*cannot be told apart"):
        read_records(tmp_path / "a.json", on_bad_row="skip")


def test_bad_rows_of_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'instruction,output\n"two\nlines",b\n\nonly one\na,b,c\ncaf\xe9,b\n"a"x,b\nx,y\n')
    records = read_records(path, on_bad_row="skip")
    assert [(bad.line, bad.reason, bad.raw) for bad in records.bad_rows] == [
        (5, "1 fields, but the header has 2", "only one"),
        (6, "3 fields, but the header has 2", "a,b,c"),
        (7, "invalid UTF-8: byte 0xe9 at character 4 of the row", "caf\\xe9,b"),
        (8, "invalid CSV: ',' expected after '\"'", '"a"x,b'),
    ]
    assert records.frame["instruction"].to_list() == ["two\nlines", "x"]


def test_an_open_quote_cannot_be_skipped(tmp_path):
    (tmp_path / "a.csv").write_text('instruction,output\na,b\n"a,b\nc,d\n')
    with pytest.raises(BadRowError, match="line 3: a quoted field that begins in this row is never closed"):
        read_records(tmp_path / "a.csv", on_bad_row="skip")


def test_bad_rows_of_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"instruction": ["a", None, "c"], "output": ["x", "y", None]}).write_parquet(path)
    assert faults(path) == [(2, "'instruction' is null"), (3, "'output' is null")]
    with pytest.raises(BadRowError, match=r"a\.parquet, row 2: 'instruction' is null"):
        read(path)


def test_bad_rows_are_written_aside(tmp_path):
    path = lines(tmp_path / "a.jsonl", GOOD, '{"é"', {"instruction": "a"})
    read_records(path, on_bad_row="skip").write_bad_rows(tmp_path / "bad.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [list(row) for row in rows] == [["file", "line", "reason", "raw"]] * 2
    assert rows[0]["raw"] == '{"é"'
    assert rows[1] == {
        "file": str(path), "line": 3, "reason": "'output' is missing", "raw": '{"instruction": "a"}'
    }  # fmt: skip


# --- turns ---

LONG = [
    {"from": "system", "value": "Be kind."},
    {"from": "human", "value": "One?"},
    {"from": "gpt", "value": "1."},
    {"from": "human", "value": "Two?"},
    {"from": "human", "value": "Please."},
    {"from": "gpt", "value": "2."},
    {"from": "human", "value": "Unanswered?"},
]


def chats(path: Path, *talks: object, name: str = "conversations") -> Path:
    return lines(path, *({name: talk} for talk in talks))


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ("first", [("Be kind.\n\nOne?", "", "1.")]),
        ("last", [("Be kind.\n\nTwo?\n\nPlease.", "User: One?\n\nAssistant: 1.", "2.")]),
        (
            "each",
            [
                ("Be kind.\n\nOne?", "", "1."),
                ("Be kind.\n\nTwo?\n\nPlease.", "User: One?\n\nAssistant: 1.", "2."),
            ],
        ),
        ("joined", [("Be kind.\n\nOne?\n\nTwo?\n\nPlease.\n\nUnanswered?", "", "1.\n\n2.")]),
    ],
)
def test_policies_for_turns(tmp_path, turns, expected):
    frame = read(chats(tmp_path / "a.jsonl", LONG), turns=turns)
    assert frame.select("instruction", "input", "output").rows() == expected


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".csv"])
def test_each_reply_is_written_as_the_conversation_up_to_it(tmp_path, suffix):
    first = read_records(lines(tmp_path / "a.jsonl", {"id": "c", "conversations": LONG, "k": 1}, {"id": "d", "conversations": LONG[1:3], "k": 2}))  # fmt: skip # noqa: E501
    first.write(tmp_path / f"b{suffix}")
    records = read_records(tmp_path / f"b{suffix}", turns="each")
    assert records.frame["id"].to_list() == ["c#1", "c#2", "d#1"]
    assert records.frame["id_original"].to_list() == ["c", "c", "d"]
    assert records.notes == ()
    records.write(tmp_path / "c.jsonl", ["c#2", "d#1", "c#1"])
    rows = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    talks = [row["conversations"] for row in rows]
    assert [json.loads(t) if isinstance(t, str) else t for t in talks] == [LONG[:6], LONG[1:3], LONG[:3]]
    records.write(tmp_path / f"d{suffix}", ["c#1"])
    assert read(tmp_path / f"d{suffix}", turns="last")["output"].to_list() == ["1."]


def test_ids_of_each_reply_without_own_ids(tmp_path):
    path = chats(tmp_path / "a.jsonl", LONG, LONG, LONG[:3])
    ids = read(path, turns="each")["id"].to_list()
    base = ids[0].removesuffix("#1")
    assert ids[:4] == [f"{base}#1", f"{base}#2", f"{base}-2#1", f"{base}-2#2"]
    assert len(set(ids)) == 5


def test_spellings_of_turns(tmp_path):
    talk = [
        {"role": "developer", "content": "S"},
        {"role": "User", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]},
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": "It is 42."},
    ]
    frame = read(chats(tmp_path / "a.jsonl", talk, name="messages"), turns="last")
    assert frame.select("instruction", "input", "output").row(0) == (
        "S\n\na\nb", 'Assistant: [{"name": "f"}]\n\nTool: 42', "It is 42."
    )  # fmt: skip


@pytest.mark.parametrize("content", [None, "", " \n", []])
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_calls_of_tools_stand_for_a_missing_text(tmp_path, content, suffix):
    calls = [{"function": {"name": "f", "arguments": "{}"}}]
    talk = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": content, "tool_calls": calls},
    ]
    read_records(chats(tmp_path / "a.jsonl", talk, name="messages")).write(tmp_path / f"b{suffix}")
    assert json.loads(read(tmp_path / f"b{suffix}")["output"][0]) == calls


def test_calls_of_tools_beside_a_text_and_the_older_spelling(tmp_path):
    user = {"role": "user", "content": "a"}
    path = chats(
        tmp_path / "a.jsonl",
        [user, {"role": "assistant", "content": "Let me see.", "tool_calls": [{"name": "f"}]}],
        [user, {"role": "assistant", "content": "", "function_call": {"name": "f"}}],
        [user, {"role": "assistant", "content": "", "tool_calls": []}],
        name="messages",
    )
    assert read(path)["output"].to_list() == ["Let me see.", '{"name": "f"}', ""]


def test_a_greeting_before_the_first_user_turn_goes_into_the_input(tmp_path):
    talk = [
        {"role": r, "content": c} for r, c in [("assistant", "Hello!"), ("user", "Hi"), ("assistant", "Yes?")]
    ]
    frame = read(chats(tmp_path / "a.jsonl", talk))
    assert frame.select("instruction", "input", "output").row(0) == ("Hi", "Assistant: Hello!", "Yes?")


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        ([], "no assistant reply"),
        ([{"role": "user", "content": "a"}], "no assistant reply"),
        ([{"role": "assistant", "content": "a"}], "no user turn before the assistant's reply"),
        ([{"role": "wizard", "content": "a"}], "turn 1 has the unknown role 'wizard'"),
        ([{"content": "a"}], "turn 1 has no 'role' or 'from'"),
        ([{"role": "user"}], "turn 1 has no text"),
        ([{"role": "user", "content": 5}], "turn 1 has a number for its text"),
        (
            [{"role": "user", "content": [{"type": "image_url"}]}],
            "turn 1 has a part that is not text (image_url)",
        ),
        (["hello"], "turn 1 is text, not an object"),
        (5, "the conversation is a number, not a list of turns"),
        ("oops", "the conversation is text, but not JSON (Expecting value: line 1 column 1 (char 0))"),
        (None, "'messages' is null"),
    ],
)
def test_bad_conversations(tmp_path, talk, reason):
    good = [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]
    assert faults(chats(tmp_path / "a.jsonl", good, talk, name="messages")) == [(2, reason)]


def test_prompt_and_completion_as_messages(tmp_path):
    def say(role: str, text: str) -> dict[str, str]:
        return {"role": role, "content": text}

    prompt = [say("system", "S"), say("user", "a"), say("assistant", "b"), say("user", "c")]
    path = lines(
        tmp_path / "a.jsonl",
        {"prompt": prompt, "completion": [say("assistant", "d")]},
        {"prompt": prompt[:1], "completion": [say("assistant", "d")]},
        {"prompt": prompt, "completion": []},
        {"prompt": "x", "completion": "y"},
        {"prompt": "x", "completion": None},
    )
    records = read_records(path, on_bad_row="skip")
    assert records.frame.select("instruction", "input", "output").rows() == [
        ("S\n\nc", "User: a\n\nAssistant: b", "d"),
        ("x", "", "y"),
    ]
    assert [bad.reason for bad in records.bad_rows] == [
        "the prompt has no user turn", "no assistant reply", "'completion' is null"
    ]  # fmt: skip


# --- ids and sources ---


def test_content_keys_are_stable_and_part_the_fields():
    frame = pl.DataFrame(
        {
            "instruction": ["Add.", "Add.", "Add.1", "é"],
            "input": ["1 2", "1 2", " 2", ""],
            "output": ["3"] * 4,
        }
    )
    keys = content_keys(frame)
    assert keys[0] == keys[1] == "48718b183b37647a65d372d1fff26c9f"
    assert len(set(keys)) == 3
    assert content_ids(frame) == [keys[0], f"{keys[0]}-2", *keys[2:]]


def test_content_keys_are_fast():
    frame = pl.DataFrame(
        {"instruction": ["word " * 20] * 50_000, "input": [""] * 50_000, "output": ["w " * 80] * 50_000}
    )
    start = time.perf_counter()
    assert len(content_ids(frame)) == 50_000
    # Measured 0.3 s on two slow shared cores.
    assert time.perf_counter() - start < 3


def test_own_ids_are_kept_where_unique_and_made_where_shared(tmp_path):
    one = lines(tmp_path / "a.jsonl", {"id": 1, **GOOD}, {"id": "x", "instruction": "c", "output": "d"})
    two = lines(tmp_path / "b.jsonl", {"id": 1, "instruction": "e", "output": "f"}, GOOD, {"id": "1", **GOOD})
    records = read_records([one, two])
    keys = content_keys(records.frame)
    assert keys[0] == keys[3] == keys[4]
    assert records.frame["id"].to_list() == [keys[0], "x", keys[2], f"{keys[0]}-2", f"{keys[0]}-3"]
    assert records.frame["id_original"].to_list() == ["1", "x", "1", None, "1"]
    assert records.notes == (
        "3 rows share their id with another row: their ids are made of their content",
        "rows without an id: 1; theirs is made of their content",
    )
    records.write(tmp_path / "c.jsonl", [keys[2]])
    assert json.loads((tmp_path / "c.jsonl").read_text())["id"] == 1


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        ([0.5, 1.5], ["0.5", "1.5"]),
        ([{"n": 1}, ["b"]], ['{"n": 1}', '["b"]']),
        ([True, None], ["true", None]),
        (["x", 0.5], ["x", "0.5"]),
    ],
)
def test_ids_that_cannot_be_one_are_kept_and_said(tmp_path, ids, kept):
    rows = [{"id": one, "instruction": str(i), "output": "b"} for i, one in enumerate(ids)]
    records = read_records(lines(tmp_path / "a.jsonl", *rows))
    assert records.frame["id_original"].to_list() == kept
    odd = sum(one is not None and not isinstance(one, str) for one in ids)
    note = f"rows with an id that is neither text nor a whole number: {odd}; theirs is made of their content"
    assert note in records.notes
    keys = content_keys(records.frame)
    assert records.frame["id"].to_list() == [one if isinstance(one, str) else k for one, k in zip(ids, keys, strict=True)]  # fmt: skip # noqa: E501
    records.write(tmp_path / "b.jsonl")
    assert [json.loads(line)["id"] for line in (tmp_path / "b.jsonl").read_text().splitlines()] == ids


def test_ids_of_parquet_that_cannot_be_one(tmp_path):
    columns = {"id": [b"\x00\xff", None], "instruction": ["a", "c"], "output": ["b", "d"]}
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    records = read_records(tmp_path / "a.parquet")
    assert records.frame["id_original"].to_list() == ["AP8=", None]
    assert len(records.notes) == 2


def test_an_id_column_without_an_id_is_said(tmp_path):
    path = lines(tmp_path / "a.jsonl", {**GOOD, "id": None}, {**GOOD, "id": ""})
    records = read_records(path)
    assert records.notes == ("rows without an id: 2; theirs is made of their content",)
    assert read_records(lines(tmp_path / "b.jsonl", GOOD)).notes == ()


def test_ids_made_do_not_depend_on_the_order_of_files(tmp_path):
    one, two = (
        lines(tmp_path / "a.jsonl", {"id": 1, **GOOD}),
        lines(tmp_path / "b.jsonl", {"id": 1, **GOOD, "input": "z"}),
    )
    forth, back = read([one, two]), read([two, one])
    assert sorted(forth["id"]) == sorted(back["id"])


def test_own_source_or_the_name_of_the_file(tmp_path):
    path = lines(
        tmp_path / "pool.v2.jsonl",
        {**GOOD, "source": "web"},
        {**GOOD, "source": None},
        GOOD,
        {**GOOD, "source": 3},
    )
    assert read(path)["source"].to_list() == ["web", "pool.v2", "pool.v2", "3"]


# --- own columns ---


def test_own_columns_have_native_types_where_all_rows_agree(tmp_path):
    rows = [
        {
            "n": 1,
            "f": 1,
            "b": True,
            "s": "x",
            "l": [1],
            "o": {"a": [None]},
            "mix": 1,
            "odd": {"a": 1},
            "none": None,
        },
        {"n": None, "f": 2.5, "b": False, "s": None, "l": [], "o": {"a": ["y"]}, "mix": "t", "odd": {"b": 2}},
    ]
    frame = read(lines(tmp_path / "a.jsonl", *({**GOOD, **row} for row in rows)))
    assert dict(frame.schema) | {"id": None} == {
        "id": None, "source": pl.String, "instruction": pl.String, "input": pl.String, "output": pl.String,
        "n": pl.Int64, "f": pl.Float64, "b": pl.Boolean, "s": pl.String, "l": pl.List(pl.Int64),
        "o": pl.Struct({"a": pl.List(pl.String)}), "mix": pl.String, "odd": pl.String, "none": pl.String,
    }  # fmt: skip
    assert frame["mix"].to_list() == ["1", "t"]
    assert frame["odd"].to_list() == ['{"a": 1}', '{"b": 2}']


def test_own_columns_of_unlike_types_are_put_together(tmp_path):
    one = lines(tmp_path / "a.jsonl", {**GOOD, "x": [1], "y": 1})
    two = lines(tmp_path / "b.jsonl", {**GOOD, "x": "t", "y": 2.5})
    frame = read([one, two])
    assert frame["x"].to_list() == ["[1]", "t"]
    assert frame["y"].to_list() == [1.0, 2.5]


def test_bad_rows_do_not_shift_own_columns(tmp_path):
    rows = [{**GOOD, "n": 0}, {"instruction": "a", "n": 1}, "x", {**GOOD, "n": 3}]
    records = read_records(lines(tmp_path / "a.jsonl", *rows), on_bad_row="skip")
    assert records.frame["n"].to_list() == [0, 3]
    records.write(tmp_path / "b.jsonl", records.frame["id"][1:])
    assert json.loads((tmp_path / "b.jsonl").read_text())["n"] == 3


def test_own_columns_keep_their_names_where_imine_wants_the_same(tmp_path):
    path = lines(
        tmp_path / "a.jsonl",
        {"id": 1, "id_original": "mine", **GOOD},
        {"id": 1, "id_original": "too", "instruction": "c", "output": "d"},
    )
    records = read_records(path)
    assert records.frame["id_original"].to_list() == ["mine", "too"]
    assert records.frame["id_original_2"].to_list() == ["1", "1"]
    assert records.notes[1] == (
        "the ids as they came stand in 'id_original_2': the files have a column 'id_original'"
    )
    records.write(tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_text() == path.read_text()


def test_a_column_moved_away_takes_no_name_of_any_file(tmp_path):
    one = lines(tmp_path / "a.jsonl", {"question": "q", "answer": "a", "output": "x", "uid": 1, "id": 7})
    two = lines(tmp_path / "b.jsonl", {"question": "r", "answer": "b", "output_original": "y", "uid": 1})
    frame = read([one, two], map={"output": "answer", "id": "uid"})
    assert frame.select(pl.selectors.contains("original")).rows(named=True) == [
        {"output_original_2": "x", "id_original": 7, "output_original": None, "id_original_2": "1"},
        {"output_original_2": None, "id_original": None, "output_original": "y", "id_original_2": "1"},
    ]


# --- any text ---

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["\u2028", "\u2029\x85", 'say "hi"', "a\r\nb", "\r", "\x00", "\ufeffx", ",;\t", "'", "\\", " ", "😀", ""]
)


@settings(max_examples=60)
@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=6))
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_any_text_comes_back(tmp_path_factory, suffix, rows):
    folder = tmp_path_factory.mktemp("any")
    start = lines(folder / "a.jsonl", *({"instruction": a, "input": b, "output": c} for a, b, c in rows))
    records = read_records(start)
    assert records.frame.select("instruction", "input", "output").rows() == rows
    records.write(folder / f"b{suffix}")
    again = read(folder / f"b{suffix}")
    assert again.select("instruction", "input", "output").rows() == rows


# --- real data ---


@pytest.fixture
def shared() -> Path:
    if not DATA.is_dir():
        pytest.skip("the shared data sets are not beside this checkout")
    return DATA


def test_real_pools(shared, tmp_path):
    files = sorted(shared.glob("*.parquet"))
    records = read_records(files)
    assert [d.layout for d in records.decisions] == ["alpaca"] * len(files)
    assert len(records) == sum(pl.scan_parquet(f).select(pl.len()).collect().item() for f in files)
    assert records.frame["id"].n_unique() == len(records)
    assert records.bad_rows == ()
    # The two versions of one evaluation set share their ids.
    assert "504 rows share their id" in records.notes[0]


def test_real_rows_survive_every_container(shared, tmp_path):
    original = pl.read_parquet(shared / "dolly.parquet")
    records = read_records(shared / "dolly.parquet")
    assert records.frame.equals(original)
    ids = original["id"][:2000].reverse()
    for suffix in (".jsonl.zst", ".json.gz", ".csv", ".parquet"):
        records.write(tmp_path / f"b{suffix}", ids)
        again = read(tmp_path / f"b{suffix}")
        assert again.drop("category").equals(original[:2000].reverse().drop("category"))
    assert pl.read_parquet(tmp_path / "b.parquet").schema == original.schema
