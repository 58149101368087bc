"""What exports write, parsed by the rules of those who read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import imine
from imine.__main__ import main
from imine.errors import FormatError
from imine.exports import FORMATS, About, default_path, export
from imine.exports.yaml_text import yaml_lines

yaml = pytest.importorskip("yaml", reason="PyYAML reads what was written")

ROWS = pl.DataFrame(
    {
        "id": ["a", "b"],
        "source": ["pool", "pool"],
        "instruction": ['Say "hi": é\n#', "Add."],
        "input": ["", "2 and 2"],
        "output": ["hi\u2028there", "4"],
        "tags": [["x", "y"], None],
        "meta": [{"level": 1}, {"level": None}],
    }
)
REJECTED = ROWS.head(1).with_columns(
    imine_reason=pl.lit("predicted log loss 2 above the cut 1 (rank 3 of 3)")
)
PROMPTS = ['Say "hi": é\n#', "Add.\n2 and 2"]


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_alpaca(tmp_path: Path) -> None:
    written = export(ROWS, tmp_path / "m.json", "alpaca", rejected=REJECTED)
    rows = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert rows == ROWS.to_dicts()
    assert list(rows[0])[:3] == ["instruction", "input", "output"]
    assert written.rejected == tmp_path / "m.rejected.json"
    assert json.loads(written.rejected.read_text())[0]["imine_reason"].startswith("predicted log loss 2")


def test_sharegpt(tmp_path: Path) -> None:
    export(ROWS, tmp_path / "m.json", "sharegpt")
    rows = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    for row, prompt, answer in zip(rows, PROMPTS, ROWS["output"], strict=True):
        assert row["conversations"] == [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]
    assert [row["tags"] for row in rows] == [["x", "y"], None]
    assert {"instruction", "input", "output"}.isdisjoint(rows[0])


def test_messages(tmp_path: Path) -> None:
    export(ROWS.rename({"tags": "messages"}), tmp_path / "m.jsonl", "messages")
    rows = json_lines(tmp_path / "m.jsonl")
    for row, prompt, answer in zip(rows, PROMPTS, ROWS["output"], strict=True):
        assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
        assert [turn["content"] for turn in row["messages"]] == [prompt, answer]
    assert rows[0]["messages_original"] == ["x", "y"], "a column of the user's own gives way"


def test_parquet(tmp_path: Path) -> None:
    export(ROWS, tmp_path / "m.parquet", "parquet", rejected=REJECTED)
    assert pl.read_parquet(tmp_path / "m.parquet").equals(ROWS)
    assert pl.read_parquet(tmp_path / "m.rejected.parquet").equals(REJECTED)


@pytest.mark.parametrize("format", ["sharegpt", "messages", "alpaca", "parquet"])
def test_imine_reads_its_own_exports(format: str, tmp_path: Path) -> None:
    path = tmp_path / ("m.parquet" if format == "parquet" else "m.jsonl")
    export(ROWS, path, format)
    back = imine.read(path)
    joined = back.select(pl.when(pl.col("input") != "").then(pl.format("{}\n{}", "instruction", "input"))
                         .otherwise("instruction"))  # fmt: skip
    assert joined.to_series().to_list() == PROMPTS
    assert back["output"].to_list() == ROWS["output"].to_list()
    assert back["id"].to_list() == ["a", "b"]


def test_hugging_face_folder(tmp_path: Path) -> None:
    about = About(license="cc-by-4.0", lines=("Kept 2 of 3 rows.",))
    export(ROWS, tmp_path / "mined", "huggingface", rejected=REJECTED, about=about)
    _, front, body = (tmp_path / "mined" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    facts = yaml.safe_load(front)
    assert facts["license"] == "cc-by-4.0"
    assert facts["size_categories"] == ["n<1K"]
    assert [config["config_name"] for config in facts["configs"]] == ["default", "rejected"]
    for config, rows in zip(facts["configs"], (2, 1), strict=True):
        (files,) = config["data_files"]
        assert files["split"] == "train"
        (found,) = (tmp_path / "mined").glob(files["path"])
        frame = pl.read_parquet(found)
        assert frame.height == rows
        assert frame["messages"][0].to_list()[1] == {"role": "assistant", "content": ROWS["output"][0]}
    assert "imine_reason" in frame.columns
    assert "# mined\n" in body
    assert "- Kept 2 of 3 rows." in body
    assert "No licence is stated" not in body


# Keys of a description in LLaMA-Factory's data/README.md, and its defaults where none are given.
LLAMA_KEYS = {"hf_hub_url", "ms_hub_url", "script_url", "file_name", "formatting", "ranking", "subset", "split",
              "folder", "num_samples", "columns", "tags"}  # fmt: skip
LLAMA_COLUMNS = {"prompt", "query", "response", "history", "messages", "system", "tools", "images", "chosen",
                 "rejected", "kto_tag"}  # fmt: skip


def test_llama_factory_folder(tmp_path: Path) -> None:
    info = tmp_path / "dataset_info.json"
    info.write_text('{"other": {"file_name": "other.json"}}')
    export(ROWS, tmp_path, "llama-factory", rejected=REJECTED, about=About("mined"))
    entries = json.loads(info.read_text())
    assert entries["other"] == {"file_name": "other.json"}
    entry = entries["mined"]
    assert set(entry) <= LLAMA_KEYS
    assert set(entry["columns"]) <= LLAMA_COLUMNS
    rows = json.loads((tmp_path / entry["file_name"]).read_text(encoding="utf-8"))
    # As its converter for Alpaca rows does: prompt and query joined by a line break, where there is a query.
    prompts = [
        "\n".join(filter(None, (row[entry["columns"]["prompt"]], row[entry["columns"]["query"]])))
        for row in rows
    ]
    assert prompts == PROMPTS
    assert [row[entry["columns"]["response"]] for row in rows] == ROWS["output"].to_list()
    assert (tmp_path / "mined.rejected.json").is_file()
    info.write_text("[1]")
    with pytest.raises(FormatError, match="holds no JSON object"):
        export(ROWS, tmp_path, "llama-factory")
    with pytest.raises(FormatError, match="becomes a file's name"):
        export(ROWS, tmp_path, "llama-factory", about=About("a/b"))


@pytest.mark.parametrize("name", ["dataset_info", "Dataset_Info", ".", "..", "a\\b", "a/"])
def test_a_name_that_llama_factory_cannot_have_is_refused_before_any_work(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, folder = tmp_path / "pool.jsonl", tmp_path / "lf"
    export(ROWS, pool, "alpaca")
    asked = ["--format", "llama-factory", "--name", name, "-o", str(folder)]
    assert run("export", str(pool), *asked) == 2
    assert repr(name) in capsys.readouterr().err
    with pytest.raises(FormatError, match=r"dataset_info\.json describes|becomes a file's name"):
        export(ROWS, folder, "llama-factory", about=About(name))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("output", "targets", "match"),
    [
        ("dataset_info.jsonl", ["llama-factory:lf"], "no data set can be named 'dataset_info'"),
        ("mined.jsonl", ["llama-factory:broken"], "cannot be read, so no entry can be added"),
        ("mined.jsonl", ["llama-factory:list"], "holds no JSON object"),
        ("mined.jsonl", ["alpaca:lf/dataset_info.json", "llama-factory:lf"], "is written already"),
    ],
)
def test_select_refuses_a_llama_factory_folder_before_any_work(
    output: str, targets: list[str], match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pool, scores, rule = scored(tmp_path)
    monkeypatch.chdir(tmp_path)
    for folder, text in (("broken", '{"x": '), ("list", "[1]")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "dataset_info.json").write_text(text)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    asked = ["--scores", str(scores), "--rule", str(rule), "--top", "2", "-o", output]
    assert run("select", str(pool), *asked, *(f"--export={target}" for target in targets)) == 2
    assert match in capsys.readouterr().err
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


# Fields of a dataset in axolotl's src/axolotl/utils/schemas/datasets.py that a block may hold.
AXOLOTL_KEYS = {"path", "split", "type", "ds_type", "data_files", "name", "field_messages", "chat_template",
                "message_property_mappings", "roles_to_train", "train_on_eos", "roles"}  # fmt: skip


def test_axolotl_block(tmp_path: Path) -> None:
    export(ROWS, tmp_path / "mined set.yaml", "axolotl", rejected=REJECTED)
    config = yaml.safe_load((tmp_path / "mined set.yaml").read_text(encoding="utf-8"))
    (block,) = config["datasets"]
    assert set(block) <= AXOLOTL_KEYS
    assert (block["type"], block["ds_type"], block["roles_to_train"]) == (
        "chat_template",
        "json",
        ["assistant"],
    )
    rows = json_lines(Path(block["path"]))
    role, content = (block["message_property_mappings"][key] for key in ("role", "content"))
    turns = rows[1][block["field_messages"]]
    assert [(turn[role], turn[content]) for turn in turns] == [("user", PROMPTS[1]), ("assistant", "4")]
    assert (tmp_path / "mined set.rejected.jsonl").is_file()


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "no",
        "1.5",
        "a: b",
        "\U0001f600 x.jsonl",
        "\x7f\u2028\ufeff",
        "- x",
        "é # y",
        '"q"',
        "",
        "null",
        "~",
        "data/train-*",
        "tab\there",
        "\n",
    ],
)
def test_yaml_texts_come_back(text: str) -> None:
    value = {"key": text, "list": [text, {"in": text}], "map": {"x": text, "n": 3, "none": None, "yes": True}}
    assert yaml.safe_load("\n".join(yaml_lines(value))) == value


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_rows_make_the_same_bytes(format: str, tmp_path: Path) -> None:
    found = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        name = {"parquet": "m.parquet", "axolotl": "m.yaml"}.get(
            format, "m" if format in FORMATS[4:] else "m.json"
        )
        export(ROWS, tmp_path / folder / name, format, rejected=REJECTED)
        files = sorted(p for p in (tmp_path / folder).rglob("*") if p.is_file())
        texts = [p.read_bytes().replace(f"/{folder}/".encode(), b"/") for p in files]
        found.append(([p.relative_to(tmp_path / folder) for p in files], texts))
    assert found[0] == found[1]


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no export format 'orca'; there are: alpaca, sharegpt"):
        export(ROWS, tmp_path / "m.json", "orca")
    with pytest.raises(FormatError, match=r"rows as messages go into a file ending in \.json, \.jsonl"):
        export(ROWS, tmp_path / "m.parquet", "messages")
    with pytest.raises(FormatError, match="need the text column output"):
        export(ROWS.drop("output"), tmp_path / "m.json", "alpaca")
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="huggingface needs a folder"):
        export(ROWS, tmp_path / "file", "huggingface")


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(args)
    return int(ended.value.code or 0)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = tmp_path / "mined.jsonl"
    export(ROWS, pool, "alpaca", rejected=REJECTED)
    beside, out = str(tmp_path / "mined.rejected.jsonl"), tmp_path / "out" / "m.json"
    assert run("export", str(pool), "--format", "sharegpt", "--rejected", beside, "-o", str(out)) == 0
    assert "2 rows as sharegpt" in capsys.readouterr().out
    assert json.loads(out.with_name("m.rejected.json").read_text())[0]["imine_reason"]
    assert run("export", str(pool), "--format", "llama-factory", "-o", str(tmp_path / "data")) == 0
    assert list(json.loads((tmp_path / "data" / "dataset_info.json").read_text())) == ["mined"]
    capsys.readouterr()
    assert run("export", str(pool), "--format", "alpaca", "-o", str(pool)) == 2
    assert "would overwrite the input" in capsys.readouterr().err
    assert run("export", str(pool), "-o", str(out)) == 2
    assert "name the format and the output" in capsys.readouterr().err
    assert run("export", str(pool), "--format", "alpaca", "--rejected", str(pool), "-o", str(out)) == 2
    assert "has no column imine_reason" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("format", "output", "named"),
    [
        ("axolotl", "mined.yaml", "mined.jsonl"),
        ("axolotl", "mined.rejected.yaml", "mined.rejected.jsonl"),
        ("messages", "mined.jsonl", "mined.jsonl"),
    ],
)
def test_no_export_writes_over_what_is_read(
    format: str, output: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, beside = tmp_path / "mined.jsonl", tmp_path / "mined.rejected.jsonl"
    export(ROWS, pool, "alpaca", rejected=REJECTED)
    before = pool.read_bytes(), beside.read_bytes()
    asked = ["--format", format, "--rejected", str(beside), "-o", str(tmp_path / output)]
    assert run("export", str(pool), *asked) == 2
    assert f"{named}: would overwrite the input" in capsys.readouterr().err
    assert (pool.read_bytes(), beside.read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [pool.name, beside.name]


def test_a_folder_keeps_the_pool_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = tmp_path / "data" / "mined.json"
    export(ROWS, pool, "sharegpt")
    before = pool.read_bytes()
    assert run("export", str(pool), "--format", "llama-factory", "-o", str(pool.parent)) == 2
    assert "would overwrite the input" in capsys.readouterr().err
    assert pool.read_bytes() == before
    named = ["--format", "llama-factory", "--name", "other", "-o", str(pool.parent)]
    assert run("export", str(pool), *named) == 0
    assert pool.read_bytes() == before


def test_a_card_replaces_no_other_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, readme = tmp_path / "mined.jsonl", tmp_path / "README.md"
    export(ROWS, pool, "alpaca")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run("export", str(pool), "--format", "huggingface", "-o", ".") == 0
    assert "# mined" in readme.read_text(encoding="utf-8")
    readme.write_text("# My project")
    capsys.readouterr()
    assert run("export", str(pool), "--format", "huggingface", "-o", ".") == 2
    assert "README.md: is no card that imine wrote" in capsys.readouterr().err
    assert readme.read_text() == "# My project"


def test_rejected_rows_are_read_in_the_way_of_the_others(tmp_path: Path) -> None:
    pool, beside = tmp_path / "mined.jsonl", tmp_path / "mined.rejected.jsonl"
    pool.write_text('{"q": "2 + 2?", "a": "4"}\n')
    beside.write_text('{"q": "3 + 3?", "a": "7", "imine_reason": "above the cut"}\n')
    mapped = ["--map", "instruction=q", "--map", "output=a", "--rejected", str(beside)]
    out = tmp_path / "out.json"
    assert run("export", str(pool), *mapped, "--format", "alpaca", "-o", str(out)) == 0
    (row,) = json.loads((tmp_path / "out.rejected.json").read_text())
    assert (row["output"], row["imine_reason"]) == ("7", "above the cut")


def scored(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A pool, its scores and a rule, without any model."""
    from imine.rules import Estimate, Rule, Term

    pool, scores, rule = tmp_path / "pool.jsonl", tmp_path / "scores.parquet", tmp_path / "rule.json"
    rows = pl.DataFrame(
        {"id": [f"r{i}" for i in range(20)], "instruction": "Do.", "input": "", "output": "Done."}
    )
    rows = rows.with_columns(source=pl.Series(["a", "b"] * 10))
    imine.write(rows, pool)
    rows.select("id", mtld=pl.int_range(20).cast(pl.Float64), output_length=pl.lit(3)).write_parquet(scores)
    covariance = ((0.01, 0.0), (0.0, 0.0001))
    terms = (Term(name="mtld", coefficient=-0.1),)
    made = Rule(
        name="r",
        intercept=Estimate(coefficient=3.0),
        terms=terms,
        covariance=covariance,
        df_resid=9,
        sigma=0.1,
        notes=("Made for a test.",),
    )
    made.write(rule)
    return pool, scores, rule


def test_select_with_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool, scores, rule = scored(tmp_path)
    out = tmp_path / "mined.jsonl"
    options = ["--scores", str(scores), "--rule", str(rule), "-o", str(out)]
    asked = ["--top", "6", "--quota", "source:a=4..", "--stability", "50", "--thresholds", "1.25,2.05"]
    assert run("select", str(pool), *options, *asked, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "Rows by predicted log loss alone (not counted: quotas):" in said
    assert "10 rows" in said
    assert "Note on the rule: Made for a test." in said
    assert "Stability over 50 refits (coefficients drawn from their covariance" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pool.jsonl", "rule.json", "scores.parquet"]
    hub = tmp_path / "hub"
    assert (
        run("select", str(pool), *options, *asked, "--export", "alpaca", "--export", f"huggingface:{hub}")
        == 0
    )
    rows = json.loads((tmp_path / "mined.alpaca.json").read_text())
    assert [row["id"] for row in rows] == [row["id"] for row in json_lines(out)]
    assert sum(row["source"] == "a" for row in rows) == 4
    rejected = json.loads((tmp_path / "mined.alpaca.rejected.json").read_text())
    assert len(rejected) == 14
    assert all(row["imine_reason"] for row in rejected)
    assert "quota source: a at least 4" in (hub / "README.md").read_text()
    assert "inclusion" in pl.read_parquet_schema(tmp_path / "mined.selection.parquet")


def test_what_fails_after_scoring_leaves_the_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, _, rule = scored(tmp_path)
    imine.write(imine.read(pool).with_columns(output=pl.lit("to and fro " * 5)), pool)
    options = ["--rule", str(rule), "-o", str(tmp_path / "out" / "mined.jsonl")]
    (tmp_path / "out").mkdir()
    asked = ["--top", "5", "--quota", "source:a=4..", "--quota", "source:b=4.."]
    assert run("select", str(pool), *options, *asked, "--dry-run") == 2
    assert not list((tmp_path / "out").iterdir())
    capsys.readouterr()
    assert run("select", str(pool), *options, *asked) == 2
    said = capsys.readouterr().err
    assert "mined.scores.parquet: the scores; --scores takes them again" in said
    (left,) = (tmp_path / "out").iterdir()
    assert pl.read_parquet(left)["id"].to_list() == [f"r{i}" for i in range(20)]
    assert run("select", str(pool), *options, "--top", "5", "--scores", str(left)) == 0


def test_an_empty_choice_has_no_stability_and_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, scores, rule = scored(tmp_path)
    options = ["--scores", str(scores), "--rule", str(rule), "-o", str(tmp_path / "mined.jsonl")]
    assert run("select", str(pool), *options, "--threshold=-9", "--stability", "10") == 0
    assert (
        "Note: Without a kept row there is nothing whose stability could be told." in capsys.readouterr().out
    )
    assert len(json_lines(tmp_path / "mined.rejected.jsonl")) == 20
    stored = json.loads(pl.read_parquet_metadata(tmp_path / "mined.selection.parquet")["imine"])
    assert any("whose stability could be told" in note for note in stored["notes"])


@pytest.mark.parametrize(
    ("runs", "match"),
    [
        (None, "runs.parquet: cannot be read"),
        (pl.DataFrame({"perplexity": [1.0, 2.0], "loss": [1.0, 2.0]}), "mtld"),
        (pl.DataFrame({"mtld": [1.0, 1.0], "loss": [1.0, 2.0]}), "do not determine the coefficients"),
    ],
)
def test_runs_are_read_before_scoring(
    runs: pl.DataFrame | None, match: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pool, _, rule = scored(tmp_path)
    file = tmp_path / "runs.parquet"
    file.write_bytes(b"PAR0") if runs is None else runs.write_parquet(file)
    monkeypatch.setattr("imine.indicators.score.score", None)
    asked = ["--top", "2", "--stability", "10", "--runs", str(file), "-o", str(tmp_path / "mined.jsonl")]
    assert run("select", str(pool), "--rule", str(rule), *asked) == 2
    assert match in capsys.readouterr().err


def test_a_row_that_is_kept_now_has_no_old_reason(tmp_path: Path) -> None:
    pool, scores, rule = scored(tmp_path)
    out, again = tmp_path / "mined.jsonl", tmp_path / "second.jsonl"
    options = ["--scores", str(scores), "--rule", str(rule), "--top", "2"]
    assert run("select", str(pool), *options, "-o", str(out)) == 0
    assert run("select", str(tmp_path / "mined.rejected.jsonl"), *options, "-o", str(again)) == 0
    assert [row["id"] for row in json_lines(again)] == ["r17", "r16"]
    assert [row["imine_reason"] for row in json_lines(again)] == [None, None]
    assert all(row["imine_reason"] for row in json_lines(tmp_path / "second.rejected.jsonl"))


def test_only_what_the_rule_needs_is_told_to_be_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, scores, rule = scored(tmp_path)
    frame = pl.read_parquet(scores).with_columns(
        mtld=pl.when(pl.col("id") != "r3").then("mtld"), mtld__why=pl.lit("too short"),
        reward=pl.lit(None, dtype=pl.Float64), reward__why=pl.lit("no model"),
    )  # fmt: skip
    metadata = {"imine": json.dumps({"fingerprints": {"mtld": {}, "reward": {}}})}
    frame.write_parquet(scores, metadata=metadata)
    options = ["--scores", str(scores), "--rule", str(rule), "--top", "2", "--dry-run"]
    assert run("select", str(pool), *options) == 0
    said = capsys.readouterr().out
    assert "without mtld: 1 rows, most often: too short" in said
    assert "reward" not in said


def test_values_that_are_no_numbers_are_missing_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, scores, rule = scored(tmp_path)
    bad: list[float | None] = [float("nan")] * 3 + [float("inf")] * 2 + [None] * 4
    frame = pl.read_parquet(scores).with_columns(mtld=pl.Series([*bad, *range(9, 20)], dtype=pl.Float64))
    options = ["--rule", str(rule), "-o", str(tmp_path / "mined.jsonl"), "--top", "2"]
    for more, why in (({}, "its value is not a finite number"), ({"mtld__why": pl.lit("a bug")}, "a bug")):
        frame.with_columns(**more).write_parquet(scores)
        assert run("select", str(pool), "--scores", str(scores), *options) == 0
        said = capsys.readouterr().out
        assert f"without mtld: 9 rows, most often: {why}\n" in said
        assert "9 of 20 rows have no prediction" in said
        reasons = [row["imine_reason"] for row in json_lines(tmp_path / "mined.rejected.jsonl")]
        assert sum(reason == f"no mtld: {why}" for reason in reasons) == (9 if more else 5)


def test_a_level_is_shown_as_it_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool, scores, rule = scored(tmp_path)
    options = ["--scores", str(scores), "--rule", str(rule), "--dry-run", "--threshold", "2", "--level"]
    for level, said in (("0.999", "99.9%"), ("0.975", "97.5%"), ("0.95", "95%")):
        assert run("select", str(pool), *options, level) == 0
        out = capsys.readouterr().out
        assert f"({said} interval of the expectation" in out
        assert f"their {said} interval (extrapolated" in out


def test_exports_write_over_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool, scores, rule = scored(tmp_path)
    before, out = pool.read_bytes(), tmp_path / "mined.jsonl"
    options = ["--scores", str(scores), "--rule", str(rule), "--top", "2", "-o", str(out)]
    for target, match in (
        (f"axolotl:{tmp_path}/mined.yaml", "mined.jsonl is written already"),
        (f"axolotl:{tmp_path}/pool.yaml", "pool.jsonl: would overwrite the input"),
        (f"messages:{tmp_path}/x/../mined.jsonl", "mined.jsonl is written already"),
    ):
        assert run("select", str(pool), *options, "--export", target) == 2
        assert match in capsys.readouterr().err
    assert pool.read_bytes() == before
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--top", "1", "--export", "orca"], "no export format 'orca'"),
        (["--top", "1", "--export", "alpaca:x.csv"], "go into a file ending in"),
        (
            ["--top", "1", "--export", "parquet:a.parquet", "--export", "parquet:a.parquet"],
            "is written already",
        ),
        (["--top", "1", "--runs", "runs.parquet"], "--runs is for --stability"),
        (["--top", "1", "--seed", "0"], "--seed is for --stability"),
        (["--top", "1", "--token-column", "output_length"], "--token-column is for --tokens"),
        (["--top", "1", "--diversity-weight", "0.5"], "--diversity-weight is for --diversity"),
        (["--top", "1", "--shortlist", "9"], "--shortlist is for --diversity"),
        (["--top", "1", "--stability", "1"], "--stability must be at least 2"),
        (["--top", "1", "--stability", "9", "--seed", "-1"], "Invalid value for '--seed'"),
        (["--top", "1", "--thresholds", "low"], "--thresholds takes numbers"),
        (["--top", "1", "--thresholds", "1,nan"], "--thresholds takes finite log losses"),
        (["--top", "1", "--quota", "a"], "a quota is COLUMN:VALUE=MIN..MAX"),
        (["--top", "1", "--tokens", "9"], "got top, tokens"),
    ],
)
def test_faults_are_told_before_any_work(
    options: list[str], match: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, scores, rule = scored(tmp_path)
    out = tmp_path / "mined.jsonl"
    assert (
        run("select", str(pool), "--scores", str(scores), "--rule", str(rule), "-o", str(out), *options) == 2
    )
    assert match in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("name", ["none.jsonl", "none.parquet"])
def test_a_selection_that_rejected_nothing_exports(tmp_path: Path, name: str) -> None:
    pool, beside, out = tmp_path / "mined.jsonl", tmp_path / name, tmp_path / "out.json"
    pool.write_text('{"instruction": "2 + 2?", "output": "4"}\n')
    imine.write(pl.DataFrame(schema={"instruction": pl.String, "output": pl.String}), beside)
    assert run("export", str(pool), "--rejected", str(beside), "--format", "alpaca", "-o", str(out)) == 0
    assert json.loads((tmp_path / "out.rejected.json").read_text()) == []


def test_rejected_rows_that_cannot_be_read_stay_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, beside, out = tmp_path / "mined.jsonl", tmp_path / "bad.jsonl", tmp_path / "out.json"
    pool.write_text('{"instruction": "2 + 2?", "output": "4"}\n')
    beside.write_text('{"instruction": 1}\n')
    assert run("export", str(pool), "--rejected", str(beside), "--format", "alpaca", "-o", str(out)) == 2
    assert "bad.jsonl" in capsys.readouterr().err
    assert not out.exists()


def test_rejected_rows_of_an_earlier_export_do_not_stay(tmp_path: Path) -> None:
    export(ROWS, tmp_path / "hub", "huggingface", rejected=REJECTED)
    assert (tmp_path / "hub" / "rejected").exists()
    written = export(ROWS, tmp_path / "hub", "huggingface")
    found = {path for path in (tmp_path / "hub").rglob("*") if path.is_file()}
    assert found == set(written.files)


def test_the_default_path_of_parquet_is_never_the_mined_rows() -> None:
    assert default_path(Path("mined.parquet"), "parquet") == Path("mined.export.parquet")
    assert default_path(Path("mined.json.gz"), "parquet") == Path("mined.parquet")
