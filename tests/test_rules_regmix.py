"""The rule of RegMix: its coefficients are held, and it predicts the runs that it was not fitted on."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import imine
from imine.testing import assert_rule_close

HERE = Path(__file__).resolve().parent
RULE = HERE / "data" / "regmix_rule.json"
DATA = HERE.parents[1] / "shared" / "data" / "regmix"


@pytest.fixture(scope="module")
def oracle() -> Any:
    if not DATA.is_dir():
        pytest.skip(f"{DATA}: the tables of RegMix are not there")
    spec = importlib.util.spec_from_file_location("fit_regmix_rule", HERE / "oracles" / "fit_regmix_rule.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runs(oracle: Any) -> pl.DataFrame:
    return oracle.read_runs(DATA, "train")


def test_the_coefficients_are_held(runs: pl.DataFrame) -> None:
    assert_rule_close(RULE, runs, rtol=1e-9)
    assert imine.check_rule(RULE, runs).same_runs


def test_the_coefficients_are_those_of_a_plain_least_squares(runs: pl.DataFrame) -> None:
    rule = imine.load_rule(RULE)
    X = np.column_stack([np.ones(runs.height), runs.select(rule.indicators).to_numpy()])
    expected = np.linalg.lstsq(X, np.log(runs["loss_pile_cc"].to_numpy()), rcond=None)[0]
    found = [estimate.coefficient for estimate in rule.coefficients.values()]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_change_of_the_runs_is_found(runs: pl.DataFrame) -> None:
    rule = imine.load_rule(RULE)
    changed = runs.with_columns(pl.col("loss_pile_cc") * (0.01 * pl.col("github")).exp())
    (moved,) = imine.check_rule(rule, changed).moved
    assert moved.name == "github"
    assert moved.change == pytest.approx(0.01, rel=1e-6)
    assert moved.in_std_errors == pytest.approx(0.01 / rule.coefficients["github"].std_error, rel=1e-6)


def test_it_predicts_the_runs_that_were_held_out(oracle: Any) -> None:
    rule = imine.load_rule(RULE)
    (stored,) = rule.validation
    found = oracle.validate(rule, oracle.read_runs(DATA, "test"))
    numbers = [part.model_dump(exclude={"scheme"}, exclude_none=True) for part in (found, stored)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-9)
    assert found.n_runs == 256
    assert found.r2 >= 0.78
    assert 0.93 <= found.coverage <= 0.98
    assert found.spearman > 0.9


def test_which_share_is_left_out_changes_the_coefficients_not_the_predictions(
    oracle: Any, runs: pl.DataFrame
) -> None:
    rule, further = imine.load_rule(RULE), oracle.read_runs(DATA, "test")
    names = [name for name in [*rule.indicators, oracle.LEFT_OUT] if name != "github"]
    other = imine.fit(runs, terms=names, target=oracle.TARGET)
    predicted = [r.predict(further)["predicted_log_loss"].to_numpy() for r in (rule, other)]
    # The shares add up to 1 only to three decimals; that is what is left between the two.
    np.testing.assert_allclose(predicted[0], predicted[1], atol=2e-3)
    with pytest.raises(AssertionError, match=r"Only in the rule held: github\."):
        assert_rule_close(other, rule, se=3)


def test_the_rule_says_what_was_left_out() -> None:
    rule = imine.load_rule(RULE)
    assert len(rule.indicators) == 16
    assert "pile_cc" not in rule.indicators
    assert any("that of Pile-CC is left out" in note for note in rule.notes)
    assert "256 further runs of RegMix, 256 runs: R2 0.789" in rule.card()
