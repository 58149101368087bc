"""What a fit computes beside least squares: choice, other intervals, stability, held-out runs, weights."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import polars as pl
import pytest

import imine
from imine.errors import RegressionError, RuleError
from imine.regression import (
    ChoiceSettings,
    FitSettings,
    LeaveOneOut,
    choose_terms,
    fit_ols,
    fit_runs,
    multi_split,
    permutation_test,
    prepare_runs,
)
from imine.regression.candidates import candidates_of
from imine.regression.held_out_by import scheme_of
from imine.regression.procedures import ChooseAgain
from imine.regression.validation import KFold

NAMES = ["mtld", "input_length", "output_length", "log_perplexity", "knn_6"]


def made_up(n: int = 60, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, len(NAMES)))
    y = 0.10 * X[:, 0] - 0.06 * X[:, 3] + rng.normal(0, 0.1, n)
    return pl.DataFrame({"run_id": [f"r{i:02d}" for i in range(n)]}).with_columns(
        **{name: pl.Series(X[:, j]) for j, name in enumerate(NAMES)},
        loss=pl.Series(np.exp(y)),
        pool=pl.Series([f"p{i % 6}" for i in range(n)]),
        rows_a=pl.Series([i % 3 for i in range(n)]),
        rows_b=pl.Series([(i + 1) % 2 for i in range(n)]),
        weight=pl.Series(rng.uniform(1, 9, n)),
    )


def arrays(frame: pl.DataFrame, names: list[str] = NAMES) -> tuple[Any, Any]:
    return frame.select(names).to_numpy(), np.log(frame["loss"].to_numpy())


def test_without_a_choice_nothing_stands_beside_the_fit():
    rule = imine.fit(made_up())
    assert rule.validation == rule.other_intervals == ()
    assert (rule.stability, rule.weights) == (None, None)
    assert "weights" not in json.loads(rule.to_json())
    assert (
        rule.table().splitlines()[-1].startswith("This rule predicts out of sample: left out one at a time")
    )


def test_a_choice_is_recorded_with_what_takes_it_into_account():
    how = ChoiceSettings("forward", "bic", forced_in=("knn_6",), forced_out=("input_length",), max_terms=3)
    found = fit_runs(made_up(), FitSettings(choose=how))
    rule, record = found.rule, found.rule.choice
    assert rule.indicators == ("mtld", "log_perplexity", "knn_6")
    assert rule.terms_tried == ("mtld", "output_length", "log_perplexity", "knn_6")
    assert record.forced == ("knn_6",)
    assert record.settings == {"max_terms": 3, "forced_out": "input_length"}
    assert [(step.action, step.term) for step in record.steps] == [
        ("start", None),
        ("add", "mtld"),
        ("add", "log_perplexity"),
    ]
    assert [interval.method for interval in rule.other_intervals] == ["given the choice"]
    assert rule.validation[0].scheme == "10-fold, 5 times"
    assert rule.validation[0].chose_anew
    assert set(found.after_choice.conditional.names) == set(rule.indicators)
    assert found.diagnose().n_runs == 60


@pytest.mark.parametrize(
    ("how", "settings", "actions"),
    [
        (ChoiceSettings("backward", "p"), {"p_remove": 0.1}, {"start", "remove"}),
        (ChoiceSettings("both", "aicc"), {"start": "null"}, {"start", "add"}),
        (ChoiceSettings("best", "bic"), {}, set()),
        (ChoiceSettings("paper"), {"p_enter": 0.05}, {"start", "keep"}),
        (
            ChoiceSettings("forward", "cv", folds=5, max_terms=2),
            {"folds": 5, "fold_seed": 0, "max_terms": 2},
            {"start", "add"},
        ),
    ],
)
def test_other_methods_are_followed_by_splits(how, settings, actions):
    frame = made_up()
    rule = imine.fit(frame, choose=how, validate=())
    assert rule.indicators == choose_terms(*arrays(frame), NAMES, how).terms == ("mtld", "log_perplexity")
    assert rule.choice.settings == settings
    assert {step.action for step in rule.choice.steps} == actions
    assert rule.validation == ()
    (splits,) = rule.other_intervals
    direct = multi_split(*arrays(frame), NAMES, ChooseAgain(tuple(NAMES), how))
    expected = dict(zip(NAMES, direct.conf_int(familywise=True).tolist(), strict=True))
    assert splits.method == "50 splits"
    assert {e.name: list(e.ci) for e in splits.estimates} == {t: expected[t] for t in rule.indicators}
    assert any("known for forward alone" in note for note in rule.notes)


def test_no_term_chosen_is_an_error_that_says_how_near_it_was():
    rng = np.random.default_rng(3)
    frame = made_up().with_columns(loss=pl.Series(np.exp(rng.normal(0, 0.1, 60))))
    with pytest.raises(
        RegressionError, match=r"no term was chosen \(forward, by bic\) among 5 .* nearest was"
    ):
        imine.fit(frame, choose=ChoiceSettings("forward", "bic"))
    with pytest.raises(RegressionError, match=r"no term was chosen \(best, by bic\) among 5 candidates"):
        imine.fit(frame, choose=ChoiceSettings("best", "bic"))


def test_forced_terms_must_be_candidates():
    with pytest.raises(RegressionError, match="not among the candidates: zeal"):
        imine.fit(made_up(), choose=ChoiceSettings(forced_out=("zeal",)))


def test_constant_candidates_are_set_aside_and_named():
    frame = made_up().with_columns(output_length=pl.lit(7.0))
    rule = imine.fit(frame, choose=ChoiceSettings("forward", "bic"), validate=())
    assert "output_length" not in rule.terms_tried
    assert "The same in all runs, and so no candidates: output_length." in rule.notes
    assert rule.other_intervals[0].method == "given the choice"


def test_too_few_runs_offer_a_choice():
    frame = made_up(7)
    with pytest.raises(RegressionError, match=r"7 runs are too few for 5 terms .*--terms.*--choose forward"):
        imine.fit(frame)
    greedy = ChoiceSettings("forward", "adjusted_r2", forced_in=tuple(NAMES))
    with pytest.raises(RegressionError, match="They were chosen: choose fewer"):
        imine.fit(frame, choose=greedy)


def test_more_candidates_than_runs_leave_the_splits_or_a_note():
    rng = np.random.default_rng(1)
    frame = made_up(24).with_columns(**{f"knn_{i}": pl.Series(rng.normal(size=24)) for i in range(10, 34)})
    rule = imine.fit(frame, choose=ChoiceSettings("forward", "bic", max_terms=2), validate="kfold:8x1")
    assert any("24 runs are too few for the fit of all 29 candidates" in note for note in rule.notes)
    assert rule.other_intervals[0].method == "50 splits"
    assert rule.validation[0].r2 < rule.held_out.press_r2


def test_the_verdict_follows_the_error_with_the_choice_made_anew():
    rng = np.random.default_rng(5)
    frame = made_up(30).with_columns(
        **{f"knn_{i}": pl.Series(rng.normal(size=30)) for i in range(10, 25)},
        loss=pl.Series(np.exp(rng.normal(0, 0.1, 30))),
    )
    how = ChoiceSettings("forward", "aic", max_terms=3)
    rule = imine.fit(frame, choose=how, validate="kfold:10x1")
    assert rule.held_out.press_r2 > 0.1, "which alone would call noise a rule"
    assert rule.validation[0].r2 < 0
    assert "predicts nothing out of sample: held out (10-fold) with the terms chosen anew" in rule.table()


@pytest.mark.parametrize("kind", ["HC0", "HC3", "cluster"])
def test_robust_intervals_stand_beside_the_classical_ones(kind):
    frame = made_up()
    groups = "pool" if kind == "cluster" else None
    rule = imine.fit(frame, terms=NAMES[:2], covariance=kind, groups=groups, level=0.9)
    labels = frame["pool"].to_list() if groups else None
    direct = fit_ols(*arrays(frame, NAMES[:2]), NAMES[:2], covariance=kind, groups=labels)
    assert rule.covariance == imine.fit(frame, terms=NAMES[:2]).covariance, "the table stays classical"
    (robust,) = rule.other_intervals
    assert [e.std_error for e in robust.estimates] == direct.std_errors.tolist()
    assert [list(e.ci) for e in robust.estimates] == direct.conf_int(0.9).tolist()
    assert [e.p for e in robust.estimates] == direct.p.tolist()
    if groups:
        assert "within the 6 groups of pool" in robust.about


def test_groups_must_be_there_and_complete():
    frame = made_up().with_columns(pool=pl.when(pl.col("run_id") == "r03").then(None).otherwise("pool"))
    for groups, match in (("zeal", "no column zeal"), ("pool", "pool is missing in r03")):
        with pytest.raises(RegressionError, match=match):
            imine.fit(frame, terms=["mtld"], covariance="cluster", groups=groups)


def test_weights_are_used_recorded_and_used_again_by_check(tmp_path):
    frame = made_up()
    rule = imine.fit(frame, terms=NAMES[:2], weights="weight").write(tmp_path / "rule.json")
    direct = fit_ols(*arrays(frame, NAMES[:2]), NAMES[:2], weights=frame["weight"].to_numpy())
    found = [estimate.coefficient for estimate in rule.coefficients.values()]
    np.testing.assert_allclose(found, direct.params, rtol=1e-13)
    mean = frame["weight"].mean()
    assert rule.sigma == pytest.approx(direct.sigma / np.sqrt(mean), rel=1e-12), "of a run of mean weight"
    assert rule.weights == imine.load_rule(tmp_path / "rule.json").weights == "weight"
    assert "weighted (by weight) least squares" in rule.description
    assert imine.check_rule(tmp_path / "rule.json", frame, rtol=1e-12).agrees
    other = frame.with_columns(weight=pl.col("weight") ** 2)
    assert not imine.check_rule(rule, other).agrees
    text = (tmp_path / "rule.json").read_text().replace("imine.rule/2", "imine.rule/1")
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(RuleError, match=r"unknown key in 'imine\.rule/1'"):
        imine.load_rule(tmp_path / "old.json")


def test_weights_must_be_positive_numbers():
    frame = made_up().with_columns(weight=pl.when(pl.col("run_id") == "r05").then(0.0).otherwise("weight"))
    with pytest.raises(RegressionError, match="weight must be positive to weigh a run; it is not in: r05"):
        imine.fit(frame, terms=["mtld"], weights="weight")
    with pytest.raises(RegressionError, match=r"not numbers: pool \(String\)"):
        imine.fit(frame, terms=["mtld"], weights="pool")


def test_a_bootstrap_of_fixed_terms_keeps_them():
    rule = imine.fit(made_up(), terms=NAMES[:2], bootstrap=100, seed=1)
    assert [term.chosen for term in rule.stability.terms] == [1.0, 1.0]
    assert rule.stability.terms[0].same_sign == 1.0
    (intervals,) = rule.other_intervals
    low, high = intervals.estimates[1].ci
    assert low < rule.terms[0].coefficient < high
    assert "chosen anew" not in intervals.about


def test_schemes_by_name():
    data = prepare_runs(made_up(), NAMES)
    assert scheme_of("kfold", data, 4) == ("10-fold, 5 times", KFold(10, 5, 4))
    assert scheme_of("kfold:6", data, 0) == ("6-fold, 5 times", KFold(6, 5, 0))
    assert scheme_of("kfold:6x1", data, 0) == ("6-fold", KFold(6, 1, 0))
    assert scheme_of("leave-one-out", data, 0) == ("leave one run out", LeaveOneOut())
    title, by_pool = scheme_of("column:pool", data, 0)
    assert (title, len(by_pool.folds(60))) == ("leave one pool out", 6)
    title, by_source = scheme_of("source", data, 0)
    assert title == "leave one source out"
    held = {fold.label: set(fold.rows.tolist()) for fold in by_source.folds(60)}
    assert held == {"a": {i for i in range(60) if i % 3}, "b": {i for i in range(60) if not i % 2}}


def test_schemes_that_cannot_be():
    for asked, match in (
        ("folds", "validate must be kfold"),
        ("column:", "validate must be kfold"),
        ("kfold:1", "k of at least 2"),
    ):
        with pytest.raises(ValueError, match=match):
            FitSettings(validate=asked)
    for asked, match in (
        ("kfold:61", "cannot be dealt into 61 parts"),
        ("column:zeal", "no column zeal"),
        ("column:one", "there is only one, 1"),
    ):
        with pytest.raises(RegressionError, match=match):
            imine.fit(made_up().with_columns(one=pl.lit(1)), terms=["mtld"], validate=asked)
    with pytest.raises(RegressionError, match=r"do not say which pools .* column:NAME"):
        imine.fit(made_up().drop("rows_a", "rows_b"), terms=["mtld"], validate="source")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"covariance": "HC9"}, "covariance must be one of"),
        ({"covariance": "cluster"}, "goes with covariance 'cluster'"),
        ({"groups": "pool"}, "goes with covariance 'cluster'"),
        ({"bootstrap": -1}, "bootstrap must be at least 0"),
        ({"bootstrap": 1}, "0, for none, or at least 2"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"level": 1.0}, "level must lie between 0 and 1"),
        ({"weights": "w", "choose": ChoiceSettings()}, "cannot stand beside choose"),
        ({"weights": "w", "validate": "kfold", "permutations": 9}, "beside validate, permutations"),
    ],
)
def test_settings_that_do_not_go_together(settings, match):
    with pytest.raises(ValueError, match=match):
        FitSettings(**settings)


def test_the_permutation_test_is_of_the_whole_procedure():
    frame, how = made_up(), ChoiceSettings("forward", "bic")
    rule = imine.fit(frame, choose=how, permutations=19, validate=(), seed=2)
    (found,) = rule.validation
    direct = permutation_test(
        *arrays(frame), ChooseAgain(tuple(NAMES), how), permutations=19, scheme=KFold(10, seed=2), seed=2
    )
    assert (found.permutation_p, found.r2, found.chose_anew) == (direct.p, direct.observed, True)
    assert (
        f"Shuffled losses seldom give as much (p = {direct.p:.4f}, 10-fold, against 19 shuffles"
        in rule.table()
    )
    noise = frame.with_columns(loss=pl.Series(np.exp(np.random.default_rng(8).normal(0, 0.1, 60))))
    text = imine.fit(noise, terms=NAMES, permutations=19).table()
    assert "What was found cannot be told from chance: shuffled losses give as much (p = " in text


def test_the_same_whatever_the_order_of_the_runs():
    frame, how = made_up(), ChoiceSettings("forward", "bic")
    one = imine.fit(frame, choose=how, bootstrap=50, validate=())
    other = imine.fit(frame.sample(fraction=1, shuffle=True, seed=1), choose=how, bootstrap=50, validate=())
    assert [e.coefficient for e in one.coefficients.values()] == [
        e.coefficient for e in other.coefficients.values()
    ]
    assert (one.stability, one.choice) == (other.stability, other.choice)
    for a, b in zip(one.other_intervals, other.other_intervals, strict=True):
        for left, right in zip(a.estimates, b.estimates, strict=True):
            np.testing.assert_allclose(left.ci, right.ci, rtol=1e-9)


def test_the_procedure_can_be_sent_to_another_process():
    procedure = pickle.loads(pickle.dumps(ChooseAgain(tuple(NAMES), ChoiceSettings("forward", "bic"))))
    assert procedure(*arrays(made_up())) == (0, 3)


def test_dropped_runs_are_the_same_ones_when_the_rule_is_checked():
    frame = made_up().with_columns(knn_6=pl.when(pl.col("run_id") == "r10").then(None).otherwise("knn_6"))
    how = ChoiceSettings("forward", "bic")
    with pytest.raises(RegressionError, match="1 of 60 runs have no value in knn_6: r10"):
        imine.fit(frame, choose=how)
    rule = imine.fit(frame, choose=how, drop_incomplete=True, validate=())
    assert "knn_6" not in rule.indicators
    assert rule.n_runs == 59
    assert imine.check_rule(rule, frame, drop_incomplete=True, rtol=1e-12).agrees


def test_default_candidates_are_found_by_name_too():
    frame = pl.DataFrame(
        {
            name: [1.0, 2.0]
            for name in ("loss", "knn_10", "both_mtld", "mtld", "knn_6", "seed", "tokens", "steps")
        }
    ).with_columns(input_mtld=pl.lit("text"), rows_a=pl.lit(1))
    assert candidates_of(frame, None).terms == ("mtld", "knn_6", "knn_10", "both_mtld")
    assert candidates_of(frame, None, ["knn_10"]).terms == ("mtld", "knn_6", "both_mtld")
