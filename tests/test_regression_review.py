"""Faults that a reading found: refits of incomplete runs, forced terms in resamples, predictions far from zero."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import imine
from imine.regression import fit_ols
from imine.regression.bootstrap import bootstrap_choice
from imine.regression.choosing import ChoiceSettings
from imine.testing import assert_rule_close


def made_runs(n: int = 40, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    mtld, length, knn = rng.normal(60, 5, n), rng.normal(200, 30, n), rng.normal(1, 0.1, n)
    loss = np.exp(0.9 - 0.004 * mtld + rng.normal(0, 0.01, n))
    return pl.DataFrame({"mtld": mtld, "output_length": length, "knn_6": knn, "loss": loss})


@pytest.mark.parametrize("forced_out", [(), ("knn_6",)])
@pytest.mark.parametrize("constant", [False, True])
def test_a_rule_holds_on_the_incomplete_runs_that_it_was_fitted_on(
    forced_out: tuple[str, ...], constant: bool
) -> None:
    knn = pl.lit(1.0) if constant else pl.col("knn_6")
    runs = made_runs().with_columns(knn_6=pl.when(pl.int_range(pl.len()) >= 3).then(knn))
    settings = ChoiceSettings("forward", "bic", forced_out=forced_out)
    rule = imine.fit(runs, choose=settings, drop_incomplete=True, name="made")
    assert rule.n_runs == (40 if forced_out or constant else 37)
    assert imine.check_rule(rule, runs, drop_incomplete=True).agrees
    assert_rule_close(rule, runs, drop_incomplete=True)


def test_a_forced_term_that_a_resample_does_not_vary_fails_there() -> None:
    rng = np.random.default_rng(3)
    X = np.column_stack([rng.normal(size=30), np.arange(30) < 2])
    y = X @ [1.0, 3.0] + rng.normal(0, 0.1, 30)
    found = bootstrap_choice(X, y, ["a", "z"], ChoiceSettings(forced_in=("a", "z")), repeats=400, seed=5)
    assert found.failed > 20
    low, high = found.bca()[2]
    assert 2.5 < low < 3.0 < high < 3.2 or 2.5 < low < high < 3.2


@pytest.mark.parametrize("shift", [0.0, 1e6, 1e9])
def test_intervals_far_from_zero_are_those_of_the_regression(shift: float) -> None:
    x = made_runs()["mtld"] + shift
    y = made_runs()["loss"]
    runs = pl.DataFrame({"mtld": x, "loss": y})
    rule = imine.fit(runs, terms=["mtld"], name="made")
    exact = fit_ols(x.to_numpy()[:, None], np.log(y.to_numpy()), ["mtld"]).predict(x.to_numpy()[:, None])
    found = rule.predict(runs)
    width = (found["mean_high"] - found["mean_low"]).to_numpy()
    np.testing.assert_allclose(width, exact.high - exact.low, rtol=1e-5)


def test_runs_that_repeat_a_subset_are_noted() -> None:
    runs = made_runs()
    twice = pl.concat([runs, runs.with_columns(pl.col("loss") * 1.01)])
    assert any("40 of 80 runs repeat" in note for note in imine.fit(twice, name="made").notes)
    assert not any("repeat" in note for note in imine.fit(runs, name="made").notes)


def test_what_is_no_rule_is_named() -> None:
    with pytest.raises(TypeError, match="rule must be a rule, its name or file; got DataFrame"):
        assert_rule_close(made_runs(), imine.load_rule("smollm2-135m"))  # type: ignore[arg-type]
