import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2, nct
from scipy.stats import t as student

from imine.errors import RegressionError
from imine.regression import fit_ols
from imine.regression.planning import Pilot, _fit_noise, power_curve, runs_needed

# Terms in units ten orders apart, as perplexities and distances are.
SCALE = np.array([1.0, 1e6, 1e-4])
CORRELATION = np.array([[1.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 1.0]])
PILOT = Pilot(("x", "y", "z"), CORRELATION * np.outer(SCALE, SCALE), np.array([0.1, 2e-8, 300.0]), sigma=0.4)


def exact(n: int, spread: float, effect: float, level: float = 0.95) -> tuple[float, float]:
    """Power and median width for the first term; normal terms make ``1 / (X'X)^-1`` a scaled chi-square, n - k df."""
    k = 3
    left = spread**2 / np.linalg.inv(PILOT.covariance)[0, 0]
    df = n - k - 1
    quantile = student.isf((1 - level) / 2, df)

    def given(c: float) -> float:
        shift = effect * math.sqrt(left * c) / PILOT.sigma
        return (nct.sf(quantile, df, shift) + nct.cdf(-quantile, df, shift)) * chi2.pdf(c, n - k)

    power = quad(given, *chi2.ppf([1e-10, 1 - 1e-10], n - k), limit=200)[0]
    # Width is 2 q sigma sqrt(chi2_df / df / (left chi2_{n-k})): a square root of an F ratio.
    from scipy.stats import f as fisher

    ratio = fisher.median(df, n - k) / (n - k)
    return power, 2 * quantile * PILOT.sigma * math.sqrt(ratio / left)


@pytest.mark.parametrize("n", [12, 60])
@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_simulation_against_the_exact_distribution(n: int, spread: float) -> None:
    plan = power_curve(PILOT, "x", [n], spreads=[spread], repetitions=4000)[0]
    power, width = exact(n, spread, 0.1)
    assert abs(plan.power - power) < 4 * math.sqrt(power * (1 - power) / 4000)
    assert plan.width == pytest.approx(width, rel=0.03)
    assert plan.width < plan.width_high


def test_no_effect_is_found_at_the_level() -> None:
    plan = power_curve(PILOT, "z", [20], effect=0.0, level=0.9, repetitions=4000)[0]
    assert abs(plan.power - 0.1) < 4 * math.sqrt(0.09 / 4000)


def test_batched_fit_is_ols() -> None:
    rng = np.random.default_rng(0)
    X, noise = rng.normal(size=(3, 15, 4)), rng.normal(size=(3, 15))
    slopes, errors = _fit_noise(X, noise, 2)
    for i in range(3):
        plain = fit_ols(X[i], noise[i], list("abcd"))
        assert slopes[i] == pytest.approx(plain.params[3], rel=1e-9)
        assert errors[i] == pytest.approx(plain.std_errors[3], rel=1e-9)


def test_curve_has_every_size_and_spread() -> None:
    plans = power_curve(PILOT, "x", [20, 80], spreads=[0.5, 1.0], repetitions=300)
    assert [(p.spread, p.runs) for p in plans] == [(0.5, 20), (0.5, 80), (1.0, 20), (1.0, 80)]
    assert plans[0].width == pytest.approx(2 * plans[2].width)
    assert plans[0].power < plans[3].power


def test_runs_needed_is_the_smallest() -> None:
    for wanted in ({"width": 0.2}, {"power": 0.8}):
        plan = runs_needed(PILOT, "x", repetitions=400, **wanted)
        before = power_curve(PILOT, "x", [plan.runs - 1], repetitions=400)[0]
        if "width" in wanted:
            assert plan.width <= 0.2 < before.width
        else:
            assert plan.power >= 0.8 > before.power
        assert exact(plan.runs, 1.0, 0.1)[0] == pytest.approx(plan.power, abs=0.08)


def test_assurance_costs_runs_and_spread_saves_them() -> None:
    plain, sure, wide = (
        runs_needed(PILOT, "x", width=0.2, repetitions=400, **more).runs
        for more in ({}, {"assurance": 0.9}, {"spread": 2.0})
    )
    assert wide < plain < sure


def test_pilot_from_runs() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(25, 2))
    y = X @ [1.0, 2.0] + rng.normal(size=25)
    pilot, results = Pilot.from_runs(X, y, ["a", "b"]), fit_ols(X, y, ["a", "b"])
    np.testing.assert_array_equal(pilot.coefficients, results.params[1:])
    np.testing.assert_allclose(pilot.covariance, np.cov(X.T))
    assert (pilot.sigma, pilot.df_sigma) == (results.sigma, 22.0)


def test_cautious_sigma_is_above_the_truth_as_often_as_it_says() -> None:
    draws = np.sqrt(chi2.rvs(10, size=4000, random_state=0) / 10)
    above = [Pilot(("x",), np.eye(1), np.ones(1), s, 10.0).cautious(0.8).sigma > 1.0 for s in draws]
    assert np.mean(above) == pytest.approx(0.8, abs=0.03)
    assert PILOT.cautious() is PILOT


def test_seeded() -> None:
    one, same, other = (power_curve(PILOT, "x", [30], seed=s, repetitions=200)[0] for s in (1, 1, 2))
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: power_curve(PILOT, "w", [30]), "term must be one of x, y, z"),
        (lambda: power_curve(PILOT, "x", [4]), "runs must be at least 5"),
        (lambda: power_curve(PILOT, "x", [30], spreads=[0.0]), "spreads must be positive"),
        (lambda: power_curve(PILOT, "x", [30], level=1.0), "level must lie"),
        (lambda: runs_needed(PILOT, "x"), "width or power"),
        (lambda: runs_needed(PILOT, "x", width=-1.0), "width must be positive"),
        (lambda: runs_needed(PILOT, "x", power=1.0), "power must lie"),
        (lambda: Pilot(("x",), np.eye(2), np.ones(1), 1.0), "covariance must have shape"),
        (lambda: Pilot(("x", "y"), np.ones((2, 2)), np.ones(2), 1.0), "positive definite"),
        (lambda: Pilot(("x",), np.eye(1), np.ones(1), 0.0), "sigma and df_sigma"),
        (lambda: Pilot(("x",), np.eye(1), np.ones(1), 1.0, 5.0).cautious(1.0), "confidence must lie"),
    ],
)
def test_arguments_that_make_no_sense(work, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        work()


def test_out_of_reach_says_what_to_do() -> None:
    with pytest.raises(RegressionError, match="not reached with 50 runs; spread the subsets more"):
        runs_needed(PILOT, "x", width=1e-3, max_runs=50, repetitions=50)
