"""imine.check_rule and imine.testing.assert_rule_close: what agrees, what moved, what cannot be compared."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import imine
from imine.errors import FingerprintMismatchError, RegressionError, RuleError
from imine.rules import compare_coefficients
from imine.testing import assert_rule_close

FINGERPRINTS = {"mtld": {"threshold": 0.72}, "output_length": {"tokenizer": "a"}}


def made_up_runs(n: int = 30, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "run_id": [f"r{i:02d}" for i in range(n)],
            "mtld": rng.normal(60, 4, n),
            "output_length": rng.normal(150, 30, n),
        }
    )
    noise = pl.Series(rng.normal(0, 0.02, n))
    return frame.with_columns(
        loss=(0.9 - 0.01 * pl.col("mtld") + 0.001 * pl.col("output_length") + noise).exp()
    )


def write(runs: pl.DataFrame, path, fingerprints=FINGERPRINTS):
    runs.write_parquet(path, metadata={"imine": json.dumps({"fingerprints": fingerprints})})
    return path


@pytest.fixture
def runs_file(tmp_path):
    return write(made_up_runs(), tmp_path / "runs.parquet")


@pytest.fixture
def rule(runs_file):
    return imine.fit(runs_file, name="held")


def test_the_same_runs_agree_to_the_last_bit(rule, runs_file):
    check = imine.check_rule(rule, runs_file, rtol=0.0)
    assert check.agrees
    assert check.same_runs
    assert [c.name for c in check.coefficients] == ["intercept", "mtld", "output_length"]
    assert all(c.change == 0.0 for c in check.coefficients)
    assert check.notes == ()
    assert "All 3 coefficients agree." in check.to_text()


def test_the_order_of_columns_and_further_columns_do_not_matter(rule, tmp_path):
    other = made_up_runs().select("loss", "output_length", "mtld", "run_id").with_columns(knn_6=pl.lit(1.0))
    assert imine.check_rule(rule, write(other, tmp_path / "other.parquet"), rtol=0.0).agrees


def test_what_moved_is_counted_in_the_rules_standard_errors(rule, tmp_path):
    later = made_up_runs().with_columns((pl.col("loss").log() + 0.004 * pl.col("mtld")).exp().alias("loss"))
    check = imine.check_rule(rule, write(later, tmp_path / "later.parquet"), rtol=1e-6)
    (moved,) = check.moved
    assert moved.name == "mtld"
    assert moved.change == pytest.approx(0.004, rel=1e-9)
    assert moved.in_std_errors == pytest.approx(0.004 / rule.coefficients["mtld"].std_error, rel=1e-9)
    assert moved.relative == pytest.approx(0.004 / abs(rule.coefficients["mtld"].coefficient), rel=1e-9)
    assert check.same_runs is False
    assert not check.agrees
    text = check.to_text()
    (line,) = [line for line in text.splitlines() if line.startswith("mtld")]
    assert line.endswith("MOVED")
    assert f"Moved: mtld by {moved.in_std_errors:+.3g} std errors. 1 of 3 coefficients do not agree." in text


@settings(max_examples=60)
@given(st.floats(-1e3, 1e3), st.floats(0, 1e2), st.floats(0, 0.5), st.floats(0, 4), st.floats(-1e3, 1e3))
def test_the_two_tolerances_add_up(coefficient, error, rtol, se, change):
    from imine.rules import Estimate, Rule, Term

    def rule_of(value):
        term = Term(name="mtld", coefficient=value, std_error=error)
        return Rule(name="any", intercept=Estimate(coefficient=0.0, std_error=1.0), terms=(term,))

    check = compare_coefficients(rule_of(coefficient), rule_of(coefficient + change), rtol=rtol, se=se)
    moved = (coefficient + change) - coefficient
    assert check.coefficients[1].agrees == (abs(moved) <= rtol * abs(coefficient) + se * error)
    assert check.agrees == check.coefficients[1].agrees


def test_standard_errors_allow_what_noise_does(rule, tmp_path):
    path = write(made_up_runs(seed=5), tmp_path / "anew.parquet")
    assert not imine.check_rule(rule, path).agrees
    check = imine.check_rule(rule, path, se=4.0)
    assert check.agrees, check.to_text()
    worst = max(abs(c.in_std_errors) for c in check.coefficients)
    assert 0 < worst < 4
    assert not imine.check_rule(rule, path, rtol=0.0, se=0.99 * worst).agrees


def test_runs_made_in_another_way_are_refused(rule, tmp_path):
    path = write(made_up_runs(), tmp_path / "other.parquet", FINGERPRINTS | {"mtld": {"threshold": 0.8}})
    with pytest.raises(FingerprintMismatchError, match=r"mtld: threshold is 0\.8, the rule expects 0\.72"):
        imine.check_rule(rule, path)
    check = imine.check_rule(rule, path, allow_mismatch=True)
    assert check.agrees
    assert "threshold is 0.8" in check.notes[0]
    bare = tmp_path / "bare.parquet"
    made_up_runs().write_parquet(bare)
    with pytest.raises(FingerprintMismatchError, match="no fingerprint"):
        imine.check_rule(rule, bare)


def test_a_frame_is_compared_and_said_to_be_of_unknown_making(rule):
    check = imine.check_rule(rule, made_up_runs())
    assert check.agrees
    assert check.same_runs
    assert "came as a frame" in check.notes[0]


def test_a_rule_without_fingerprints_says_so(runs_file):
    rule = imine.fit(made_up_runs(), name="bare")
    assert "holds no fingerprints" in imine.check_rule(rule, runs_file).notes[0]


def test_a_rule_without_standard_errors_knows_only_shares():
    rng = np.random.default_rng(0)
    names = imine.load_rule("instructmining-v1").indicators
    runs = pl.DataFrame({name: rng.normal(1, 0.1, 20) for name in names} | {"loss": rng.uniform(1, 2, 20)})
    with pytest.raises(RuleError, match="no standard error of intercept"):
        imine.check_rule("instructmining-v1", runs, se=2.0)
    check = imine.check_rule("instructmining-v1", runs)
    assert len(check.moved) == 4
    assert check.same_runs is None
    assert all(c.in_std_errors is None for c in check.coefficients)
    assert "Moved: intercept, reward, output_length, knn_6." in check.to_text()


@pytest.mark.parametrize("tolerance", [{"rtol": -1e-9}, {"se": float("nan")}, {"rtol": float("inf")}])
def test_tolerances_are_finite_and_not_negative(rule, tolerance):
    (name,) = tolerance
    with pytest.raises(ValueError, match=f"{name} must be a finite number"):
        imine.check_rule(rule, made_up_runs(), **tolerance)


def test_runs_that_lack_something_cannot_be_checked(rule, tmp_path):
    with pytest.raises(RegressionError, match="no column mtld"):
        imine.check_rule(rule, made_up_runs().drop("mtld"))
    gap = made_up_runs().with_columns(pl.when(pl.col("run_id") != "r03").then("mtld").alias("mtld"))
    with pytest.raises(RegressionError, match="r03"):
        imine.check_rule(rule, gap)
    assert imine.check_rule(rule, gap, drop_incomplete=True).found.n_runs == 29


def test_json_has_every_number(rule, tmp_path):
    later = made_up_runs(seed=5)
    check = imine.check_rule(rule, write(later, tmp_path / "later.parquet"), se=0.5)
    document = json.loads(check.to_json())
    assert document["agrees"] is False
    assert (document["rtol"], document["se"], document["same_runs"]) == (1e-6, 0.5, False)
    assert document["expected"]["sha256"] == rule.sha256
    for row, c in zip(document["coefficients"], check.coefficients, strict=True):
        assert row["name"] == c.name
        assert row["change"] == c.found - c.expected == row["found"] - row["expected"]
        assert row["in_std_errors"] == c.in_std_errors
        assert row["agrees"] is c.agrees


def test_exact_fits_have_no_standard_errors_to_count_in():
    from imine.rules import Estimate, Rule, Term

    exact = Rule(
        name="exact",
        intercept=Estimate(coefficient=0.0, std_error=0.0),
        terms=(Term(name="mtld", coefficient=1.0, std_error=0.0),),
    )
    (zero, one) = compare_coefficients(exact, exact, rtol=0.0).coefficients
    assert zero.agrees
    assert (zero.in_std_errors, zero.relative) == (None, None)
    assert one.relative == 0.0


# The helper for tests


def test_assert_rule_close_takes_rules_files_and_runs(rule, runs_file, tmp_path):
    rule.write(tmp_path / "held.json")
    assert_rule_close(rule, runs_file)
    assert_rule_close(rule, str(runs_file), rtol=0.0)
    assert_rule_close(rule, made_up_runs())
    assert_rule_close(tmp_path / "held.json", rule, rtol=0.0)
    assert_rule_close(rule, tmp_path / "held.json", rtol=0.0)
    assert_rule_close("instructmining-v1", "instructmining-v1", rtol=0.0)


def test_assert_rule_close_fails_with_the_table(rule, tmp_path):
    anew = imine.fit(made_up_runs(seed=5), name="anew")
    with pytest.raises(AssertionError, match="MOVED") as caught:
        assert_rule_close(anew, rule)
    assert str(caught.value) == compare_coefficients(rule, anew).to_text()
    assert_rule_close(anew, rule, se=4.0)
    with pytest.raises(AssertionError, match="expected: rule held, 30 runs"):
        assert_rule_close(rule, made_up_runs(seed=5))


def test_assert_rule_close_wants_the_same_terms_and_target(rule):
    fewer = imine.fit(made_up_runs(), terms=["mtld"], name="fewer")
    with pytest.raises(AssertionError, match=r"Only in the rule held: output_length\."):
        assert_rule_close(fewer, rule, se=1e6)
    with pytest.raises(AssertionError, match=r"Only in the one found: output_length\."):
        assert_rule_close(rule, fewer, se=1e6)
    runs = made_up_runs().rename({"loss": "loss_other"})
    other = imine.fit(runs, terms=rule.indicators, target="loss_other")
    with pytest.raises(AssertionError, match=r"Another target: loss_other, not loss\."):
        assert_rule_close(other, rule)


def test_assert_rule_close_refuses_other_kinds(rule, tmp_path):
    with pytest.raises(TypeError, match="expected must be a rule, its name or file, or runs"):
        assert_rule_close(rule, {"mtld": 1.0})  # type: ignore[arg-type]
    with pytest.raises(RegressionError, match="no such file"):
        assert_rule_close(rule, tmp_path / "nope.parquet")
    with pytest.raises(RuleError, match="neither a file"):
        assert_rule_close(rule, tmp_path / "nope.json")
