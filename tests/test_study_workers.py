"""A study whose finetunes are done by workers: the same numbers, and what is said of it on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from imine._cli import app
from imine.errors import StudyChangedError, StudyError
from imine.indicators.models import load_causal_lm
from imine.indicators.responses import bucket, collate, response_sums, response_sums_and_hits
from imine.indicators.templates import EncodedExample
from imine.study import load_study, run_study, study_status
from imine.study.base_model import NamedModel
from imine.study.evaluate import evaluate
from imine.study.ledger import Ledger, locked, read_ledger
from imine.study.run import _Clock
from imine.study.table import runs_frame
from tests.test_study_run import STUDY, comparable, count_characters, make_folder

ROOT = Path(__file__).resolve().parents[1]


def study_with(folder: Path, llama: Path, *more: str) -> Path:
    file = make_folder(folder)
    lines = "\n".join(["[finetune]", f'model = "{llama}"', *more])
    file.write_text(STUDY.replace("[finetune]", lines), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def by_workers(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A finished study of two workers with one thread each."""
    file = study_with(tmp_path_factory.mktemp("workers"), tiny_llama, "threads = 1", "workers = 2")
    state = run_study(load_study(file), scorer=count_characters)
    assert (state.done, state.failed, state.running) == (4, {}, ())
    return file


def test_two_workers_give_the_table_of_none(by_workers: Path, tmp_path: Path, tiny_llama: Path) -> None:
    import torch

    file = study_with(tmp_path / "here", tiny_llama, "threads = 1")
    before = torch.get_num_threads()
    try:
        run_study(load_study(file), scorer=count_characters, workers=0)
    finally:
        torch.set_num_threads(before)
    here, there = (pl.read_parquet(one.parent / "out" / "runs.parquet") for one in (file, by_workers))
    assert comparable(there).equals(comparable(here))
    ledgers = [read_ledger(one.parent / "out" / "ledger.jsonl") for one in (file, by_workers)]
    for run, record in ledgers[0].runs.items():
        for key in ("train_losses", "evaluation", "seed", "rows_sha256", "weights", "accuracy"):
            assert ledgers[1].runs[run][key] == record[key], key
    assert ledgers[0].study == ledgers[1].study, "workers and threads are no part of the recipe"


def test_what_a_run_records(by_workers: Path) -> None:
    ledger = read_ledger(by_workers.parent / "out" / "ledger.jsonl")
    assert [record["kind"] for record in ledger.records].count("stage") in (1, 2)
    for record in (ledger.baseline, *ledger.runs.values()):
        assert record is not None
        assert record["attempts"] == 1
        assert record["peak_rss_mb"] > 50
        for part in record["evaluation"].values():
            assert part["accuracy"] == sum(part["right"]) / sum(part["tokens"])
            assert all(
                0 <= right <= count for right, count in zip(part["right"], part["tokens"], strict=True)
            )
        parts = record["evaluation"].values()
        right, tokens = (sum(sum(part[key]) for part in parts) for key in ("right", "tokens"))
        assert record["accuracy"] == right / tokens
    seconds = ledger.device_seconds
    assert seconds["train"] == pytest.approx(sum(r["seconds_train"] for r in ledger.runs.values()))
    assert min(seconds["load"], seconds["evaluate"]) > 0
    assert seconds["lost"] == 0
    out = by_workers.parent / "out"
    about = json.loads(pl.read_parquet_metadata(out / "runs.parquet")["imine"])
    assert about["study"]["device_seconds"] == seconds


def test_the_table_has_accuracy_and_perplexity(by_workers: Path) -> None:
    runs = pl.read_parquet(by_workers.parent / "out" / "runs.parquet")
    for end in ("", "_one", "_two"):
        for start in ("", "baseline_"):
            assert runs[f"{start}accuracy{end}"].is_between(0, 1).all()
            expected = np.exp(runs[f"{start}loss{end}"].to_numpy())
            np.testing.assert_allclose(runs[f"{start}eval_perplexity{end}"].to_numpy(), expected, rtol=1e-14)
    assert (runs["accuracy"] > runs["baseline_accuracy"]).any()


def test_ledgers_from_before_accuracy_was_counted_are_read(by_workers: Path) -> None:
    ledger = read_ledger(by_workers.parent / "out" / "ledger.jsonl")
    design = pl.read_parquet(by_workers.parent / "out" / "design.parquet")
    scores = pl.read_parquet(by_workers.parent / "out" / "scores.parquet")
    assert ledger.baseline is not None

    def without(record: dict[str, Any]) -> dict[str, Any]:
        parts = {
            name: {key: value for key, value in part.items() if key not in ("accuracy", "right")}
            for name, part in record["evaluation"].items()
        }
        kept = {key: value for key, value in record.items() if key not in ("accuracy", "attempts")}
        return kept | {"evaluation": parts}

    old = {run: without(record) for run, record in ledger.runs.items()}
    table = runs_frame(old, without(ledger.baseline), design, scores, ["mtld"])
    assert not [name for name in table.columns if "accuracy" in name]
    mixed = runs_frame(old | {3: ledger.runs[3]}, without(ledger.baseline), design, scores, ["mtld"])
    assert mixed["accuracy"].is_null().to_list() == [True, True, True, False]
    assert mixed.drop("accuracy", "accuracy_one", "accuracy_two").equals(table)


def test_a_changed_study_file_is_refused_and_a_grown_one_goes_on(by_workers: Path, tmp_path: Path) -> None:
    """The keys of the workers may change at any time."""
    text = by_workers.read_text()
    study = load_study(by_workers)
    for old, new, refused in [
        ("workers = 2", "workers = 1\ntime_limit = 900", False),
        ("threads = 1", "threads = 2", False),
        ("epochs = 2", "epochs = 1", True),
    ]:
        assert old in text
        by_workers.write_text(text.replace(old, new))
        try:
            changed = load_study(by_workers)
            assert (changed.config.recipe() == study.config.recipe()) is not refused
            if refused:
                with pytest.raises(StudyChangedError, match="epochs: 2 when it was started, now 1"):
                    run_study(changed, scorer=count_characters)
        finally:
            by_workers.write_text(text)


def test_evaluation_counts_right_tokens_and_keeps_the_loss(tiny_llama: Path) -> None:
    import torch

    model = load_causal_lm(str(tiny_llama)).model
    rng = np.random.default_rng(3)
    examples = [
        EncodedExample(
            rng.integers(1, 200, 6).tolist(), rng.integers(1, 200, rng.integers(1, 30)).tolist(), 0
        )
        for _ in range(12)
    ]
    # Half of the responses are what the model itself finds likeliest, so that there is something to count.
    with torch.inference_mode():
        for example in examples[::2]:
            ids = torch.tensor([example.prompt])
            for i in range(len(example.response)):
                nextone = int(model(input_ids=ids).logits[0, -1].argmax())
                example.response[i] = nextone
                ids = torch.cat([ids, torch.tensor([[nextone]])], dim=1)
    found = evaluate(model, examples, pad_id=0, micro_tokens=100)
    assert found.right is not None
    for i, example in enumerate(examples):
        ids = torch.tensor([example.prompt + example.response])
        with torch.inference_mode():
            likeliest = model(input_ids=ids).logits[0, :-1].argmax(-1)
        right = (likeliest == ids[0, 1:])[len(example.prompt) - 1 :]
        assert found.right[i] == right.sum()
    assert found.right[::2].tolist() == [len(example.response) for example in examples[::2]]
    assert found.accuracy == found.right.sum() / found.tokens.sum() < 1
    with torch.inference_mode():
        for group in bucket([len(e.prompt) + len(e.response) for e in examples], 100):
            batch = collate([examples[i] for i in group], 0)
            assert torch.equal(response_sums(model, batch), response_sums_and_hits(model, batch)[0])


def test_a_model_of_its_own_kind_counts_the_same(monkeypatch: pytest.MonkeyPatch, tiny_llama: Path) -> None:
    from imine.indicators import responses

    model = load_causal_lm(str(tiny_llama)).model
    rng = np.random.default_rng(4)
    examples = [EncodedExample(rng.integers(1, 200, 5).tolist(), rng.integers(1, 200, 90).tolist(), 0)] * 3
    plain = evaluate(model, examples, pad_id=0)
    monkeypatch.setattr(responses, "PLAIN_HEADS", frozenset())
    monkeypatch.setattr(responses, "_PIECE", 64 * model.config.vocab_size)
    pieces = evaluate(model, examples, pad_id=0)
    np.testing.assert_allclose(pieces.sums, plain.sums, rtol=1e-5)
    assert pieces.right is not None
    assert plain.right is not None
    assert pieces.right.tolist() == plain.right.tolist()


def test_a_model_by_its_name(tiny_llama: Path) -> None:
    import pickle

    named = NamedModel.find(str(tiny_llama))
    loaded = load_causal_lm(str(tiny_llama))
    assert named.sha256 == loaded.sha256
    assert named.tokenizer.pad_token_id == loaded.tokenizer.pad_token_id
    sent = pickle.loads(pickle.dumps(named))
    assert (sent.name, sent.sha256) == (named.name, named.sha256)
    assert sent.model.config.to_dict() == loaded.model.config.to_dict()
    with pytest.raises(StudyError, match="put the model back"):
        NamedModel(str(tiny_llama), "0" * 64).model  # noqa: B018


def test_status_says_what_runs_what_failed_and_what_it_took(tmp_path: Path) -> None:
    file = make_folder(tmp_path / "status")
    out = file.parent / "out"
    run = {"kind": "run", "seconds_train": 50.0, "seconds_evaluate": 10.0}
    with locked(out):
        ledger = Ledger(out / "ledger.jsonl")
        ledger.append({"kind": "stage", "stage": "load", "seconds": 7.0, "device": "cpu"})
        ledger.append(run | {"run": 0})
        ledger.append(
            {"kind": "failed", "run": 1, "reason": "MemoryError", "attempts": 2, "seconds_lost": 30.0}
        )
        ledger.append(
            {"kind": "failed", "run": 2, "reason": "MemoryError", "attempts": 2, "seconds_lost": 3.0}
        )
        ledger.append(run | {"run": 2})
        rows = [
            {"worker": i, "device": "cpu", "what": what, "since": "2026-01-02T03:04:05+00:00"}
            for i, what in enumerate(["run 1", "run 3"])
        ]
        (out / "ledger.running.json").write_text(json.dumps(rows))
        said = CliRunner().invoke(app, ["study", "status", str(file)]).output
        assert [worker.what for worker in study_status(load_study(file)).running] == ["run 1", "run 3"]
    assert f"2 of 4 runs done in {out}" in said
    # Two runs are left, two workers share them.
    assert "1 min 00 s a run, 1 min 00 s left at this rate" in said
    assert "worker 1 on cpu: run 3 since 2026-01-02T03:04:05+00:00" in said
    assert "run 1 failed: MemoryError\nimine study run tries them again" in said
    assert "run 2 failed" not in said
    assert "device time: load 7.00 s, train 1 min 40 s, evaluate 20 s, lost 33 s; together 2 min 40 s" in said
    # Nobody works in the folder any more: what the file says is over.
    assert study_status(load_study(file)).running == ()


def test_the_time_of_scoring_holds_that_of_making_the_scorer() -> None:
    def scorer(rows: pl.DataFrame) -> Any:
        time.sleep(0.01)
        return rows

    def make() -> Any:
        time.sleep(0.05)  # the embeddings of a reference set
        return scorer

    clock = _Clock()
    assert clock.of(make)(pl.DataFrame({"id": ["a"]})).height == 1
    assert 0.06 <= clock.seconds < 5


def test_the_command_says_which_runs_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import imine.study

    file = make_folder(tmp_path / "failed")
    asked: list[Any] = []

    def stand_in(study: Any, **options: Any) -> Any:
        asked.append(options["workers"])
        with locked(study.out):
            Ledger(study.out / "ledger.jsonl").append({"kind": "failed", "run": 1, "reason": "MemoryError"})
        return study_status(study)

    monkeypatch.setattr(imine.study, "run_study", stand_in)
    result = CliRunner().invoke(app, ["study", "run", str(file), "--workers", "3"])
    assert result.exit_code == 1
    assert asked == [3]
    assert "run 1 failed: MemoryError" in result.output
    assert f"no run is finished in {file.parent / 'out'}\n" in result.output
    assert "runs.parquet" not in result.output


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize(("kills", "workers"), [(100, 0), (100, 2)])
def test_a_hundred_kills_leave_the_table_as_it_is(kills: int, workers: int) -> None:
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")]),
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        str(ROOT / "tests" / "kill_study.py"),
        f"--kills={kills}",
        f"--workers={workers}",
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "every table equals the undisturbed one" in done.stdout
