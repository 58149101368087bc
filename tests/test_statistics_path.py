"""The whole path on RegMix: choose, look at what is right after choosing, write, load, card, check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import imine
from imine.__main__ import main
from imine.regression import (
    ChoiceSettings,
    ForwardStepwise,
    KFold,
    bootstrap_choice,
    choose_terms,
    choosing_procedure,
    cross_validate,
    infer_after_forward,
)

DATA = Path(__file__).resolve().parent / "data" / "regmix" / "train.csv"
TARGET, LEFT_OUT = "loss_pile_cc", "uspto_backgrounds"
HOW = ChoiceSettings("forward", "bic")


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    runs = pl.read_csv(DATA).cast(pl.Float64)
    return runs.select(pl.Series("run_id", [f"train-{i + 1}" for i in range(runs.height)]), pl.all())


@pytest.fixture(scope="module")
def names(frame: pl.DataFrame) -> list[str]:
    return [name for name in frame.columns if name not in ("run_id", TARGET, LEFT_OUT)]


@pytest.fixture(scope="module")
def arrays(frame: pl.DataFrame, names: list[str]) -> tuple[Any, Any]:
    return frame.select(names).to_numpy(), np.log(frame[TARGET].to_numpy())


def run(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


@pytest.fixture(scope="module")
def written(frame: pl.DataFrame, names: list[str], tmp_path_factory: Any) -> Path:
    """The rule as the command makes it, beside its runs."""
    folder = tmp_path_factory.mktemp("regmix")
    frame.write_parquet(folder / "runs.parquet")
    options = ["--terms", ",".join(names), "--target", TARGET, "--name", "regmix", "--seed", 3]
    options += ["--choose", "forward", "--criterion", "bic", "--bootstrap", 200, "--validate", "kfold:10x1"]
    assert run("fit", folder / "runs.parquet", "-o", folder / "rule.json", *options) == 0
    return folder / "rule.json"


def test_the_rule_is_that_of_the_choice(written: Path, names: list[str], arrays: tuple[Any, Any]) -> None:
    rule, choice = imine.load_rule(written), choose_terms(*arrays, names, HOW)
    assert rule.indicators == choice.terms
    assert len(rule.indicators) == 9
    assert rule.terms_tried == tuple(names)
    assert [e.coefficient for e in rule.coefficients.values()] == choice.results.params.tolist()
    assert rule.choice is not None
    assert (rule.choice.method, rule.choice.criterion, rule.choice.saw_losses) == ("forward", "bic", True)
    entered = [step.term for step in rule.choice.steps if step.action == "add"]
    assert [f"+ {term}" for term in entered] == list(choice.trace.path)
    assert rule.choice.steps[-1].value == pytest.approx(choice.results.bic, rel=1e-12)
    assert rule.choice.stopped == choice.trace.why


def test_intervals_given_the_choice_are_those_of_the_inference(
    written: Path, names: list[str], arrays: tuple[Any, Any]
) -> None:
    given, bootstrapped = imine.load_rule(written).other_intervals
    direct = infer_after_forward(*arrays, names, ForwardStepwise(criterion="bic"))
    expected = dict(zip(direct.names, zip(direct.conf_int(), direct.p, strict=True), strict=True))
    assert [estimate.name for estimate in given.estimates] == list(imine.load_rule(written).indicators)
    for estimate in given.estimates:
        interval, p = expected[estimate.name]
        np.testing.assert_allclose(estimate.ci, interval, rtol=1e-9)
        assert estimate.p == pytest.approx(p, rel=1e-6)
    emails = next(estimate for estimate in given.estimates if estimate.name == "enron_emails")
    assert emails.ci[0] < 0 < emails.ci[1], (
        "the last to enter cannot be told from zero, whatever the table says"
    )
    assert imine.load_rule(written).coefficients["enron_emails"].p < 0.01
    bootstrap = bootstrap_choice(*arrays, names, HOW, repeats=200, seed=3)
    assert bootstrapped.method == "BCa bootstrap"
    found = dict(zip(bootstrap.names, bootstrap.bca(0.95).tolist(), strict=True))
    assert {e.name: list(e.ci) for e in bootstrapped.estimates} == {
        e.name: found[e.name] for e in bootstrapped.estimates
    }
    stability = imine.load_rule(written).stability
    assert (stability.repeats, stability.seed, stability.method) == (200, 3, "cases")
    assert [term.chosen for term in stability.terms] == bootstrap.frequency.tolist()


def test_the_error_out_of_sample_chose_anew(written: Path, names: list[str], arrays: tuple[Any, Any]) -> None:
    rule = imine.load_rule(written)
    (held,) = rule.validation
    direct = cross_validate(*arrays, names, choosing_procedure(names, HOW), scheme=KFold(10, seed=3))
    assert (held.scheme, held.n_runs, held.chose_anew) == ("10-fold", 512, True)
    assert held.r2 == pytest.approx(direct.repeats[0].level.r2, rel=1e-12)
    assert held.spearman == direct.repeats[0].rank.spearman
    assert held.coverage == direct.repeats[0].intervals.coverage
    assert held.r2 < rule.held_out.press_r2, "PRESS kept the terms that had seen every run"
    text = rule.table()
    assert f"held out (10-fold) with the terms chosen anew, {100 * held.r2:.0f} % of the variance" in text
    assert "chosen by the losses (forward, by bic): the p-values are too small" in text
    assert "given the choice, 95 %" in text
    assert "How steady the terms are: 200 resamples" in text


def test_the_card_says_what_was_done(written: Path) -> None:
    card = imine.load_rule(written).card()
    for said in (
        "**These p-values are too small and these intervals too narrow**",
        "among 16 candidates",
        "Chosen by a search: forward, by bic.",
        "Intervals by another method: given the choice. Right after this choice",
        "Intervals by another method: BCa bootstrap. 200 resamples.",
        "| 1 | add | pile_cc |",
        "repeated 200 times on resampled runs (cases, seed 3; 0 gave no model)",
        "10-fold, 512 runs: R2 0.7",
        "the terms were chosen anew without the held-out runs",
    ):
        assert said in card, said


def test_check_holds_it(written: Path, frame: pl.DataFrame, tmp_path: Path, capsys: Any) -> None:
    assert run("check", written, written.parent / "runs.parquet", "--rtol", "1e-9") == 0
    assert "All 10 coefficients agree." in capsys.readouterr().out
    moved = frame.with_columns(pl.col(TARGET) * (0.05 * pl.col("pile_cc")).exp())
    moved.write_parquet(tmp_path / "runs.parquet")
    assert run("check", written, tmp_path / "runs.parquet", "--se", "1") == 1
    assert "Moved: pile_cc by +" in capsys.readouterr().out
    assert run("rules", "show", written) == 0
    assert imine.load_rule(written).table() in capsys.readouterr().out
