"""Two ranks against a plain torch loop in one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imine.errors import StudyError
from imine.study.evaluate import evaluate
from imine.study.finetune import finetuned, launched_ranks
from imine.study.finetune.schedule import deal, micro_batches
from tests.finetune_ranks import CASES, EXAMPLES, frame, settings_of
from tests.plain_finetune import PAD, SETTINGS, examples, plain_loop, tiny_model

pytest.importorskip("deepspeed")
pytest.importorskip("peft")

ROOT = Path(__file__).resolve().parents[1]


def launch(*arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Start two ranks of a module of this repository."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    command = [*launcher, *arguments] if launcher else [sys.executable, *torchrun, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two ranks did all cases in one start: the imports cost more than the training."""
    folder = tmp_path_factory.mktemp("ranks")
    done = launch("tests.finetune_ranks", str(folder))
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def one_process(case: str) -> tuple[list[float], float]:
    """The same training in this process."""
    with finetuned(tiny_model(), examples(EXAMPLES), settings_of(case), seed=7, pad_id=PAD) as tuned:
        return list(tuned.losses), evaluate(tuned.model, examples(10, seed=1), pad_id=PAD).loss


@pytest.mark.parametrize("case", [case for case in CASES if "lora" not in case])
def test_two_ranks_equal_a_plain_loop(results: dict[str, Any], case: str) -> None:
    data = examples(EXAMPLES)
    reference = plain_loop(tiny_model(), data, SETTINGS, seed=7)
    found = results[case]
    assert len(found["losses"]) == 20
    np.testing.assert_allclose(found["losses"], reference.losses, rtol=0, atol=1e-5)
    expected = evaluate(reference.model, examples(10, seed=1), pad_id=PAD).loss
    assert found["held_out"] == pytest.approx(expected, abs=1e-5)
    assert found["tokens"] == 2 * sum(len(e.response) for e in data)


@pytest.mark.parametrize("case", [case for case in CASES if "lora" in case])
def test_adapters_on_two_ranks_equal_those_of_one(results: dict[str, Any], case: str) -> None:
    losses, held_out = one_process(case)
    np.testing.assert_allclose(results[case]["losses"], losses, rtol=0, atol=1e-5)
    assert results[case]["held_out"] == pytest.approx(held_out, abs=1e-5)


def test_rank_0_saves_a_model_that_loads(folder: Path, results: dict[str, Any]) -> None:
    from imine.indicators.models import load_causal_lm
    from imine.study.finetune.single import encode_records

    record, saved = results["saved"], folder / "saved"
    assert json.loads((saved / "finetune.json").read_text()) == record
    assert (record["ranks"], record["steps"], len(record["devices"])) == (2, 6, 2)
    held = record["evaluation"]["held"]
    assert held["loss"] < held["loss_before"]
    loaded = load_causal_lm(str(saved))
    rows = encode_records(loaded.tokenizer, frame(5, 20), SETTINGS)
    again = evaluate(loaded.model, rows, pad_id=loaded.tokenizer.pad_token_id)
    np.testing.assert_allclose(again.sums, held["sums"], rtol=1e-5)
    assert {path.name for path in folder.iterdir()} == {"base", "results.json", "saved"}


def test_shares_are_even_and_lose_nothing() -> None:
    lengths = np.random.default_rng(0).integers(1, 300, 64).tolist()
    for world in (1, 2, 3, 7):
        shares = deal(lengths, world)
        assert sorted(i for share in shares for i in share) == list(range(64))
        tokens = [sum(lengths[i] for i in share) for share in shares]
        assert max(tokens) - min(tokens) <= max(lengths)
        groups = [micro_batches(lengths, 1024, rank, world) for rank in range(world)]
        assert len({len(g) for g in groups}) == 1
        assert sorted(i for g in groups for batch in g for i in batch) == list(range(64))


def test_a_rank_may_have_no_example() -> None:
    assert deal([5], 3) == [[0], [], []]
    assert micro_batches([5], 100, 2, 3) == [[]]


def test_a_launch_that_names_no_ranks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        StudyError, match="WORLD_SIZE is 4, but RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not set"
    ):
        launched_ranks()


def test_a_study_is_not_started_on_several_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(StudyError, match="this finetune runs in one process"),
        finetuned(tiny_model(), examples(2), SETTINGS, seed=0, pad_id=PAD),
    ):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "deepspeed"])
def test_the_command_under_a_launcher(tmp_path: Path, tiny_llama: Path, launcher: str) -> None:
    frame(9).write_ndjson(tmp_path / "data.jsonl")
    frame(5, 20).write_ndjson(tmp_path / "held.jsonl")
    arguments = ["imine", "finetune", str(tmp_path / "data.jsonl"), "--model", str(tiny_llama), "-o"]
    arguments += [str(tmp_path / "out"), "--zero-stage", "2", "--max-tokens", "40", "--batch-size", "4"]
    arguments += ["--evaluate", str(tmp_path / "held.jsonl"), "--learning-rate", "5e-3"]
    command = Path(sys.executable).with_name("deepspeed")
    deepspeed = (str(command), "--num_accelerators", "2", "--module") if launcher == "deepspeed" else ()
    done = launch(*arguments, launcher=deepspeed)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("held: loss") == 1
    assert json.loads((tmp_path / "out" / "finetune.json").read_text())["ranks"] == 2
