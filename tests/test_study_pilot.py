"""Signal and noise of recipes, and a pilot of tiny runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from imine._cli import app
from imine.errors import RepeatedFailureError, StudyChangedError, StudyConfigError, StudyError
from imine.indicators.models import LoadedModel, load_causal_lm
from imine.progress import SilentProgress
from imine.study import load_study
from imine.study.config import PilotConfig, check_config
from imine.study.ledger import Ledger, read_ledger
from imine.study.pilot import Recipe, judge_pilot, run_pilot, signal, signal_to_noise
from imine.study.pilot import run as pilot_run
from imine.study.pilot.signal import _bartlett
from tests.tiny_study import write_study

RNG = np.random.default_rng(0)


def draws(signal: float, noise: Any, pools: int = 5, runs: int = 3, rng: Any = RNG) -> dict[str, list[float]]:
    means = rng.normal(0, signal, pools)
    return {
        f"p{i}": (m + rng.normal(0, 1, runs) * np.broadcast_to(noise, pools)[i]).tolist()
        for i, m in enumerate(means)
    }


def test_f_is_that_of_scipy_also_for_unequal_numbers() -> None:
    values = draws(1.0, 0.5)
    values["p0"].append(0.3)
    found = signal_to_noise(values)
    oracle = stats.f_oneway(*values.values())
    assert found.f == pytest.approx(oracle.statistic)
    assert found.p == pytest.approx(oracle.pvalue)


def test_bartlett_is_that_of_scipy_and_its_simulated_p_uniform() -> None:
    values = draws(1.0, 0.5, runs=9)
    found = signal_to_noise(values)
    oracle = stats.bartlett(*values.values())
    assert found.bartlett == pytest.approx(oracle.statistic)
    # With nine runs a pool the chi-square is a good approximation.
    assert found.bartlett_p == pytest.approx(oracle.pvalue, abs=0.02)
    sizes = np.array([2, 2, 2, 2])
    p = [signal_to_noise(draws(1.0, 0.5, 4, 2), seed=i).bartlett_p for i in range(60)]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.isinf(_bartlett(np.array([[0.0, 1.0, 1.0, 1.0]]), sizes)[0])


def test_the_interval_of_the_ratio_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "_SIMULATIONS", 2)
    rng, hits = np.random.default_rng(1), 0
    for _ in range(400):
        found = signal_to_noise(draws(2.0, 1.0, 4, 2, rng), level=0.9)
        hits += found.low <= 4.0 <= found.high
    assert 0.86 < hits / 400 < 0.94


def test_unequal_noise_is_found_where_it_is_large() -> None:
    found = signal_to_noise(draws(1.0, [0.001, 0.001, 0.13, 0.001, 0.001], runs=5))
    assert found.bartlett_p < 0.001
    assert max(found.pools, key=lambda p: p.sd).pool == "p2"


def test_too_little_to_judge() -> None:
    with pytest.raises(ValueError, match="at least two pools with at least two runs"):
        signal_to_noise({"a": [1.0, 2.0], "b": [1.0]})
    with pytest.raises(ValueError, match="no noise to compare"):
        signal_to_noise({"a": [1.0, 1.0], "b": [2.0, 2.0]})


def ledger_of(losses: dict[str, dict[str, list[float]]]) -> Ledger:
    baseline = {"kind": "baseline", "loss": 2.0, "evaluation": {"e": {"loss": 2.0}}}
    runs = [
        {
            "kind": "run",
            "run": f"{recipe}, {pool} {i}",
            "loss": loss,
            "evaluation": {"e": {"loss": loss}},
            "seconds_train": 1.0,
            "seconds_evaluate": 1.0,
        }
        for recipe, pools in losses.items()
        for pool, values in pools.items()
        for i, loss in enumerate(values)
    ]
    return Ledger(Path("ledger.jsonl"), [baseline, *runs])


def test_the_recipe_with_the_largest_ratio_is_taken_and_the_unequal_noise_said() -> None:
    weak, strong = Recipe(1e-4, 1, 8), Recipe(2e-4, 1, 8)
    ledger = ledger_of(
        {
            weak.name: {"oasst": [1.944, 1.941], "alpaca": [1.947, 1.939], "p3": [1.952, 1.948]},
            strong.name: {"oasst": [1.872, 1.871], "alpaca": [1.908, 1.909], "p3": [2.237, 2.104]},
        }
    )
    report = judge_pilot(ledger, [weak, strong], ["oasst", "alpaca", "p3"], 2)
    assert report.best == strong.name
    assert report.recipes[1].found is not None
    assert report.recipes[1].sets["e"] == pytest.approx(report.recipes[1].found.f)
    assert report.recipes[1].change == pytest.approx(
        np.mean(np.log(np.array([1.872, 1.871, 1.908, 1.909, 2.237, 2.104]) / 2))
    )
    text = report.summary()
    assert f"Take {strong.name}" in text
    assert "it differs by pool" in text
    assert "--covariance HC3" in text
    assert "Too few draws to weight runs by it" in text


def test_many_draws_allow_weights() -> None:
    recipe, rng = Recipe(1e-4, 1, 8), np.random.default_rng(2)
    losses = {
        p: np.exp(m + rng.normal(0, s, 6)).tolist() for p, m, s in (("a", 0.5, 0.001), ("b", 0.6, 0.03))
    }
    text = judge_pilot(ledger_of({recipe.name: losses}), [recipe], ["a", "b"], 6).summary()
    assert "--weights COLUMN" in text


def test_no_recipe_and_failed_runs_are_said() -> None:
    recipe, other = Recipe(1e-4, 1, 8), Recipe(2e-4, 1, 8)
    ledger = ledger_of(
        {recipe.name: {"a": [1.9, 2.0], "b": [2.0, 1.9]}, other.name: {"a": [1.9], "b": [2.0, 1.9]}}
    )
    report = judge_pilot(ledger, [recipe, other], ["a", "b"], 2)
    assert report.best is None
    assert report.recipes[1].missing == 1
    text = report.summary()
    assert "No recipe tells the pools apart" in text
    assert f"{other.name}: not judged" in text
    with pytest.raises(StudyError, match="base model was not evaluated"):
        judge_pilot(Ledger(Path("l")), [recipe], ["a", "b"], 2)


def test_the_pilot_is_no_part_of_the_recipe() -> None:
    base = {
        "name": "a",
        "out": "o",
        "pools": [{"name": "p", "path": "p"}],
        "evaluation": [{"name": "e", "path": "e"}],
        "design": {"subsets": 2, "examples": 3},
    }
    assert check_config(base).recipe() == check_config(base | {"pilot": {"epochs": [3], "draws": 4}}).recipe()
    assert not [key for key in check_config(base).recipe() if "pilot" in key]
    with pytest.raises(StudyConfigError, match=r"pilot\.pools: no pool q; allowed: p"):
        check_config(base | {"pilot": {"pools": ["q"]}})
    with pytest.raises(StudyConfigError, match=r"pilot\.draws: .*greater than or equal to 2"):
        check_config(base | {"pilot": {"draws": 1}})


@pytest.fixture(scope="module")
def lm(tiny_llama: Path) -> LoadedModel:
    pytest.importorskip("deepspeed")
    return load_causal_lm(str(tiny_llama))


def test_a_pilot_of_tiny_runs_resumes_grows_and_leaves_the_study_alone(
    tmp_path: Path, tiny_llama: Path, lm: LoadedModel
) -> None:
    file = write_study(tmp_path, tiny_llama)
    before = file.read_bytes()
    study = load_study(file)
    small = PilotConfig(learning_rates=(1e-2,), epochs=(1,), examples=4)
    first = run_pilot(study, small, lm=lm)
    ledger = read_ledger(tmp_path / "out" / "pilot" / "ledger.jsonl")
    assert len(ledger.runs) == 4
    assert {record["pool"] for record in ledger.runs.values()} == {"short", "long"}
    found = first.recipes[0].found
    assert found is not None
    losses = [record["loss"] for record in ledger.runs.values() if record["pool"] == "long"]
    assert found.pools[1].mean == pytest.approx(np.mean(np.log(losses)))
    again = run_pilot(study, small, lm=lm)
    assert read_ledger(ledger.path).records == ledger.records
    assert again == first
    more = run_pilot(study, PilotConfig(learning_rates=(1e-2, 1e-3), epochs=(1,), examples=4), lm=lm)
    assert more.recipes[0] == first.recipes[0]
    grown = read_ledger(ledger.path)
    assert len(grown.runs) == 8
    by_rows: dict[tuple[str, int], set[str]] = {}
    for record in grown.runs.values():
        by_rows.setdefault((record["pool"], record["draw"]), set()).add(record["rows_sha256"])
    assert all(len(hashes) == 1 for hashes in by_rows.values())
    assert len(set.union(*by_rows.values())) == 4
    with pytest.raises(StudyChangedError, match=r"pilot\.examples: 4 when it was started, now 5"):
        run_pilot(study, PilotConfig(examples=5), lm=lm)
    assert file.read_bytes() == before
    assert not (tmp_path / "out" / "ledger.jsonl").exists()


def test_adapters_of_another_scale_are_refused(tmp_path: Path, tiny_llama: Path, lm: LoadedModel) -> None:
    pytest.importorskip("peft")
    file = write_study(tmp_path, tiny_llama)
    text, wanted = file.read_text(), PilotConfig(epochs=(1,), examples=4)
    file.write_text(text + "lora = { rank = 2, alpha = 4 }\n")
    run_pilot(load_study(file), wanted, lm=lm)
    # Weights of the pools are those of the design's draws, and no matter of a pilot.
    file.write_text(
        text.replace('path = "short.jsonl"', 'path = "short.jsonl", alpha = 3')
        + "lora = { rank = 2, alpha = 4 }\n"
    )
    run_pilot(load_study(file), wanted, lm=lm)
    file.write_text(text + "lora = { rank = 2, alpha = 8 }\n")
    with pytest.raises(StudyChangedError, match=r"finetune\.lora\.alpha: 4\.0 when it was started, now 8\.0"):
        run_pilot(load_study(file), wanted, lm=lm)


def test_a_recipe_that_cannot_be_trained_leaves_the_others_judged(
    tmp_path: Path, tiny_llama: Path, lm: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, notes = pilot_run.run_jobs, []

    def run_jobs(jobs: Any, trainer: Any, ledger: Ledger, **more: Any) -> None:
        if trainer.settings.learning_rate > 1:
            raise RepeatedFailureError("5 runs in a row failed, the last one with: the loss is nan")
        real(jobs, trainer, ledger, **more)

    class Notes(SilentProgress):
        def note(self, text: str) -> None:
            notes.append(text)

    monkeypatch.setattr(pilot_run, "run_jobs", run_jobs)
    wanted = PilotConfig(learning_rates=(1e-2, 10.0, 1e-3), epochs=(1,), examples=4)
    report = run_pilot(load_study(write_study(tmp_path, tiny_llama)), wanted, lm=lm, progress=Notes())
    assert [(recipe.runs, recipe.missing) for recipe in report.recipes] == [(4, 0), (0, 4), (4, 0)]
    assert "rate 10.0, epochs 1, batch 3: not judged" in report.summary()
    assert [note for note in notes if "rate 10.0, epochs 1, batch 3 is given up: 5 runs in a row" in note]


def test_what_a_pilot_refuses(tmp_path: Path, tiny_llama: Path, lm: LoadedModel) -> None:
    study = load_study(write_study(tmp_path, tiny_llama))
    with pytest.raises(StudyConfigError, match="at least two pools"):
        run_pilot(study, PilotConfig(pools=("short",)), lm=lm)
    with pytest.raises(
        StudyConfigError, match=r"pilot.examples: 11 examples a subset, and pool short has 10"
    ):
        run_pilot(study, PilotConfig(examples=11), lm=lm)
    shown = CliRunner().invoke(app, ["study", "pilot", str(study.path), "--learning-rates", "1e-4,x"])
    assert isinstance(shown.exception, StudyConfigError)
    assert "--learning-rates takes positive numbers" in str(shown.exception)


def test_the_command(tmp_path: Path, tiny_llama: Path) -> None:
    file = write_study(tmp_path, tiny_llama)
    args = ["study", "pilot", str(file), "--learning-rates", "1e-2", "--epochs", "1", "--examples", "4"]
    shown = CliRunner().invoke(app, args)
    assert shown.exit_code == 0, shown.output
    assert "rate 0.01, epochs 1, batch 3" in shown.output
    assert "variance ratio" in shown.output
    assert math.isfinite(float(shown.output.splitlines()[2].split()[7]))
