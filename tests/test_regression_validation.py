import math

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from imine.errors import RegressionError
from imine.regression import fit_ols
from imine.regression.after_choosing import ForwardStepwise
from imine.regression.results import Array
from imine.regression.validation import (
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    Predicted,
    cross_validate,
    permutation_test,
    score,
)

NAMES = ["a", "b", "c", "d"]
STEP = ForwardStepwise(criterion="aic")


def study(n: int = 60, effect: float = 1.0) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4))
    return X, effect * X[:, 2] + 0.5 * effect * X[:, 1] + 0.7 * rng.normal(size=n) + 3.0


def predicted(truth: list[float], mean: list[float], baseline: float = 0.0) -> Predicted:
    y, m = np.array(truth), np.array(mean)
    return Predicted(y, m, m - 1.0, m + 1.0, np.full(len(y), baseline), 0.95)


def test_cross_validation_against_a_plain_loop() -> None:
    X, y = study()
    found = cross_validate(X, y, NAMES, STEP, scheme=KFold(6, repeats=2, seed=5))
    assert len(found.folds) == 12
    for repeat, pooled in enumerate(found.repeats):
        truth, mean, base, inside, width = [], [], [], [], []
        for fold in (f for f in found.folds if f.repeat == repeat):
            train = [i for i in range(60) if i not in set(fold.rows.tolist())]
            chosen = STEP(X[train], y[train])
            assert fold.chosen == tuple(NAMES[j] for j in chosen)
            fit = fit_ols(X[train][:, chosen], y[train], fold.chosen)
            p = fit.predict(X[fold.rows][:, chosen], interval="observation")
            truth += y[fold.rows].tolist()
            mean += p.mean.tolist()
            base += [float(np.mean(y[train]))] * len(fold.rows)
            inside += ((p.low <= y[fold.rows]) & (y[fold.rows] <= p.high)).tolist()
            width += (p.high - p.low).tolist()
        t, m, b = np.array(truth), np.array(mean), np.array(base)
        assert len(t) == 60
        assert pooled.level.r2 == pytest.approx(1 - np.sum((t - m) ** 2) / np.sum((t - b) ** 2))
        assert pooled.level.rmse == pytest.approx(np.sqrt(np.mean((t - m) ** 2)))
        assert pooled.level.bias == pytest.approx(np.mean(m - t))
        slope, intercept = np.polyfit(m, t, 1)
        assert pooled.level.slope == pytest.approx(slope)
        assert pooled.level.intercept == pytest.approx(intercept)
        assert pooled.rank.spearman == pytest.approx(spearmanr(m, t).statistic)
        assert pooled.rank.kendall == pytest.approx(kendalltau(m, t).statistic)
        assert pooled.intervals.coverage == pytest.approx(np.mean(inside))
        assert pooled.intervals.mean_width == pytest.approx(np.mean(width))
        assert pooled.why == {}


def test_repeats_have_a_spread() -> None:
    X, y = study()
    found = cross_validate(X, y, NAMES, STEP, scheme=KFold(5, repeats=4))
    values = [s.level.r2 for s in found.repeats]
    spread = found.spread(lambda s: s.level.r2)
    assert len(set(values)) == 4
    assert (spread.mean, spread.sd, spread.repeats) == (
        pytest.approx(np.mean(values)),
        pytest.approx(np.std(values, ddof=1)),
        4,
    )
    fewer = cross_validate(X, y, NAMES, STEP, scheme=KFold(5, repeats=2))
    assert [s.level.r2 for s in fewer.repeats] == values[:2]
    assert found.over_folds(lambda s: s.level.rmse).repeats == 20
    text = found.summary()
    assert "rank     Spearman" in text
    assert "level    R2 about the mean of the fitted runs" in text
    assert "chosen   " in text


def test_leave_one_out_is_press() -> None:
    X, y = study()
    found = cross_validate(X, y, NAMES, scheme=LeaveOneOut())
    full = fit_ols(X, y, NAMES)
    # About the mean of the other runs, SST is larger by (n / (n - 1))^2.
    assert found.repeats[0].level.r2 == pytest.approx(1 - (1 - full.press_r2) * (59 / 60) ** 2)
    assert found.repeats[0].level.rmse == pytest.approx(math.sqrt(full.press / 60))
    one = found.folds[7].score
    assert (one.level.r2, one.rank.spearman, one.rank.kendall, one.level.slope) == (None, None, None, None)
    assert "one run" in one.why["r2"]
    assert set(one.why) == {"r2", "spearman", "kendall", "slope", "intercept"}
    assert one.level.bias == pytest.approx(-full.loo_residuals[7])
    assert found.chosen_share.tolist() == [1.0] * 4


def test_groups_leave_together() -> None:
    X, y = study()
    labels = ["alpaca", "dolly", "oasst"] * 20
    found = cross_validate(X, y, NAMES, STEP, scheme=LeaveOneGroupOut(labels))
    assert [fold.label for fold in found.folds] == ["alpaca", "dolly", "oasst"]
    assert found.folds[1].rows.tolist() == list(range(1, 60, 3))
    assert {fold.n_fitted for fold in found.folds} == {40}
    assert sum(s.n_runs for s in found.repeats) == 60


def test_runs_of_several_sources_leave_with_each() -> None:
    X, y = study(30)
    labels = [{"a"}, {"a", "b"}, {"c"}] * 10
    found = cross_validate(X, y, NAMES, scheme=LeaveOneGroupOut(labels))
    assert {fold.label: fold.n_fitted for fold in found.folds} == {"a": 10, "b": 20, "c": 20}
    assert found.repeats[0].n_runs == 40


def test_constant_predictions_have_no_rank() -> None:
    X, y = study()
    found = cross_validate(X, y, NAMES, lambda X, y: [], scheme=KFold(2))
    one = found.folds[0].score
    assert (one.rank.spearman, one.level.slope) == (None, None)
    assert one.why["spearman"] == "the predictions are all the same"
    assert one.level.r2 == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("case", "undefined", "reason"),
    [
        (
            predicted([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
            {"spearman", "kendall"},
            "true values are all the same",
        ),
        (predicted([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]), {"spearman", "kendall", "r2"}, "mean of the fitted"),
        (predicted([1.0, 2.0], [1.0, 2.0]), {"spearman", "kendall", "slope", "intercept"}, "fewer than 3"),
    ],
)
def test_undefined_has_a_reason(case: Predicted, undefined: set[str], reason: str) -> None:
    found = score(case)
    assert set(found.why) == undefined
    assert any(reason in why for why in found.why.values())
    values = {
        "spearman": found.rank.spearman,
        "kendall": found.rank.kendall,
        "r2": found.level.r2,
        "slope": found.level.slope,
        "intercept": found.level.intercept,
    }
    assert {name for name, value in values.items() if value is None} == undefined


def test_calibration_sees_a_spread_that_is_too_wide() -> None:
    truth = [1.0, 2.0, 3.0, 4.0]
    found = score(predicted(truth, [2 * value + 5 for value in truth]))
    assert found.level.slope == pytest.approx(0.5)
    assert found.level.intercept == pytest.approx(-2.5)
    assert found.rank.spearman == pytest.approx(1.0)
    assert found.level.bias == pytest.approx(7.5)


def test_folds_that_cannot_be_fitted_are_named() -> None:
    X, y = study(8)
    with pytest.raises(RegressionError, match=r"leaving out big: .*too few"):
        cross_validate(X, y, NAMES, scheme=LeaveOneGroupOut(["big"] * 4 + ["small"] * 4))
    with pytest.raises(RegressionError, match="keep some; not so: all"):
        cross_validate(X, y, NAMES, scheme=LeaveOneGroupOut([{"all", i} for i in range(8)]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KFold(1), "k of at least 2"),
        (lambda: KFold(9).folds(8), "cannot be dealt"),
        (lambda: LeaveOneGroupOut(["a"]).folds(2), "one entry for each"),
        (lambda: LeaveOneGroupOut(["a", "a"]).folds(2), "at least two groups"),
    ],
)
def test_schemes_that_make_no_sense(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_workers_change_nothing() -> None:
    X, y = study()
    a, b = (permutation_test(X, y, STEP, permutations=19, scheme=KFold(3), seed=8, workers=w) for w in (1, 2))
    np.testing.assert_array_equal(a.permuted, b.permuted)
    assert a.p == b.p


def test_permutations_against_a_plain_loop() -> None:
    X, y = study(30, effect=0.3)
    found = permutation_test(X, y, STEP, statistic="r2", permutations=50, seed=2)

    def r2(values: Array) -> float:
        chosen = STEP(X, values)
        return fit_ols(X[:, chosen], values, [NAMES[j] for j in chosen]).r2

    shuffled = [y[np.random.default_rng(s).permutation(30)] for s in np.random.SeedSequence(2).spawn(50)]
    np.testing.assert_allclose(found.permuted, [r2(values) for values in shuffled], atol=1e-12)
    assert found.observed == pytest.approx(r2(y))
    assert found.p == (1 + np.sum(found.permuted >= found.observed)) / 51


def test_cv_statistic_is_that_of_cross_validation() -> None:
    X, y = study()
    scheme = KFold(5, repeats=2)
    found = permutation_test(X, y, STEP, permutations=19, scheme=scheme)
    expected = cross_validate(X, y, NAMES, STEP, scheme=scheme).spread(lambda s: s.level.r2).mean
    assert found.observed == pytest.approx(expected)
    assert found.p == 0.05
    assert "p 0.05 (19 permutations)" in found.summary()


def test_choosing_among_noise_is_seen_through() -> None:
    """In-sample R2 of a choice among noise is high, and the permutation test knows how high it gets."""
    rng = np.random.default_rng(3)
    step = ForwardStepwise(steps=4)
    found = [
        permutation_test(
            rng.normal(size=(30, 12)), rng.normal(size=30), step, statistic="r2", permutations=39
        )
        for _ in range(12)
    ]
    assert np.mean([test.observed for test in found]) > 0.3
    assert 0.25 < np.mean([test.p for test in found]) < 0.75


def test_blocks_keep_their_values() -> None:
    X, y = study(12)
    blocks = ["s", "t"] * 6
    y = y + np.array([0.0, 1000.0] * 6)
    seen = []

    def procedure(_: Array, values: Array) -> list[int]:
        seen.append(values.copy())
        return [0]

    permutation_test(X, y, procedure, statistic="r2", permutations=5, blocks=blocks)
    assert len(seen) == 6
    for values in seen[1:]:
        assert sorted(values[::2]) == sorted(y[::2])
        assert sorted(values[1::2]) == sorted(y[1::2])
        assert values.tolist() != y.tolist()


def test_permutation_arguments() -> None:
    X, y = study(12)
    with pytest.raises(RegressionError, match="same in all runs"):
        permutation_test(X, np.ones(12))
    with pytest.raises(ValueError, match="statistic must be"):
        permutation_test(X, y, statistic="f")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one label for each"):
        permutation_test(X, y, blocks=["a"])
    with pytest.raises(ValueError, match="there must be a repeat"):
        permutation_test(X, y, permutations=0)
