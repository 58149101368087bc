"""A whole study of tiny runs: what it records, how it resumes, what it refuses."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from imine.errors import MissingExtraError, ModelNotFoundError, StudyChangedError, StudyError
from imine.indicators.models import LoadedModel, load_causal_lm
from imine.indicators.templates import EncodedExample, encode_examples
from imine.progress import SilentProgress
from imine.study import load_study, run_study, study_status, trial
from imine.study.designs import rows
from imine.study.evaluate import Evaluation
from imine.study.ledger import Ledger, locked, read_ledger
from imine.study.table import subset_means

pytest.importorskip("deepspeed")

WORDS = ["fox", "dog", "task", "request", "response", "number", "letter", "quick", "lazy", "brown", "context"]
TIMES = ("seconds_train", "seconds_evaluate", "peak_rss_mb")


@dataclass
class CharacterScores:
    """Cheap real numbers in the shape of imine's scores."""

    frame: pl.DataFrame
    fingerprints: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "output_length": {"unit": "characters"},
            "mtld": {"unit": "letters, null if few"},
        }
    )

    def write(self, path: Path) -> None:
        self.frame.write_parquet(path)


def count_characters(frame: pl.DataFrame) -> CharacterScores:
    letters = pl.col("output").str.replace_all(r"[^a-z]", "").str.len_chars()
    scores = frame.select(
        "id",
        output_length=pl.col("output").str.len_chars(),
        mtld=pl.when(letters >= 12).then(letters.cast(pl.Float64)),
    )
    return CharacterScores(scores)


def texts(count: int, words: int, seed: int) -> list[dict[str, str]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "instruction": f"{seed}: {' '.join(rng.choice(WORDS, 4))}",
            "input": "",
            "output": " ".join(rng.choice(WORDS, rng.integers(1, words))),
        }
        for _ in range(count)
    ]


STUDY = """
name = "tiny"
seed = 5
out = "out"
[[pools]]
name = "short"
path = "short.jsonl"
[[pools]]
name = "long"
path = "long.jsonl"
rows = 12
[[evaluation]]
name = "one"
path = "one.jsonl"
rows = 4
[[evaluation]]
name = "two"
path = "two.jsonl"
[design]
subsets = 4
examples = 8
[finetune]
max_tokens = 64
batch_size = 4
epochs = 2
learning_rate = 3e-3
[indicators]
names = ["output_length", "mtld"]
"""


SHORT, LONG = STUDY[STUDY.index("[[pools]]") : STUDY.index("[[evaluation]]")].split("[[pools]]")[1:]
POOLS, POOLS_SWAPPED = f"[[pools]]{SHORT}[[pools]]{LONG}", f"[[pools]]{LONG}[[pools]]{SHORT}"


def make_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for seed, (name, count, words) in enumerate(
        [("short", 10, 5), ("long", 30, 15), ("one", 6, 10), ("two", 3, 10)]
    ):
        lines = "".join(json.dumps(row) + "\n" for row in texts(count, words, seed))
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    return folder / "study.toml"


@pytest.fixture(scope="module")
def lm(tiny_llama: Path) -> LoadedModel:
    return load_causal_lm(str(tiny_llama))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, lm: LoadedModel) -> Path:
    """The folder of a study that ran through once."""
    file = make_folder(tmp_path_factory.mktemp("undisturbed"))
    state = run_study(load_study(file), lm=lm, scorer=count_characters)
    assert (state.done, state.total) == (4, 4)
    return file.parent


@pytest.fixture
def study_file(tmp_path: Path, undisturbed: Path) -> Path:
    """A copy of the finished study that a test may spoil."""
    shutil.copytree(undisturbed, tmp_path / "copy")
    return tmp_path / "copy" / "study.toml"


def go(file: Path, lm: LoadedModel, **more: Any) -> pl.DataFrame:
    run_study(load_study(file), lm=lm, scorer=count_characters, **more)
    return pl.read_parquet(file.parent / "out" / "runs.parquet")


class Stopped(Exception):
    pass


def stop_after(count: int) -> Any:
    seen: list[int] = []

    def hook(run: int) -> None:
        seen.append(run)
        if len(seen) == count:
            raise Stopped

    return hook


def comparable(runs: pl.DataFrame) -> pl.DataFrame:
    return runs.drop(TIMES)


def test_the_table_has_numbers_only(undisturbed: Path) -> None:
    runs = pl.read_parquet(undisturbed / "out" / "runs.parquet")
    assert runs["run_id"].to_list() == [0, 1, 2, 3]
    assert all(dtype.is_numeric() for dtype in runs.dtypes)
    expected = {"seed", "n_examples", "mtld", "mtld__sd", "mtld__n", "output_length", "w_short", "w_long"}
    expected |= {
        "loss",
        "loss_one",
        "loss_two",
        "baseline_loss",
        "baseline_loss_one",
        "tokens",
        "response_tokens",
    }
    assert expected <= set(runs.columns)
    assert runs.null_count().transpose().to_series().sum() == 0
    assert (runs["n_examples"] == 8).all()
    assert (runs["rows_short"] + runs["rows_long"] == 8).all()
    assert (runs["steps"] == 4).all()
    assert runs["loss"].n_unique() == 4
    assert runs["baseline_loss"].n_unique() == 1
    assert (runs["loss"] < runs["baseline_loss"]).all()


def test_the_metadata_say_what_made_the_table(undisturbed: Path) -> None:
    about = json.loads(pl.read_parquet_metadata(undisturbed / "out" / "runs.parquet")["imine"])
    assert about["fingerprints"]["output_length"] == {"unit": "characters"}
    assert about["study"]["recipe"]["finetune.learning_rate"] == 3e-3
    assert about["study"]["pools"] == ["short", "long"]
    assert about["study"]["model"].startswith("llama")
    assert {"torch", "transformers", "deepspeed", "imine"} <= set(about["versions"])
    # Nothing of the texts, and nothing of where files lie.
    assert not any(word in json.dumps(about) for word in (str(undisturbed), "jsonl", "quick"))


def test_losses_pool_by_tokens(undisturbed: Path) -> None:
    ledger = read_ledger(undisturbed / "out" / "ledger.jsonl")
    record = ledger.runs[2]
    sums = [sum(record["evaluation"][name]["sums"]) for name in ("one", "two")]
    tokens = [sum(record["evaluation"][name]["tokens"]) for name in ("one", "two")]
    assert record["loss"] == pytest.approx(sum(sums) / sum(tokens), rel=1e-12)
    assert record["evaluation"]["two"]["loss"] == pytest.approx(sums[1] / tokens[1], rel=1e-12)
    assert len(record["evaluation"]["one"]["sums"]) == 4


def test_subset_means_equal_a_plain_loop(undisturbed: Path) -> None:
    out = undisturbed / "out"
    runs, design = pl.read_parquet(out / "runs.parquet"), pl.read_parquet(out / "design.parquet")
    scores = {row["id"]: row for row in pl.read_parquet(out / "scores.parquet").iter_rows(named=True)}
    for row in runs.iter_rows(named=True):
        ids = design.filter(pl.col("run") == row["run_id"])["id"]
        values = [scores[id]["mtld"] for id in ids if scores[id]["mtld"] is not None]
        assert row["mtld__n"] == len(values)
        assert row["mtld"] == pytest.approx(sum(values) / len(values), rel=1e-12)
        spread = math.sqrt(sum((v - row["mtld"]) ** 2 for v in values) / (len(values) - 1))
        assert row["mtld__sd"] == pytest.approx(spread, rel=1e-12)
        assert row["output_length__n"] == 8
    assert runs["mtld__n"].min() < 8  # type: ignore[operator]


def test_an_indicator_that_no_row_of_a_subset_has_is_null() -> None:
    design = pl.DataFrame({"run": [0, 0], "id": ["a", "b"]})
    scores = pl.DataFrame({"id": ["a", "b"], "mtld": [None, None]}, schema_overrides={"mtld": pl.Float64})
    assert subset_means(design, scores, ["mtld"]).rows() == [(0, None, None, 0)]


def test_stopped_and_resumed_gives_the_same_table(tmp_path: Path, undisturbed: Path, lm: LoadedModel) -> None:
    file = make_folder(tmp_path / "stopped")
    with pytest.raises(Stopped):
        go(file, lm, after_run=stop_after(2))
    assert study_status(load_study(file)).done == 2
    assert pl.read_parquet(file.parent / "out" / "runs.parquet").height == 2
    fresh: list[int] = []
    resumed = go(file, lm, after_run=fresh.append)
    assert fresh == [2, 3]
    whole = pl.read_parquet(undisturbed / "out" / "runs.parquet")
    assert comparable(resumed).equals(comparable(whole))
    kinds = [record["kind"] for record in read_ledger(file.parent / "out" / "ledger.jsonl").records]
    assert kinds == ["study", "baseline", "run", "run", "run", "run"]


@pytest.mark.parametrize("cut", ["half", "newline"])
def test_a_torn_last_line_is_done_again_and_said(
    study_file: Path, undisturbed: Path, lm: LoadedModel, cut: str
) -> None:
    path = study_file.parent / "out" / "ledger.jsonl"
    content = path.read_bytes()
    last = len(content.splitlines(keepends=True)[-1])
    path.write_bytes(content[: -last // 2] if cut == "half" else content[:-1])
    assert study_status(load_study(study_file)).done == 3
    notes: list[str] = []
    progress = SilentProgress()
    progress.note = notes.append  # type: ignore[method-assign]
    fresh: list[int] = []
    runs = go(study_file, lm, after_run=fresh.append, progress=progress)
    assert fresh == [3]
    assert any("a last line of" in note and "was cut off" in note for note in notes)
    assert comparable(runs).equals(comparable(pl.read_parquet(undisturbed / "out" / "runs.parquet")))
    assert len(path.read_bytes().splitlines()) == 6


def test_a_finished_study_does_nothing_twice(study_file: Path, lm: LoadedModel) -> None:
    before = (study_file.parent / "out" / "ledger.jsonl").read_bytes()
    fresh: list[int] = []
    go(study_file, lm, after_run=fresh.append)
    assert fresh == []
    assert (study_file.parent / "out" / "ledger.jsonl").read_bytes() == before


def test_more_subsets_go_on_and_keep_the_old(study_file: Path, undisturbed: Path, lm: LoadedModel) -> None:
    study_file.write_text(STUDY.replace("subsets = 4", "subsets = 5"))
    fresh: list[int] = []
    runs = go(study_file, lm, after_run=fresh.append)
    assert fresh == [4]
    assert comparable(runs[:4]).equals(comparable(pl.read_parquet(undisturbed / "out" / "runs.parquet")))


def test_other_indicators_need_no_finetune(study_file: Path, lm: LoadedModel) -> None:
    study_file.write_text(STUDY.replace('"output_length", "mtld"', '"mtld"'))
    fresh: list[int] = []
    runs = go(study_file, lm, after_run=fresh.append)
    assert fresh == []
    assert "output_length" not in runs.columns


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("3e-3", "1e-3", r"finetune\.learning_rate: 0\.003 when it was started, now 0\.001"),
        ("subsets = 4", "subsets = 3", r"design\.subsets: 4 when it was started, now 3"),
        ("rows = 12", "", r"pools\.long\.rows: 12 when it was started, now null"),
        ('name = "two"', 'name = "three"', r"evaluation\.two\.rows: null when it was started, now absent"),
        (
            POOLS,
            POOLS_SWAPPED,
            r'pools \(order\): \["short", "long"\] when it was started, now \["long", "short"\]',
        ),
    ],
)
def test_a_changed_study_is_refused(study_file: Path, lm: LoadedModel, old: str, new: str, said: str) -> None:
    assert old in STUDY
    study_file.write_text(STUDY.replace(old, new))
    before = (study_file.parent / "out" / "ledger.jsonl").read_bytes()
    with pytest.raises(StudyChangedError, match=said):
        go(study_file, lm)
    assert (study_file.parent / "out" / "ledger.jsonl").read_bytes() == before


def test_changed_data_and_another_model_are_refused(study_file: Path, lm: LoadedModel) -> None:
    with pytest.raises(StudyChangedError, match=r"finetune\.model \(content\)"):
        go(study_file, LoadedModel(lm.model, lm.tokenizer, lm.name, "0" * 64))
    with (study_file.parent / "one.jsonl").open("a") as file:
        file.write('{"instruction": "New.", "output": "Row."}\n')
    with pytest.raises(StudyChangedError, match=r"evaluation\.one \(content\)"):
        go(study_file, lm)


def test_a_damaged_line_is_named(study_file: Path, lm: LoadedModel) -> None:
    path = study_file.parent / "out" / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2][:40] + b"\n", *lines[3:]]))
    with pytest.raises(StudyError, match=r"ledger\.jsonl, line 3: not a record"):
        go(study_file, lm)


def edit(study_file: Path, change: Any) -> Path:
    """Rewrite the ledger's records."""
    path = study_file.parent / "out" / "ledger.jsonl"
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    path.write_text("".join(json.dumps(record) + "\n" for record in change(records)), encoding="utf-8")
    return path


@pytest.mark.parametrize("kept", [slice(1, None), slice(1, 2), slice(2, None)])
def test_results_without_the_recipe_are_refused(study_file: Path, lm: LoadedModel, kept: slice) -> None:
    before = edit(study_file, lambda records: records[kept]).read_bytes()
    with pytest.raises(StudyError, match=r"record of the study is missing.*copy, or start anew in another"):
        go(study_file, lm)
    assert (study_file.parent / "out" / "ledger.jsonl").read_bytes() == before


@pytest.mark.parametrize("damaged", [b'{"kind": "stu', b"null", b"\x00\x00"])
def test_a_damaged_first_line_must_not_be_removed(study_file: Path, lm: LoadedModel, damaged: bytes) -> None:
    path = study_file.parent / "out" / "ledger.jsonl"
    path.write_bytes(b"\n".join([damaged, *path.read_bytes().split(b"\n")[1:]]))
    with pytest.raises(StudyError, match=r"line 1: not a record .*copy, or start anew in another") as told:
        go(study_file, lm)
    assert "remove" not in str(told.value)


def test_a_run_of_other_rows_is_named(study_file: Path, lm: LoadedModel) -> None:
    edit(study_file, lambda records: [r | {"rows_sha256": "0"} if r.get("run") == 2 else r for r in records])
    with pytest.raises(StudyError, match=r"run 2 was trained on other rows .*numpy.* was made with imine"):
        go(study_file, lm)


def test_a_changed_design_table_is_refused_without_false_certainty(study_file: Path, lm: LoadedModel) -> None:
    path = study_file.parent / "out" / "design.parquet"
    pl.read_parquet(path).with_columns(pl.col("id").reverse()).write_parquet(path)
    with pytest.raises(StudyError, match=r"either this file was changed .*or numpy draws other rows"):
        go(study_file, lm)
    path.unlink()
    go(study_file, lm)


def test_before_the_baseline_another_recipe_takes_the_place_of_the_first(
    tmp_path: Path, lm: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_folder(tmp_path / "early")
    with monkeypatch.context() as patched:
        patched.setattr(trial, "evaluate", broken_after(0))
        with pytest.raises(StudyError, match="the base model: the loss on evaluation set one is nan"):
            go(file, lm)
    file.write_text(STUDY.replace("seed = 5", "seed = 6").replace("subsets = 4", "subsets = 1"))
    go(file, lm)
    records = read_ledger(file.parent / "out" / "ledger.jsonl").records
    assert [record["kind"] for record in records] == ["study", "study", "baseline", "run"]
    assert [record["recipe"]["seed"] for record in records[:2]] == [5, 6]


def broken_after(count: int) -> Any:
    """Evaluation whose losses are none after so many calls."""
    calls: list[int] = []

    def evaluate(model: Any, rows: Any, **more: Any) -> Evaluation:
        calls.append(len(rows))
        value = math.nan if len(calls) > count else 1.0
        return Evaluation(np.full(len(rows), value), np.ones(len(rows), dtype=np.int64))

    return evaluate


def test_a_loss_that_is_no_number_names_run_and_set(
    tmp_path: Path, lm: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_folder(tmp_path / "diverged")
    monkeypatch.setattr(trial, "evaluate", broken_after(3))
    with pytest.raises(StudyError, match="run 0: the loss on evaluation set two is nan; lower learning_rate"):
        go(file, lm)
    assert study_status(load_study(file)).done == 0


def test_a_row_without_trainable_token_is_told_before_the_first_run(
    tmp_path: Path, lm: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last_is_empty(*args: Any, **more: Any) -> list[EncodedExample]:
        encoded = encode_examples(*args, **more)
        return [*encoded[:-1], EncodedExample(encoded[-1].prompt, [], 0)]

    monkeypatch.setattr(rows, "encode_examples", last_is_empty)
    file = make_folder(tmp_path / "empty")
    with pytest.raises(
        StudyError, match=r"1 of \d+ examples have no trainable token, the first with the id "
    ):
        go(file, lm)
    assert [r["kind"] for r in read_ledger(file.parent / "out" / "ledger.jsonl").records] == ["study"]


def test_a_study_trains_adapters(tmp_path: Path, lm: LoadedModel, undisturbed: Path) -> None:
    pytest.importorskip("peft")
    file = make_folder(tmp_path / "lora")
    file.write_text(
        STUDY.replace("subsets = 4", "subsets = 1").replace("[finetune]", "[finetune]\nlora = { rank = 2 }")
    )
    runs, full = go(file, lm), pl.read_parquet(undisturbed / "out" / "runs.parquet")[:1]
    assert runs["loss"].item() < runs["baseline_loss"].item() == full["baseline_loss"].item()
    assert runs["loss"].item() != full["loss"].item()
    file.write_text(file.read_text().replace("rank = 2", "rank = 3"))
    with pytest.raises(StudyChangedError, match=r"finetune\.lora\.rank: 2 when it was started, now 3"):
        go(file, lm)


def test_threads_are_those_of_the_study(tmp_path: Path, lm: LoadedModel) -> None:
    import torch

    before = torch.get_num_threads()
    wanted = 1 if before > 1 else 2
    file = make_folder(tmp_path / "threads")
    file.write_text(
        STUDY.replace("subsets = 4", "subsets = 1").replace("[finetune]", f"[finetune]\nthreads = {wanted}")
    )
    try:
        assert go(file, lm)["threads"].to_list() == [wanted]
    finally:
        torch.set_num_threads(before)


def test_versions_and_devices_of_all_runs_are_recorded(study_file: Path, lm: LoadedModel) -> None:
    def mixed(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        last = records[-1]
        return [*records[:-1], last | {"device": "H", "versions": last["versions"] | {"torch": "99"}}]

    torch_version = json.loads(edit(study_file, mixed).read_bytes().splitlines()[2])["versions"]["torch"]
    go(study_file, lm)
    about = json.loads(pl.read_parquet_metadata(study_file.parent / "out" / "runs.parquet")["imine"])
    assert about["versions"]["torch"] == f"{torch_version}, 99"
    assert "," not in about["versions"]["numpy"]
    assert "H" in about["study"]["devices"]
    assert len(about["study"]["devices"]) == 2


def test_what_is_missing_is_told_before_anything_is_read(
    tmp_path: Path, lm: LoadedModel, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_folder(tmp_path / "early")
    (file.parent / "short.jsonl").unlink()
    with pytest.raises(ModelNotFoundError, match="imine models get smollm2-135m"):
        run_study(load_study(file), scorer=count_characters)
    file.write_text(STUDY.replace('"output_length", "mtld"', '"knn_6"'))
    with pytest.raises(ModelNotFoundError, match=r"knn_6: .*imine models get all-minilm-l6-v2"):
        run_study(load_study(file), lm=lm)
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(MissingExtraError, match=r'deepspeed is not installed.*pip install "imine\[train\]"'):
        run_study(load_study(file), lm=lm, scorer=count_characters)
    assert {path.name for path in (file.parent / "out").iterdir()} == {".lock"}


def test_two_processes_do_not_share_a_folder(study_file: Path, lm: LoadedModel) -> None:
    with (
        locked(study_file.parent / "out"),
        pytest.raises(StudyError, match="another process runs the study"),
    ):
        go(study_file, lm)


def test_a_ledger_takes_no_number_that_is_none(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(ValueError, match="not JSON compliant"):
        ledger.append({"kind": "run", "loss": math.nan})
    assert not ledger.path.exists()
    assert ledger.records == []


def test_imines_own_indicators(tmp_path: Path, tiny_llama: Path, tiny_encoder: Path, own_cache: Path) -> None:
    file = make_folder(tmp_path / "own")
    names = '["input_length", "output_length", "perplexity", "knn_6"]'
    # Folders of models are relative to the study file, not to where the command runs.
    encoder, llama = (os.path.relpath(folder, file.parent) for folder in (tiny_encoder, tiny_llama))
    text = STUDY.replace('["output_length", "mtld"]', f'{names}\nencoder = "{encoder}"')
    text = text.replace("[finetune]", f'reference_rows = 15\n[finetune]\nmodel = "{llama}"')
    file.write_text(text.replace("subsets = 4", "subsets = 1"))
    result = CliRunner().invoke(_app(), ["study", "run", str(file), "--out", str(tmp_path / "results")])
    assert result.exit_code == 0, result.output
    runs = pl.read_parquet(tmp_path / "results" / "runs.parquet")
    assert runs["perplexity__n"].item() == 8
    assert runs["knn_6"].item() > 0
    about = json.loads(pl.read_parquet_metadata(tmp_path / "results" / "runs.parquet")["imine"])
    assert about["reference"]["knn_6"]["n"] == 15
    assert (tmp_path / "results" / "reference.npz").is_file()
    status = CliRunner().invoke(_app(), ["study", "status", str(file), "--out", str(tmp_path / "results")])
    assert "1 of 1 runs done" in status.output


def _app() -> Any:
    from imine._cli import app

    return app


def test_new_writes_a_study_and_overwrites_none(tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    result = CliRunner().invoke(_app(), ["study", "new", str(path)])
    assert result.exit_code == 0, result.output
    assert load_study(path).config.name == "example"
    again = CliRunner().invoke(_app(), ["study", "new", str(path)])
    assert "is there already" in str(again.exception)


def test_status_before_the_start(tmp_path: Path) -> None:
    file = make_folder(tmp_path / "fresh")
    result = CliRunner().invoke(_app(), ["study", "status", str(file)])
    assert result.output.startswith("0 of 4 runs done in")
