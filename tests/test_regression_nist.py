"""NIST StRD: correctly rounded estimates, held to rational solutions and to the certified values."""

from __future__ import annotations

import numpy as np
import pytest

from imine.regression import OlsResults, fit_ols
from tests import naive_least_squares, nist_data

# https://www.itl.nist.gov/div898/strd/: certified estimates and standard deviations of estimates, of the decimal
# numbers in the files and of their exact powers; float64 powers of them have solutions that differ.
CERTIFIED = {
    "norris": {
        "params": [-0.262323073774029, 1.00211681802045],
        "std_errors": [0.232818234301152, 0.429796848199937e-3],
        "sigma": 0.884796396144373,
        "r2": 0.999993745883712,
    },
    "longley": {
        "params": [
            -3482258.63459582,
            15.0618722713733,
            -0.358191792925910e-1,
            -2.02022980381683,
            -1.03322686717359,
            -0.511041056535807e-1,
            1829.15146461355,
        ],
        "std_errors": [
            890420.383607373,
            84.9149257747669,
            0.334910077722432e-1,
            0.488399681651699,
            0.214274163161675,
            0.226073200069370,
            455.478499142212,
        ],
        "sigma": 304.854073561965,
        "r2": 0.995479004577296,
    },
    "noint1": {
        "params": [2.07438016528926],
        "std_errors": [0.165289256198347e-1],
        "sigma": 3.56753034006338,
    },
    "pontius": {
        "params": [0.673565789473684e-3, 0.732059160401003e-6, -0.316081871345029e-14],
        "std_errors": [0.107938612033077e-3, 0.157817399981659e-9, 0.486652849992036e-16],
    },
}
WAMPLER_STD_ERRORS = np.array(
    [
        2152.32624678170,
        2363.55173469681,
        779.343524331583,
        101.475507550350,
        5.64566512170752,
        0.112324854679312,
    ]
)


def fit(problem: nist_data.Nist) -> OlsResults:
    names = [f"x{i + 1}" for i in range(problem.X.shape[1])]
    return fit_ols(problem.X, problem.y, names, intercept=problem.intercept)


@pytest.mark.parametrize("name", nist_data.NAMES)
def test_estimates_are_the_nearest_float64(name: str) -> None:
    problem = nist_data.load(name)
    results = fit(problem)
    exact = naive_least_squares.solve(problem.X, problem.y, problem.intercept)
    assert nist_data.digits(results.params, exact.params) >= 13
    assert nist_data.digits(results.std_errors, exact.std_errors) >= 13
    np.testing.assert_array_equal(results.params, naive_least_squares.nearest(exact.params))
    np.testing.assert_array_equal(results.std_errors, naive_least_squares.nearest(exact.std_errors))
    assert results.sigma == float(naive_least_squares.root(exact.variance))


@pytest.mark.parametrize("name", nist_data.NAMES)
def test_residuals_of_the_exact_solution(name: str) -> None:
    problem = nist_data.load(name)
    exact = naive_least_squares.solve(problem.X, problem.y, problem.intercept)
    scale = np.abs(problem.y).max()
    expected = naive_least_squares.nearest(exact.residuals)
    np.testing.assert_allclose(fit(problem).residuals, expected, rtol=1e-12, atol=1e-20 * scale)


@pytest.mark.parametrize("name", CERTIFIED)
def test_certified_values(name: str) -> None:
    results = fit(nist_data.load(name))
    for field, values in CERTIFIED[name].items():
        np.testing.assert_allclose(getattr(results, field), values, rtol=5e-14, err_msg=field)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_certified_values_of_wampler(number: int) -> None:
    results = fit(nist_data.load(f"wampler{number}"))
    expected = [1.0] * 6 if number != 2 else [10.0**-d for d in range(6)]
    # Wampler2's decimals are not float64, so its solution is not the certified one; the others' numbers are whole.
    np.testing.assert_allclose(results.params, expected, rtol=1e-13 if number == 2 else 0)
    if number >= 3:
        np.testing.assert_allclose(results.std_errors, WAMPLER_STD_ERRORS * 100.0 ** (number - 3), rtol=1e-14)


def test_exact_fit_has_errors_of_exactly_zero() -> None:
    results = fit(nist_data.load("wampler1"))
    assert results.std_errors.tolist() == [0.0] * 6
    assert results.residuals.tolist() == [0.0] * 21
    assert (results.sigma, results.r2, results.press, results.press_r2) == (0.0, 1.0, 0.0, 1.0)
    assert np.isposinf(results.t).all()
    assert results.p.tolist() == [0.0] * 6
    assert np.isposinf(results.f)
    assert results.f_p == 0.0
    assert np.isnan(results.studentised_internal).all()
    assert "inf" in results.summary()


def test_digits_measure() -> None:
    from fractions import Fraction

    assert nist_data.digits(np.array([0.0, 1.0]), [Fraction(0), Fraction(1)]) == np.inf
    assert nist_data.digits(np.array([1e-9]), [Fraction(0)]) == pytest.approx(9)
    assert nist_data.digits(np.array([1.0, 2.002]), [Fraction(1), Fraction(2)]) == pytest.approx(3)
    assert nist_data.digits(np.array([np.nan]), [Fraction(2)]) == -np.inf
