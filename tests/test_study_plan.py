"""The plan of a study: counts that the study then has, sizes, time and its text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from imine._cli import app
from imine.indicators.models import LoadedModel, load_causal_lm
from imine.indicators.templates import EncodedExample
from imine.study import load_study, run_study, study_status
from imine.study.ledger import Ledger
from imine.study.planning import StudyPlan, measure_speed, plan_study
from imine.study.planning.sizes import disk_of, memory_of
from imine.study.planning.text import show_bytes
from imine.study.recipe import FinetuneConfig
from tests.tiny_study import write_study

pytest.importorskip("deepspeed")


class Nothing:
    """No indicators: they are not what is planned here."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame.select("id", output_words=pl.lit(1.0), log_perplexity=pl.lit(1.0))
        self.fingerprints: dict[str, dict[str, Any]] = {"output_words": {}, "log_perplexity": {}}

    def write(self, path: Path) -> None:
        self.frame.write_parquet(path)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    return write_study(tmp_path_factory.mktemp("plan"), tiny_llama)


@pytest.fixture(scope="module")
def lm(tiny_llama: Path) -> LoadedModel:
    return load_causal_lm(str(tiny_llama))


@pytest.fixture(scope="module")
def before(file: Path) -> StudyPlan:
    return plan_study(load_study(file), measure=False)


def test_planning_writes_nothing(file: Path, before: StudyPlan) -> None:
    assert before.runs == 3
    assert not (file.parent / "out").exists()


def test_the_study_then_has_the_planned_tokens_steps_and_padding(
    file: Path, before: StudyPlan, lm: LoadedModel, tmp_path: Path
) -> None:
    run_study(load_study(file), out=tmp_path, lm=lm, scorer=Nothing)
    runs = pl.read_parquet(tmp_path / "runs.parquet")
    assert before.trained.tokens == runs["tokens"].sum()
    assert before.trained.response == runs["response_tokens"].sum()
    assert before.trained.padded == runs["padded_tokens"].sum()
    assert before.steps == runs["steps"].sum()
    assert before.trained.rows == 2 * 3 * 7
    assert {p.name: p.trained.rows for p in before.pools} == {
        name: 2 * runs[f"rows_{name}"].sum() for name in ("short", "long")
    }
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert before.scored.rows == scores.height == sum(p.distinct for p in before.pools)
    after = plan_study(load_study(file), out=tmp_path, measure=True)
    assert (after.done, after.stages[-1].amount.split(" ")[0]) == (3, "0")
    assert after.speed is not None
    assert after.speed.source.startswith("from 3 runs")
    assert after.speed.train == pytest.approx(runs["padded_tokens"].sum() / runs["seconds_train"].sum())
    assert after.seconds == 0
    planned = next(part for part in before.disk if part.name == "ledger.jsonl").bytes
    assert planned == pytest.approx((tmp_path / "ledger.jsonl").stat().st_size, rel=0.5)


def test_tokens_by_pool_add_up(before: StudyPlan) -> None:
    assert sum(p.trained.tokens for p in before.pools) == before.trained.tokens
    assert sum(p.trained.cut for p in before.pools) == before.trained.cut > 0
    assert [part.once.rows for part in before.evaluation] == [4, 3]
    assert before.evaluated.rows == (3 + 1) * 7


def test_without_a_measurement_no_time_is_made_up(before: StudyPlan) -> None:
    assert before.speed is None
    assert before.seconds is None
    assert all(stage.seconds is None for stage in before.stages)
    assert "nothing was measured" in before.summary()


def test_weights_are_counted_without_loading_them(before: StudyPlan, lm: LoadedModel) -> None:
    assert before.parameters == sum(p.numel() for p in lm.model.parameters())


def test_time_follows_from_the_measured_speed(file: Path, lm: LoadedModel) -> None:
    plan = plan_study(load_study(file), lm=lm, steps=1)
    speed = plan.speed
    assert speed is not None
    assert speed.train > 0
    assert speed.peak_mb is not None
    assert speed.peak_mb > 50
    by_name = {stage.name: stage.seconds for stage in plan.stages}
    assert by_name["finetunes"] == pytest.approx(3 * speed.setup + plan.trained.padded / speed.train)
    once = sum(part.once.padded for part in plan.evaluation)
    assert by_name["evaluations"] == pytest.approx(3 * once / speed.evaluate)
    assert by_name["perplexity"] == pytest.approx(plan.scored.tokens / speed.evaluate)
    assert by_name["other indicators (lexical)"] is None
    assert plan.seconds == pytest.approx(sum(s for s in by_name.values() if s is not None))


def test_measuring_leaves_the_model_as_it_was(lm: LoadedModel) -> None:
    weights = lm.model.state_dict()
    before = {name: value.clone() for name, value in weights.items()}
    examples = [EncodedExample([5, 6, 7], [8, 9], 0)] * 4
    measure_speed(lm, examples, examples, FinetuneConfig(batch_size=2, max_tokens=16), steps=1)
    assert all((value == weights[name]).all() for name, value in before.items())


def test_a_measurement_needs_examples(lm: LoadedModel) -> None:
    with pytest.raises(ValueError, match="examples of both kinds"):
        measure_speed(lm, [], [], FinetuneConfig())


def test_zero_keeps_a_further_copy_of_the_weights() -> None:
    plain, sharded = (sum(a.bytes for a in memory_of(10, 7, FinetuneConfig(zero_stage=z))) for z in (0, 2))
    assert sharded - plain == 40


def test_a_stage_in_the_users_own_json_counts() -> None:
    own = FinetuneConfig(deepspeed={"zero_optimization": {"stage": 2}})
    assert memory_of(10, 7, own) == memory_of(10, 7, FinetuneConfig(zero_stage=2))


@pytest.mark.parametrize("loaded", [False, True])
def test_adapters_take_the_memory_of_what_is_trained(
    file: Path, lm: LoadedModel, before: StudyPlan, loaded: bool
) -> None:
    pytest.importorskip("peft")
    other = file.parent / "adapters.toml"
    other.write_text(file.read_text() + "lora = { rank = 2 }\n")
    plan = plan_study(load_study(other), measure=False, lm=lm if loaded else None)
    # Two layers of Llama: matrices of attention (queries and output, keys and values) and of the feed-forward part.
    trained = 2 * 2 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 128))
    sizes = {part.name: part.bytes for part in plan.memory}
    assert (sizes["adapters"], sizes["gradients"], sizes["optimizer"]) == (
        4 * trained,
        4 * trained,
        8 * trained,
    )
    assert "weights" not in sizes
    assert plan.parameters == before.parameters == sum(p.numel() for p in lm.model.parameters())
    assert all(p.requires_grad for p in lm.model.parameters())


def test_workers_that_the_machine_gives_share_the_time(
    file: Path, lm: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load_study(file)
    ledger = Ledger(study.out / "ledger.jsonl")
    run = {"kind": "run", "padded_tokens": 500, "seconds_train": 5.0, "seconds_evaluate": 1.0}
    ledger.records.append(run | {"run": 0, "peak_rss_mb": 1, "device": "an accelerator"})
    monkeypatch.setattr("imine.study.planning.estimate.read_ledger", lambda path: ledger)
    monkeypatch.setattr("imine.study.run.read_ledger", lambda path: ledger)
    times = []
    for devices in (("cuda:0",), ("cuda:0", "cuda:1")):
        monkeypatch.setattr("imine.study.sweep.slots.find_devices", lambda found=devices: found)
        stages = {stage.name: stage.seconds for stage in plan_study(study, lm=lm).stages}
        times.append((stages["finetunes"], stages["evaluations"], study_status(study).seconds_left))
    assert times[1] == pytest.approx([seconds / 2 for seconds in times[0] if seconds])


def test_disk_grows_with_runs_and_evaluation_rows(before: StudyPlan) -> None:
    one = disk_of([], 0, before.evaluation, 10, 2, 0)
    more = tuple(replace(p, once=replace(p.once, rows=100)) for p in before.evaluation)
    assert disk_of([], 0, more, 10, 2, 0)[0].bytes > 2 * one[0].bytes
    assert [a.name for a in disk_of([], 0, (), 1, 1, 50)][-1] == "reference.npz"


def test_sizes_for_people() -> None:
    assert [show_bytes(n) for n in (1023, 1024, 5 * 1024**2, 7 * 1024**4)] == [
        "1023 B",
        "1.0 KiB",
        "5.0 MiB",
        "7.0 TiB",
    ]


def test_the_command_prints_it(file: Path) -> None:
    shown = CliRunner().invoke(app, ["study", "plan", str(file), "--no-measure"])
    assert shown.exit_code == 0, shown.output
    assert "tiny: 3 runs, 42 examples in 18 steps" in shown.output
    for word in ("short", "long", "evaluation one", "optimizer", "ledger.jsonl", "free where"):
        assert word in shown.output


def test_a_design_that_needs_scores_is_planned_with_random_rows(file: Path) -> None:
    text = file.read_text().replace(
        "subsets = 3, examples = 7", 'kind = "univariate", bands = 3, subsets = 6, examples = 4'
    )
    other = file.parent / "bands.toml"
    other.write_text(text)
    plan = plan_study(load_study(other), measure=False)
    assert (plan.runs, plan.trained.rows) == (6, 2 * 6 * 4)
    assert plan.scored.rows == sum(pool.candidates for pool in plan.pools) == 22
    assert any("reckoned for random rows" in note for note in plan.notes)
