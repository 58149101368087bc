import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from imine.errors import RegressionError
from imine.regression import fit_ols

# NIST StRD (https://www.itl.nist.gov/div898/strd/): certified estimates and standard deviations of estimates.
NORRIS = {
    "params": [-0.262323073774029, 1.00211681802045],
    "std_errors": [0.232818234301152, 0.429796848199937e-3],
    "sigma": 0.884796396144373,
    "r2": 0.999993745883712,
}
LONGLEY = {
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
}
NOINT1 = {"params": [2.07438016528926], "std_errors": [0.165289256198347e-1], "sigma": 3.56753034006338}
PONTIUS = {
    "params": [0.673565789473684e-3, 0.732059160401003e-6, -0.316081871345029e-14],
    "std_errors": [0.107938612033077e-3, 0.157817399981659e-9, 0.486652849992036e-16],
}
WAMPLER_STD_ERRORS = {
    3: [
        2152.32624678170,
        2363.55173469681,
        779.343524331583,
        101.475507550350,
        5.64566512170752,
        0.112324854679312,
    ],
}


@pytest.fixture(scope="module")
def nist() -> Path:
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "nist"
    if not folder.is_dir():
        pytest.skip("the NIST StRD files are not beside this checkout")
    return folder


def load(folder: Path, name: str, degree: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rows = np.loadtxt(folder / f"{name}.csv", delimiter=",", skiprows=1)
    y, X = rows[:, 0], rows[:, 1:]
    return (np.column_stack([X[:, 0] ** d for d in range(1, degree + 1)]) if degree else X), y


def fit(X: np.ndarray, y: np.ndarray, intercept: bool = True):
    return fit_ols(X, y, [f"x{i + 1}" for i in range(X.shape[1])], intercept=intercept)


def exact(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slow twin: the normal equations solved in rational numbers; intercept first."""
    rows = [[Fraction(1), *map(Fraction, row)] for row in X.tolist()]
    target = [Fraction(v) for v in y.tolist()]
    k = len(rows[0])
    work = [
        [sum(r[i] * r[j] for r in rows) for j in range(k)]
        + [Fraction(int(i == j)) for j in range(k)]
        + [sum(r[i] * t for r, t in zip(rows, target, strict=True))]
        for i in range(k)
    ]
    for i in range(k):
        pivot = next(r for r in range(i, k) if work[r][i])
        work[i], work[pivot] = work[pivot], work[i]
        work[i] = [v / work[i][i] for v in work[i]]
        for r in range(k):
            if r != i and work[r][i]:
                factor = work[r][i]
                work[r] = [a - factor * b for a, b in zip(work[r], work[i], strict=True)]
    params = [row[-1] for row in work]
    errors = [
        t - sum(p * v for p, v in zip(params, row, strict=True)) for row, t in zip(rows, target, strict=True)
    ]
    variance = sum(e * e for e in errors) / (len(rows) - k)
    return (
        np.array([float(p) for p in params]),
        np.sqrt([float(variance * work[i][k + i]) for i in range(k)]),
    )


@pytest.mark.parametrize(
    ("name", "degree", "intercept", "certified"),
    [("norris", 0, True, NORRIS), ("longley", 0, True, LONGLEY), ("noint1", 0, False, NOINT1)],
)
def test_nist_certified(nist, name, degree, intercept, certified):
    results = fit(*load(nist, name, degree), intercept=intercept)
    for field, values in certified.items():
        np.testing.assert_allclose(getattr(results, field), values, rtol=1e-11, err_msg=field)


def test_nist_pontius(nist):
    results = fit(*load(nist, "pontius", 2))
    np.testing.assert_allclose(results.params, PONTIUS["params"], rtol=1e-10)
    np.testing.assert_allclose(results.std_errors, PONTIUS["std_errors"], rtol=1e-11)


# Measured 5e-10, 1e-13, 2e-10, 1e-8, 1e-6: the noise of Wampler4 and 5 is 1e2 and 1e4 times that of Wampler3
# while the parameters stay 1, so what is lost is lost against standard errors of up to 2e7.
@pytest.mark.parametrize(("number", "rtol"), [(1, 1e-8), (2, 1e-9), (3, 1e-8), (4, 1e-6), (5, 1e-4)])
def test_nist_wampler(nist, number, rtol):
    results = fit(*load(nist, f"wampler{number}", 5))
    expected = [1.0] * 6 if number != 2 else [10.0**-d for d in range(6)]
    np.testing.assert_allclose(results.params, expected, rtol=rtol)
    if number <= 2:
        assert results.std_errors.max() < 1e-8
        assert results.r2 == pytest.approx(1.0, abs=1e-14)
    else:
        scaled = np.array(WAMPLER_STD_ERRORS[3]) * 100.0 ** (number - 3)
        np.testing.assert_allclose(results.std_errors, scaled, rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "degree", "rtol"),
    [("norris", 0, 1e-12), ("longley", 0, 1e-12), ("pontius", 2, 1e-11), ("filip", 10, 1e-5)],
)
def test_nist_against_rationals(nist, name, degree, rtol):
    X, y = load(nist, name, degree)
    params, std_errors = exact(X, y)
    results = fit(X, y)
    np.testing.assert_allclose(results.params, params, rtol=rtol)
    np.testing.assert_allclose(results.std_errors, std_errors, rtol=rtol)


@pytest.fixture(params=[(20, 1, 0), (40, 4, 1), (129, 9, 2), (12, 8, 3)], ids=str)
def problem(request) -> tuple[np.ndarray, np.ndarray]:
    n, k, seed = request.param
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) + rng.normal(size=k)
    X *= 10.0 ** rng.integers(-3, 4, size=k)
    return X, X @ rng.normal(size=k) + rng.normal(size=n) + 2.0


@pytest.mark.parametrize("intercept", [True, False])
def test_statsmodels(problem, intercept):
    sm = pytest.importorskip("statsmodels.api")
    X, y = problem
    ours = fit(X, y, intercept)
    theirs = sm.OLS(y, sm.add_constant(X) if intercept else X).fit(method="qr")
    influence = theirs.get_influence()
    pairs = {
        "params": theirs.params,
        "std_errors": theirs.bse,
        "t": theirs.tvalues,
        "p": theirs.pvalues,
        "covariance": theirs.cov_params(),
        "r2": theirs.rsquared,
        "adjusted_r2": theirs.rsquared_adj,
        "f": theirs.fvalue,
        "f_p": theirs.f_pvalue,
        "log_likelihood": theirs.llf,
        "leverage": influence.hat_matrix_diag,
        "fitted": theirs.fittedvalues,
        "press": influence.ess_press,
    }
    for field, expected in pairs.items():
        np.testing.assert_allclose(getattr(ours, field), expected, rtol=1e-9, err_msg=field)
    np.testing.assert_allclose(ours.residuals, theirs.resid, atol=1e-9 * np.abs(y).max())
    np.testing.assert_allclose(ours.conf_int(0.9), theirs.conf_int(0.1), rtol=1e-8)
    # The error variance counts as a parameter here, as in R, and not in statsmodels.
    assert ours.aic == pytest.approx(theirs.aic + 2, rel=1e-9)
    assert ours.bic == pytest.approx(theirs.bic + math.log(len(y)), rel=1e-9)


def test_statsmodels_predictions(problem):
    sm = pytest.importorskip("statsmodels.api")
    X, y = problem
    frame = (
        sm.OLS(y, sm.add_constant(X)).fit(method="qr").get_prediction(sm.add_constant(X)).summary_frame(0.05)
    )
    for interval, prefix in (("mean", "mean_ci"), ("observation", "obs_ci")):
        ours = fit(X, y).predict(X, interval=interval)
        np.testing.assert_allclose(ours.low, frame[f"{prefix}_lower"], rtol=1e-8)
        np.testing.assert_allclose(ours.high, frame[f"{prefix}_upper"], rtol=1e-8)


def test_variance_inflation(problem):
    X, y = problem
    expected = []
    for j in range(X.shape[1]):
        others = np.delete(X, j, axis=1)
        expected.append(1.0 / (1.0 - fit(others, X[:, j]).r2) if others.shape[1] else 1.0)
    np.testing.assert_allclose(fit(X, y).vif, expected, rtol=1e-8)


@pytest.mark.parametrize("intercept", [True, False])
def test_press_is_literal_leave_one_out(problem, intercept):
    X, y = problem
    errors = []
    for i in range(len(y)):
        others = np.arange(len(y)) != i
        if not others.sum() > X.shape[1] + intercept:
            pytest.skip("too few runs to leave one out")
        errors.append(y[i] - fit(X[others], y[others], intercept).predict(X[i]).mean[0])
    results = fit(X, y, intercept)
    np.testing.assert_allclose(results.loo_residuals, errors, rtol=1e-7)
    sst = np.sum((y - (y.mean() if intercept else 0.0)) ** 2)
    assert results.press_r2 == pytest.approx(1 - np.sum(np.square(errors)) / sst, rel=1e-9)


def test_badly_scaled_columns():
    rng = np.random.default_rng(5)
    base = rng.normal(size=(60, 2))
    X = np.column_stack([1e4 + 30.0 * base[:, 0], 0.5 + 1e-3 * base[:, 1]])
    y = 0.4 + 1e-5 * X[:, 0] - 2.0 * X[:, 1] + 0.01 * rng.normal(size=60)
    params, std_errors = exact(X, y)
    np.testing.assert_allclose(fit(X, y).params, params, rtol=1e-11)
    np.testing.assert_allclose(fit(X, y).std_errors, std_errors, rtol=1e-11)


def test_aicc_is_undefined_for_too_few_runs():
    X = np.arange(4.0)[:, None]
    assert math.isnan(fit(X, [0.0, 1.0, 0.5, 2.0]).aicc)
    assert fit(np.arange(6.0)[:, None], [0.0, 1.0, 0.5, 2.0, 2.0, 2.2]).aicc > 0


def test_leverage_one_has_no_leave_one_out():
    X = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 1.0], [4.0, 0.0]])
    results = fit(X, [1.0, 2.0, 2.5, 9.0, 5.0])
    assert results.leverage[3] == pytest.approx(1.0)
    assert np.isnan(results.loo_residuals).tolist() == [False, False, False, True, False]
    assert math.isnan(results.press_r2)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_dependent_columns_are_named(offset):
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 30)) + offset
    X = np.column_stack([a, b, c, 2 * a - b])
    with pytest.raises(RegressionError, match=r"'(a|b|d)' is a combination of \['(a|b)', '(b|d)'\]"):
        fit_ols(X, rng.normal(size=30), ["a", "b", "c", "d"])


def test_copied_column_is_named():
    a = np.arange(6.0)
    with pytest.raises(RegressionError, match=r"'(a|twin)' is a combination of \['(a|twin)'\]"):
        fit_ols(np.column_stack([a, a]), a**2, ["a", "twin"])


@pytest.mark.parametrize("value", [0.0, 0.1, 12345.6])
def test_constant_column_is_named(value):
    X = np.column_stack([np.arange(6.0), np.full(6, value)])
    with pytest.raises(RegressionError, match="constant in all runs: still"):
        fit_ols(X, np.arange(6.0) ** 2, ["moves", "still"])


def test_too_few_runs():
    with pytest.raises(
        RegressionError, match=r"2 runs are too few for 2 parameters \(intercept, x\): at least 3"
    ):
        fit_ols([[1.0], [2.0]], [1.0, 2.0], ["x"])


def test_non_finite_values_are_placed():
    X = [[1.0], [math.nan], [3.0], [4.0]]
    with pytest.raises(RegressionError, match="run 1, column 'x'; run 3, y"):
        fit_ols(X, [1.0, 2.0, 3.0, math.inf], ["x"])


@pytest.mark.parametrize("unit", [1e-160, 1e-300])
def test_values_too_small_to_be_squared_are_named(unit):
    X = np.column_stack([np.arange(6.0), np.arange(6.0) ** 2 * unit])
    with pytest.raises(RegressionError, match=r"too small to be squared in double precision: small \("):
        fit_ols(X, np.arange(6.0) ** 3, ["moves", "small"])


@pytest.mark.parametrize("value", [1e160, 1.7e308])
def test_values_too_large_are_placed(value):
    with pytest.raises(RegressionError, match=r"not below 1e\+145: run 3, column 'x'"):
        fit_ols([[1.0], [2.0], [3.0], [value]], [1.0, 2.0, 3.0, 4.0], ["x"])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("unit", [1e-140, 1e140])
def test_units_change_nothing_but_the_unit(unit):
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(12, 2)), rng.normal(size=12)
    plain, scaled = fit_ols(X, y, ["a", "b"]), fit_ols(X * [1.0, unit], y, ["a", "b"])
    np.testing.assert_allclose(scaled.params * [1.0, 1.0, unit], plain.params, rtol=1e-12)
    np.testing.assert_allclose(scaled.t, plain.t, rtol=1e-12)
    np.testing.assert_allclose(scaled.vif, plain.vif, rtol=1e-12)


def test_arguments_that_do_not_fit():
    with pytest.raises(ValueError, match=r"X must have shape \(runs, terms\) and y \(runs,\)"):
        fit_ols([[1.0], [2.0]], [1.0], ["x"])
    with pytest.raises(ValueError, match="must name each of the 1 columns"):
        fit_ols([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0], ["x", "y"])
    with pytest.raises(ValueError, match="names must differ"):
        fit_ols([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0], ["intercept"])
    results = fit_ols([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.5], ["x"])
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        results.conf_int(95)
    with pytest.raises(ValueError, match="interval must be"):
        results.predict([[1.0]], interval="both")
    with pytest.raises(ValueError, match="X must have 1 columns"):
        results.predict([[1.0, 2.0]])


def test_results_cannot_be_changed():
    results = fit_ols([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.5], ["x"])
    with pytest.raises(ValueError, match="read-only"):
        results.params[0] = 3.0
