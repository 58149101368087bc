"""Two rules side by side, and the sets that they choose."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

import imine
from imine.errors import FingerprintMismatchError, FingerprintMismatchWarning, SelectionError
from imine.indicators.score import Scores
from imine.rules import CoefficientDifference, Estimate, Rule, Term
from tests.test_check import FINGERPRINTS, made_up_runs


def rule_of(name: str, fingerprints=None, **coefficients: float) -> Rule:
    terms = tuple(Term(name=term, coefficient=value) for term, value in coefficients.items())
    return Rule(name=name, intercept=Estimate(coefficient=1.0), terms=terms, fingerprints=fingerprints or {})


@pytest.fixture(scope="module")
def one() -> Rule:
    return imine.fit(made_up_runs(seed=0), name="one")


@pytest.fixture(scope="module")
def two() -> Rule:
    return imine.fit(made_up_runs(seed=5), name="two")


def test_differences_in_combined_standard_errors(one, two):
    compared = imine.compare_rules(one, two)
    assert [c.name for c in compared.coefficients] == ["intercept", "mtld", "output_length"]
    for c in compared.coefficients:
        a, b = one.coefficients[c.name], two.coefficients[c.name]
        assert c.difference == b.coefficient - a.coefficient
        assert c.std_error == pytest.approx(math.sqrt(a.std_error**2 + b.std_error**2))
        assert c.in_std_errors == pytest.approx(c.difference / c.std_error)
        assert c.at_least == pytest.approx(abs(c.difference) / (a.std_error + b.std_error))
    assert compared.same_runs is False
    assert not any("same runs" in note for note in compared.notes)
    assert (compared.only_first, compared.only_second, compared.sets) == ((), (), None)


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(-1, 1), st.floats(-5, 5))
def test_at_least_holds_for_any_correlation(a, b, correlation, difference):
    true = math.sqrt(max(a * a + b * b - 2 * correlation * a * b, 0.0))
    c = CoefficientDifference("mtld", 0.0, difference, a, b)
    assert abs(difference) >= c.at_least * true * (1 - 1e-9)


def test_rules_of_the_same_runs_are_said_not_to_be_independent(one):
    fewer = imine.fit(made_up_runs(seed=0), terms=["mtld"], name="fewer")
    compared = imine.compare_rules(one, fewer)
    assert compared.same_runs
    assert compared.only_first == ("output_length",)
    text = compared.to_text()
    assert "Both were fitted on the same runs, so they are not independent" in text
    assert "Only in the first: output_length." in text
    assert "The terms differ" in text


def test_other_making_and_other_targets_are_said():
    first = rule_of("first", {"mtld": {"threshold": 0.72}}, mtld=1.0)
    second = rule_of("second", {"mtld": {"threshold": 0.8}}, mtld=1.0)
    text = imine.compare_rules(first, second).to_text()
    assert "mtld: threshold is 0.72 and 0.8" in text
    other = second.model_copy(update={"target": "loss_other"})
    assert "The targets differ: loss and loss_other." in imine.compare_rules(first, other).to_text()
    unknown = imine.compare_rules(first, rule_of("unknown", mtld=1.0))
    assert any("for want of a fingerprint: mtld." in note for note in unknown.notes)


def test_json_of_a_comparison(one, two):
    document = json.loads(imine.compare_rules(one, two).to_json())
    assert document["second"] == {"name": "two", "sha256": two.sha256}
    assert [row["name"] for row in document["coefficients"]] == ["intercept", "mtld", "output_length"]
    published = json.loads(imine.compare_rules("instructmining-v1", "instructmining-v2").to_json())
    assert published["coefficients"][0]["in_std_errors"] is None
    assert published["only_second"] == ["understandability", "naturalness", "coherence"]


def frame(n: int = 60) -> pl.DataFrame:
    rng = np.random.default_rng(8)
    return pl.DataFrame(
        {"id": [f"{i:03d}" for i in range(n)], "a": rng.normal(size=n), "b": rng.normal(size=n)}
    )


def test_sets_by_a_plain_count():
    scores = frame().with_columns(
        a=pl.when(pl.col("id") > "004").then("a"), b=pl.when(pl.col("id") < "050").then("b")
    )
    first, second = rule_of("first", a=1.0), rule_of("second", a=0.5, b=1.0)
    sets = imine.compare_rules(first, second, scores=scores, top=12).sets
    rows = scores.rows(named=True)
    by_first = {r["id"]: r["a"] for r in rows if r["a"] is not None}
    by_second = {r["id"]: 0.5 * r["a"] + r["b"] for r in rows if r["a"] is not None and r["b"] is not None}
    chosen = [set(sorted(by, key=by.__getitem__)[:12]) for by in (by_first, by_second)]
    both = sorted(by_first.keys() & by_second.keys())
    assert (sets.rows, sets.predicted_first, sets.predicted_second, sets.predicted_both) == (60, 55, 45, 45)
    assert (sets.kept_first, sets.kept_second) == (12, 12)
    assert sets.kept_both == len(chosen[0] & chosen[1])
    assert sets.jaccard == len(chosen[0] & chosen[1]) / len(chosen[0] | chosen[1])
    x, y = [by_first[i] for i in both], [by_second[i] for i in both]
    assert sets.spearman == pytest.approx(spearmanr(x, y).statistic)
    assert sets.kendall == pytest.approx(kendalltau(x, y).statistic)


def test_what_chance_has_in_common_is_what_random_choices_have():
    rng = np.random.default_rng(0)
    sets = imine.compare_rules(rule_of("x", a=1.0), rule_of("y", b=1.0), scores=frame(), top=15).sets
    assert sets.by_chance == pytest.approx(15 * 15 / 60)
    common = [
        len(set(rng.choice(60, 15, replace=False)) & set(rng.choice(60, 15, replace=False)))
        for _ in range(4_000)
    ]
    assert sets.by_chance == pytest.approx(np.mean(common), abs=5 * np.std(common) / math.sqrt(4_000))


def test_the_same_and_the_opposite_rule():
    rule, opposite = rule_of("up", a=1.0), rule_of("down", a=-1.0)
    same = imine.compare_rules(rule, rule, scores=frame(), top=20).sets
    assert (same.jaccard, same.spearman, same.kendall) == (1.0, pytest.approx(1.0), pytest.approx(1.0))
    other = imine.compare_rules(rule, opposite, scores=frame(), top=20).sets
    assert (other.jaccard, other.kept_both) == (0.0, 0)
    assert other.spearman == pytest.approx(-1.0)


def test_rules_that_predict_nothing_or_the_same_for_all():
    flat = imine.compare_rules(rule_of("flat", a=0.0), rule_of("b", b=1.0), scores=frame(), top=5).sets
    assert (flat.spearman, flat.kendall) == (None, None)
    nothing = frame().with_columns(a=pl.lit(None, dtype=pl.Float64))
    sets = imine.compare_rules(rule_of("a", a=1.0), rule_of("b", b=1.0), scores=nothing, top=5).sets
    assert (sets.kept_first, sets.kept_both, sets.jaccard, sets.by_chance) == (0, 0, 0.0, None)
    empty = imine.compare_rules(rule_of("a", a=1.0), rule_of("a", a=2.0), scores=nothing, top=5)
    assert empty.sets.jaccard is None
    assert "Jaccard –" in empty.to_text()


def test_scores_must_be_made_as_both_rules_expect():
    first = rule_of("first", FINGERPRINTS, mtld=1.0, output_length=1.0)
    made = made_up_runs().select(pl.col("run_id").alias("id"), "mtld", "output_length")
    scores = Scores(made, FINGERPRINTS | {"mtld": {"threshold": 0.9}})
    with pytest.raises(FingerprintMismatchError, match=r"threshold is 0\.9"):
        imine.compare_rules(first, first, scores=scores, top=5)
    with pytest.warns(FingerprintMismatchWarning, match=r"threshold is 0\.9"):
        assert imine.compare_rules(first, first, scores=scores, top=5, allow_mismatch=True).sets.jaccard == 1
    with pytest.raises(SelectionError, match="no column mtld"):
        imine.compare_rules(first, first, scores=Scores(made.drop("mtld"), {}), top=5)


def test_arguments_that_do_not_go_together(one):
    with pytest.raises(ValueError, match="not both"):
        imine.compare_rules(one, one, scores=frame(), pool=frame(), top=5)
    for arguments in ({"top": 5}, {"scores": frame()}, {"pool": frame()}):
        with pytest.raises(ValueError, match="top says how many rows"):
            imine.compare_rules(one, one, **arguments)
