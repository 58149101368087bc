import math

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import kstest, truncnorm

from imine.errors import RegressionError
from imine.regression import fit_ols
from imine.regression.after_choosing import ChosenResults, ForwardStepwise, infer_after_forward, infer_fixed
from imine.regression.after_choosing.conditions import Branch
from imine.regression.after_choosing.pivot import Pivot
from imine.regression.after_choosing.regions import WHOLE_LINE
from imine.regression.results import Array

PROCEDURES = [
    ForwardStepwise(steps=1),
    ForwardStepwise(steps=3),
    ForwardStepwise(steps=5),
    ForwardStepwise(steps=2, forced=(4,)),
    ForwardStepwise(criterion="aic"),
    ForwardStepwise(criterion="aicc"),
    ForwardStepwise(criterion="bic"),
    ForwardStepwise(criterion="adjusted_r2"),
    ForwardStepwise(criterion="p_value", enter=0.1),
    ForwardStepwise(criterion="aic", max_steps=2),
    ForwardStepwise(criterion="bic", forced=(0, 2)),
]
NAMES = ["a", "b", "c", "d", "e"]


def study(seed: int, n: int = 40, effect: float = 0.5) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5)) @ (np.eye(5) + 0.4 * rng.normal(size=(5, 5)))
    return X * [1.0, 100.0, 1e-3, 1.0, 5.0] + 7.0, effect * X[:, 0] + 0.5 * effect * X[:, 1] + rng.normal(
        size=n
    )


def naive_forward(X: Array, y: Array, procedure: ForwardStepwise) -> list[int]:
    """The same choice by whole regressions."""

    def fitted(columns: list[int]):
        return fit_ols(X[:, columns], y, [str(c) for c in columns])

    chosen = list(procedure.forced)
    most = procedure.steps if procedure.steps is not None else procedure.max_steps
    while len(chosen) < X.shape[1] and (most is None or len(chosen) - len(procedure.forced) < most):
        rest = [j for j in range(X.shape[1]) if j not in chosen]
        best = min(rest, key=lambda j: fitted([*chosen, j]).sigma)
        now, then = fitted(chosen), fitted([*chosen, best])
        better = {
            None: True,
            "aic": then.aic < now.aic,
            "aicc": then.aicc < now.aicc,
            "bic": then.bic < now.bic,
            "adjusted_r2": then.adjusted_r2 > now.adjusted_r2,
            "p_value": then.p[-1] < procedure.enter,
        }[procedure.criterion]
        if not better:
            break
        chosen.append(best)
    return chosen


@pytest.mark.parametrize("procedure", PROCEDURES, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_forward_against_whole_regressions(procedure: ForwardStepwise, seed: int) -> None:
    X, y = study(seed)
    assert procedure(X, y) == naive_forward(X, y, procedure)


def entered_signs(X: Array, y: Array, procedure: ForwardStepwise) -> list[float]:
    chosen = procedure(X, y)
    first, centred = len(procedure.forced), X - X.mean(axis=0)
    steps = [chosen[: k + 1] for k in range(first, len(chosen))]
    return [float(np.sign(np.linalg.lstsq(centred[:, c], y, rcond=None)[0][-1])) for c in steps]


def same_choice(X: Array, y: Array, other: Array, procedure: ForwardStepwise, given: str) -> bool:
    first, second = procedure(X, y), procedure(X, other)
    if given == "set":
        return set(first) == set(second)
    same = first == second
    return same and (given == "order" or entered_signs(X, y, procedure) == entered_signs(X, other, procedure))


@pytest.mark.parametrize("given", ["signs", "order", "set"])
@pytest.mark.parametrize("procedure", PROCEDURES, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_region_is_where_the_choice_is_the_same(given: str, procedure: ForwardStepwise, seed: int) -> None:
    """Known sigma: all but the contrast is held fixed, so the choice can simply be made again along the line."""
    X, y = study(seed, effect=0.25)
    results = infer_after_forward(X, y, NAMES, procedure, sigma=1.0, given=given)
    chosen = list(results.chosen)
    contrasts = np.linalg.pinv(X[:, chosen] - X[:, chosen].mean(axis=0))
    checked = 0
    for eta, region, own in zip(contrasts, results.regions(), results.params, strict=True):
        assert own == pytest.approx(eta @ y)
        spread = np.linalg.norm(eta)
        for value in own + spread * np.linspace(-9.0, 9.0, 25):
            if np.abs(region - value).min() < 1e-6 * spread:
                continue
            inside = bool(((region[:, 0] < value) & (value < region[:, 1])).any())
            moved = y + (value - own) * eta / spread**2
            assert inside == same_choice(X, y, moved, procedure, given), (value, region)
            checked += 1
    assert checked or not chosen


@pytest.mark.parametrize("given", ["order", "set"])
@pytest.mark.parametrize("criterion", ["aic", "p_value"])
def test_region_with_unknown_sigma(given: str, criterion: str) -> None:
    """Along the curve on which the sufficient ``W`` stays the same, the residuals shrink as the contrast moves."""
    X, y = study(3, effect=0.25)
    procedure = ForwardStepwise(criterion=criterion)
    results = infer_after_forward(X, y, NAMES, procedure, given=given)
    full = fit_ols(X, y, NAMES)
    rss = float(full.residuals @ full.residuals)
    inside_count = 0
    contrasts = np.linalg.pinv(X[:, list(results.chosen)] - X[:, list(results.chosen)].mean(axis=0))
    for eta, pivot in zip(contrasts, results._pivots, strict=True):
        direction = eta / np.linalg.norm(eta)
        z = direction @ y
        for theta in (0.0, 1.7):
            region = pivot.region(theta)
            limit = math.sqrt(rss + (z - theta) ** 2)
            for x in theta + limit * np.linspace(-0.999, 0.999, 31):
                left = rss + (z - theta) ** 2 - (x - theta) ** 2
                moved = y + (x - z) * direction + (math.sqrt(left / rss) - 1.0) * full.residuals
                inside = bool(((region[:, 0] < x) & (x < region[:, 1])).any())
                assert inside == same_choice(X, y, moved, procedure, given)
                inside_count += inside
    assert inside_count > 5


def test_signs_cut_one_interval_and_less_conditioning_leaves_more() -> None:
    X, y = study(1)
    found = {
        g: infer_after_forward(X, y, NAMES, ForwardStepwise(steps=3), given=g)
        for g in ("signs", "order", "set")
    }
    for i in range(3):
        signs, order, whole = (found[g].regions()[i] for g in ("signs", "order", "set"))
        assert len(signs) == 1
        for smaller, larger in ((signs, order), (order, whole)):
            for low, high in smaller:
                assert ((larger[:, 0] <= low + 1e-12) & (high - 1e-12 <= larger[:, 1])).any()


def test_known_sigma_is_a_truncated_normal() -> None:
    X, y = study(2)
    results = infer_after_forward(X, y, NAMES, ForwardStepwise(steps=2), sigma=1.3, given="signs")
    for value, error, region, p in zip(
        results.params, results.std_errors, results.regions(), results.p, strict=True
    ):
        low, high = region[0] / error
        upper = truncnorm.sf(value / error, low, high)
        assert p == pytest.approx(2 * min(upper, 1 - upper), rel=1e-7)


def pivots_at_truth(results: ChosenResults, X: Array, mean: Array) -> list[float]:
    chosen = list(results.chosen)
    truth = np.linalg.pinv(X[:, chosen] - X[:, chosen].mean(axis=0)) @ mean
    rows = zip(results._pivots, truth, results._scales, strict=True)
    return [float(expit(pivot.log_odds(value / scale))[0]) for pivot, value, scale in rows]


@pytest.mark.parametrize("sigma", [None, 1.0], ids=["estimated", "known"])
@pytest.mark.parametrize(
    ("procedure", "given"),
    [
        (ForwardStepwise(steps=1), "signs"),
        (ForwardStepwise(steps=2), "set"),
        (ForwardStepwise(criterion="bic"), "order"),
        (ForwardStepwise(criterion="aic"), "set"),
    ],
    ids=str,
)
def test_pivots_are_uniform(procedure: ForwardStepwise, given: str, sigma: float | None) -> None:
    """Under the truth the distribution function at the observation is uniform; 14 runs make sigma matter."""
    found, last = [], []
    for seed in range(150):
        X, _ = study(0, n=14)
        mean = 0.4 * (X[:, 0] - X[:, 0].mean())
        y = mean + np.random.default_rng(seed).normal(size=14)
        results = infer_after_forward(X, y, NAMES, procedure, given=given, sigma=sigma)
        if results.chosen:
            values = pivots_at_truth(results, X, mean)
            found.append(values[0])
            last.append(values[-1])
    assert len(found) > 60
    assert kstest(found, "uniform").pvalue > 0.002
    assert kstest(last, "uniform").pvalue > 0.002


def test_naive_p_values_are_not_uniform() -> None:
    """What the conditioning is for: the same simulation, without it."""
    found = []
    for seed in range(150):
        X, _ = study(0, n=40)
        y = np.random.default_rng(seed).normal(size=40)
        chosen = ForwardStepwise(steps=1)(X, y)
        found.append(fit_ols(X[:, chosen], y, ["x"]).p[1])
    assert np.mean(np.array(found) < 0.05) > 0.1


@pytest.mark.parametrize("sigma", [None, 1.0])
def test_ends_invert_the_test(sigma: float | None) -> None:
    X, y = study(5)
    results = infer_after_forward(X, y, NAMES, ForwardStepwise(criterion="aic"), sigma=sigma)
    for pivot, (low, high), scale in zip(
        results._pivots, results.conf_int(0.9), results._scales, strict=True
    ):
        assert expit(pivot.log_odds(low / scale))[0] == pytest.approx(0.05, rel=1e-6)
        assert expit(pivot.log_odds(high / scale))[0] == pytest.approx(0.95, rel=1e-6)
    for (low, high), p in zip(results.conf_int(0.95), results.p, strict=True):
        assert (low <= 0.0 <= high) == (p >= 0.05)
    np.testing.assert_array_equal(results.p_values(np.zeros(len(results.p))), results.p)
    np.testing.assert_allclose(results.p_values(results.conf_int(0.9)[:, 1]), 0.1, rtol=1e-6)
    narrow, wide = results.conf_int(0.5), results.conf_int(0.99)
    assert (wide[:, 0] < narrow[:, 0]).all()
    assert (narrow[:, 1] < wide[:, 1]).all()
    middle = results.median_unbiased()
    assert ((narrow[:, 0] < middle) & (middle < narrow[:, 1])).all()


def test_strong_effects_get_the_ordinary_interval() -> None:
    """Where the choice was never in doubt, conditioning on it changes nothing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(129, 5))
    y = 30.0 * X[:, 0] + 20.0 * X[:, 1] + rng.normal(size=129)
    results = infer_after_forward(X, y, NAMES, ForwardStepwise(steps=2))
    np.testing.assert_allclose(results.conf_int(), infer_fixed(X, y, NAMES, [0, 1]).conf_int(), rtol=1e-9)


def test_fixed_terms_are_ordinary() -> None:
    X, y = study(4)
    full = fit_ols(X, y, NAMES)
    fixed = infer_fixed(X, y, NAMES, range(5))
    np.testing.assert_allclose(fixed.params, full.params[1:], rtol=1e-9)
    np.testing.assert_allclose(fixed.std_errors, full.std_errors[1:], rtol=1e-9)
    np.testing.assert_allclose(fixed.p, full.p[1:], rtol=1e-8)
    np.testing.assert_allclose(fixed.conf_int(0.9), full.conf_int(0.9)[1:], rtol=1e-8, atol=1e-12)
    assert fixed.given == "nothing"
    known = infer_fixed(X, y, NAMES, [1], sigma=2.0)
    assert known.noise == "known"
    assert np.diff(known.conf_int())[0, 0] == pytest.approx(2 * 1.959963984540054 * known.std_errors[0])


def test_units_and_rows_do_not_matter() -> None:
    X, y = study(6)
    procedure = ForwardStepwise(criterion="aic")
    base = infer_after_forward(X, y, NAMES, procedure)
    order = np.random.default_rng(0).permutation(len(y))
    scale = np.array([1e-6, 1.0, 1e5, 3.0, 1.0])
    other = infer_after_forward((X * scale + 2.0)[order], (5.0 * y + 100.0)[order], NAMES, procedure)
    assert other.names == base.names
    np.testing.assert_allclose(other.p, base.p, rtol=1e-6)
    factor = 5.0 / scale[list(base.chosen)]
    np.testing.assert_allclose(other.conf_int(), base.conf_int() * factor[:, None], rtol=1e-6)


def test_nothing_chosen() -> None:
    X, y = study(0)
    results = infer_after_forward(X, y, NAMES, ForwardStepwise(steps=0))
    assert results.names == ()
    assert results.conf_int().shape == (0, 2)
    assert "given the chosen terms" in results.summary()


def pivot(region: list[list[float]], observed: float, df: float = math.inf) -> Pivot:
    branch = Branch(np.array(region), np.zeros((0, 3)), np.zeros(0))
    return Pivot(observed, (branch,), 30.0, df, 1.0, 5.0)


@pytest.mark.parametrize("df", [math.inf, 30.0])
def test_far_ends_are_solved_not_cut_off(df: float) -> None:
    """An observation just inside its interval has far ends: for a normal cut at zero, ``theta ~ log(tail) / z``."""
    found = pivot([[0.0, math.inf]], 1e-5, df).interval(0.95)
    assert found.why is None
    assert found.low < found.high < 0.0
    if math.isinf(df):
        assert found.low == pytest.approx(math.log(0.025) / 1e-5, rel=1e-3)
        assert found.high == pytest.approx(math.log(0.975) / 1e-5, rel=1e-2)


@pytest.mark.parametrize("df", [math.inf, 30.0])
@pytest.mark.parametrize("observed", [1.0, 1.0 + 1e-13, 1.0 - 1e-13])
def test_on_the_edge_is_infinite_with_its_reason(observed: float, df: float) -> None:
    edge = pivot([[1.0, 2.0]], observed, df)
    found = edge.interval(0.95)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert "edge of where the same choice" in str(found.why)
    assert math.isnan(edge.p_value())
    assert math.isnan(edge.median())


def test_an_edge_with_another_interval_is_finite() -> None:
    found = pivot([[-4.0, -3.0], [1.0, 2.0]], 1.0).interval(0.95)
    assert math.isfinite(found.high - found.low)
    assert found.why is None


def test_narrow_acceptance_between_two_means_is_found() -> None:
    """At a low level the accepted means lie between two of those looked at first."""
    found = pivot([[0.0, 3.0]], 1.0).interval(1e-6)
    assert found.why is None
    assert 0.0 < found.high - found.low < 1e-4


def test_interval_is_the_hull_where_the_odds_are_not_monotone() -> None:
    """A stopping rule with few degrees of freedom: no mean outside the interval is accepted, on a fine grid."""
    seen = 0
    for seed in range(12):
        X, y = study(seed, n=9, effect=0.3)
        results = infer_after_forward(X, y, NAMES, ForwardStepwise(criterion="aic"), given="set")
        for pivot in results._pivots:
            found = pivot.interval(0.9)
            theta = pivot.observed + pivot.sigma * np.sinh(np.linspace(-8, 8, 200))
            odds = pivot.log_odds(theta)
            outside = (theta < found.low - 1e-9) | (theta > found.high + 1e-9)
            assert not (outside & (np.abs(odds) < math.log(19) - 1e-6)).any()
            seen += int((np.diff(odds[np.isfinite(odds)]) < -1e-9).any())
    assert seen > 1


def test_a_tie_of_entry_is_reported() -> None:
    """Two columns explain equally much: given the order, their contrast is on the edge of its region."""
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [0.3, 0.3], [-0.3, -0.3], [0.0, 0.0]])
    y = np.array([2.0, -2.0, 2.0, -2.0, 0.5, -0.5, 0.1])
    results = infer_after_forward(X, y, ["u", "v"], ForwardStepwise(steps=1), given="signs")
    interval = results.intervals()[0]
    assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert "edge" in str(interval.why)
    assert "edge" in results.summary()


def test_region_of_everything_is_the_normal() -> None:
    free = Pivot(1.5, (Branch(WHOLE_LINE, np.zeros((0, 3)), np.zeros(0)),), 30.0, math.inf, 1.0, 5.0)
    assert free.interval(0.95).low == pytest.approx(1.5 - 1.959963984540054, abs=1e-9)
    assert free.interval(0.95).high == pytest.approx(1.5 + 1.959963984540054, abs=1e-9)
    assert free.median() == pytest.approx(1.5, abs=1e-9)


def test_more_candidates_than_runs_are_refused() -> None:
    X, y = np.random.default_rng(0).normal(size=(5, 5)), np.arange(5.0)
    with pytest.raises(RegressionError, match="runs are too few"):
        infer_after_forward(X, y, NAMES, ForwardStepwise(steps=1))


def test_no_noise_is_refused() -> None:
    X = np.array([[0.0], [1.0], [2.0], [4.0]])
    with pytest.raises(RegressionError, match="without error"):
        infer_after_forward(X, np.zeros(4), ["x"], ForwardStepwise(steps=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "steps or criterion"),
        ({"steps": 1, "criterion": "aic"}, "steps or criterion"),
        ({"criterion": "cp"}, "criterion must be one of aic"),
        ({"steps": -1}, "steps must not be negative"),
        ({"criterion": "p_value", "enter": 1.0}, "enter must lie"),
        ({"steps": 1, "forced": (1, 1)}, "forced must not repeat"),
    ],
)
def test_procedures_that_make_no_sense(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ForwardStepwise(**arguments)


def test_arguments_that_make_no_sense() -> None:
    X, y = study(0)
    step = ForwardStepwise(steps=1)
    with pytest.raises(ValueError, match="given must be one of signs, order, set"):
        infer_after_forward(X, y, NAMES, step, given="luck")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sigma must be positive"):
        infer_after_forward(X, y, NAMES, step, sigma=0.0)
    with pytest.raises(ValueError, match="level must lie between"):
        infer_after_forward(X, y, NAMES, step).conf_int(1.0)
    with pytest.raises(ValueError, match="different ones of 0 to 4"):
        infer_fixed(X, y, NAMES, [5])
    with pytest.raises(ValueError, match="forced must be columns"):
        ForwardStepwise(steps=1, forced=(9,))(X, y)
