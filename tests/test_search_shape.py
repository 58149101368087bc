"""Whether the shape of a curve is told rightly, and how often by mistake."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from imine.search.noise import interval
from imine.search.shape import Shape, cone_distances, judge_shape, upper_differences
from tests.search_fakes import CURVES

X = np.linspace(9, 14, 11)


def naive_distances(values: list[float]) -> list[float]:
    distances = []
    for k in range(len(values) + 1):
        total = 0.0
        for part, rising in ((values[:k], False), (values[k:], True)):
            if part:
                fitted = isotonic_regression(part, increasing=rising).x
                total += float(((np.array(part) - fitted) ** 2).sum())
        distances.append(total)
    return distances


def test_distances_equal_isotonic_regression() -> None:
    rng = np.random.default_rng(0)
    for size in range(1, 9):
        for _ in range(20):
            values = rng.normal(size=size).round(1).tolist()
            assert cone_distances(values) == pytest.approx(naive_distances(values), abs=1e-12)


def judge(curve: np.ndarray, sd: float, seed: int, draws: int = 400, margin: float = 0.01) -> Shape:
    """The shape of a curve seen with noise of a known spread."""
    rng = np.random.default_rng(seed)
    seen = curve + rng.normal(0, sd, len(curve))
    errors = rng.normal(0, sd, (draws, len(curve)))
    return judge_shape(seen, errors, level=0.95, margin=margin, seeds_known=True)


def of(name: str) -> np.ndarray:
    return np.array([CURVES[name](x) for x in X])


@pytest.mark.parametrize("name", ["falling", "valley", "double descent", "rising", "flat"])
def test_shapes_are_told_where_noise_is_small(name: str) -> None:
    for seed in range(5):
        shape = judge(of(name), 0.0005, seed)
        assert shape.verdict == name
        assert shape.statement


def test_statements_say_what_is_seen_and_what_denied() -> None:
    assert "no curve with a single valley fits (p = 0." in judge(of("double descent"), 0.001, 0).statement
    denied = judge(of("falling"), 0.001, 0)
    assert denied.statement.endswith("a double descent above 0.01 is denied")
    assert denied.rise_bound is not None
    assert denied.rise_bound < 0.01
    assert denied.p_rising is not None
    assert denied.p_rising < 0.05
    valley = judge(of("valley"), 0.001, 0)
    assert "falls and then rises beyond noise" in valley.statement
    assert "a rise with a second fall after it is below" in valley.statement


def test_noise_that_hides_a_hump_gives_no_verdict() -> None:
    shape = judge(of("double descent"), 0.2, 1)
    assert shape.verdict == "cannot tell"
    assert "cannot tell: no rise is beyond noise" in shape.statement
    assert shape.hump_bound is not None
    assert shape.hump_bound > 0.1


def test_few_sizes_or_one_seed_give_no_verdict() -> None:
    errors = np.random.default_rng(0).normal(0, 0.001, (300, 2))
    few = judge_shape(np.array([1.0, 2.0]), errors, level=0.95, margin=0.01, seeds_known=True)
    assert (few.verdict, few.statement) == ("cannot tell", "cannot tell: fewer than three sizes were tried")
    assert few.greatest_rise == 1.0
    curve, errors = of("double descent"), np.zeros((300, len(X)))
    one = judge_shape(curve, errors, level=0.95, margin=0.01, seeds_known=False)
    assert one.statement == "cannot tell: one seed tells nothing of noise"
    assert one.p_valley is None


@pytest.mark.parametrize("name", ["flat", "falling", "valley"])
def test_a_second_descent_is_seldom_seen_where_there_is_none(name: str) -> None:
    """At 95 % at most one in twenty; 120 curves: at most 14 by chance in 99.9 % of all samples."""
    wrong = [judge(of(name), 0.02, seed, draws=200).verdict == "double descent" for seed in range(120)]
    assert sum(wrong) <= 14
    if name == "flat":
        rises = [
            judge(of(name), 0.02, 1000 + seed, draws=200).verdict in ("rising", "valley")
            for seed in range(120)
        ]
        assert sum(rises) <= 14


def test_a_common_error_of_all_sizes_does_not_matter() -> None:
    """An evaluation set that is easier than most moves the curve, and not its shape."""
    rng = np.random.default_rng(3)
    own = rng.normal(0, 0.001, (400, len(X)))
    common = rng.normal(0, 0.5, (400, 1))
    curve = of("double descent")
    a = judge_shape(curve, own, level=0.95, margin=0.01, seeds_known=True)
    upper = upper_differences(curve, own + common, 0.95)
    assert upper == pytest.approx(upper_differences(curve, own, 0.95), abs=1e-9)
    assert a.verdict == "double descent"


def test_bounds_of_all_pairs_hold_together() -> None:
    """The true differences lie under all bounds in about 95 % of 400 samples (three standard errors)."""
    truth, held = of("valley"), 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        seen = truth + rng.normal(0, 0.02, len(X))
        upper = upper_differences(seen, rng.normal(0, 0.02, (400, len(X))), 0.95)
        pairs = itertools.permutations(range(len(X)), 2)
        held += all(truth[j] - truth[i] <= upper[i, j] + 1e-12 for i, j in pairs)
    assert abs(held / 400 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 400)


def test_intervals_turn_errors_round() -> None:
    errors = np.linspace(0, 1, 1001)
    assert interval(5.0, errors, 0.9) == pytest.approx((4.05, 4.95))
