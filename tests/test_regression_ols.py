import math

import numpy as np
import pytest

from imine.errors import RegressionError
from imine.regression import fit_ols
from tests import naive_least_squares


def fit(X: np.ndarray, y: np.ndarray, intercept: bool = True):
    return fit_ols(X, y, [f"x{i + 1}" for i in range(X.shape[1])], intercept=intercept)


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
    exact = naive_least_squares.solve(X, y)
    np.testing.assert_array_equal(fit(X, y).params, naive_least_squares.nearest(exact.params))
    np.testing.assert_array_equal(fit(X, y).std_errors, naive_least_squares.nearest(exact.std_errors))


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
    np.testing.assert_allclose(scaled.studentised_external, plain.studentised_external, rtol=1e-12)
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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1e140])
def test_units_of_the_target_change_nothing_but_the_unit(unit):
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(12, 2)), rng.normal(size=12)
    plain, scaled = fit_ols(X, y, ["a", "b"]), fit_ols(X, y * unit, ["a", "b"])
    for field in ("params", "std_errors", "sigma", "residuals", "loo_residuals"):
        np.testing.assert_allclose(np.divide(getattr(scaled, field), unit), getattr(plain, field), rtol=1e-12)
    for field in (
        "t",
        "p",
        "r2",
        "adjusted_r2",
        "f",
        "f_p",
        "press_r2",
        "cooks_distance",
        "dffits",
        "leverage",
    ):
        np.testing.assert_allclose(getattr(scaled, field), getattr(plain, field), rtol=1e-12)
    assert scaled.log_likelihood == pytest.approx(plain.log_likelihood - 12 * math.log(unit), rel=1e-12)


@pytest.mark.parametrize("value", [0.1, 0.7, 1 / 3, 1e8 / 7])
@pytest.mark.parametrize("n", [6, 7, 11])
def test_a_target_that_does_not_vary(value, n):
    X = np.arange(float(n))[:, None]
    results = fit(X, np.full(n, value))
    assert results.params.tolist() == [value, 0.0]
    assert results.std_errors.tolist() == [0.0, 0.0]
    assert math.isnan(results.r2)
    assert math.isnan(results.f)
    assert np.isnan(results.t).tolist() == [False, True]


def test_no_terms_is_the_mean():
    y = np.array([1.0, 2.0, 6.0])
    results = fit_ols(np.empty((3, 0)), y, [])
    assert results.params.tolist() == [3.0]
    assert results.std_errors[0] == pytest.approx(np.std(y, ddof=1) / math.sqrt(3))
    assert math.isnan(results.f)
    assert results.predict(np.empty((2, 0))).mean.tolist() == [3.0, 3.0]


def test_a_far_run_is_not_taken_for_one_that_alone_determines_a_coefficient():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 1))
    y = X[:, 0] + rng.normal(size=40)
    X[0] = 1e7
    results = fit(X, y)
    others = fit(X[1:], y[1:])
    assert results.loo_residuals[0] == pytest.approx(y[0] - others.predict(X[0]).mean[0], rel=1e-9)


@pytest.mark.parametrize("intercept", [True, False])
def test_weights_that_are_counts_repeat_the_rows(intercept):
    rng = np.random.default_rng(9)
    X, y, counts = rng.normal(size=(20, 2)), rng.normal(size=20), rng.integers(1, 4, size=20)
    weighted = fit_ols(X, y, ["a", "b"], intercept=intercept, weights=counts)
    rows = np.repeat(np.arange(20), counts)
    repeated = fit_ols(X[rows], y[rows], ["a", "b"], intercept=intercept)
    np.testing.assert_array_equal(weighted.params, repeated.params)
    assert weighted.r2 == pytest.approx(repeated.r2, rel=1e-14)
    # Counts are not inverse variances: the degrees of freedom differ, and with them sigma.
    assert weighted.sigma**2 * weighted.df_resid == pytest.approx(
        repeated.sigma**2 * repeated.df_resid, rel=1e-14
    )


@pytest.mark.parametrize("factor", [3.0, 1e-120, 1e120])
def test_a_common_factor_of_the_weights_is_only_that_of_sigma(factor):
    rng = np.random.default_rng(9)
    X, y, w = rng.normal(size=(20, 2)), rng.normal(size=20), rng.uniform(0.5, 2.0, size=20)
    one, other = (fit_ols(X, y, ["a", "b"], weights=v) for v in (w, w * factor))
    for field in (
        "params",
        "std_errors",
        "r2",
        "press_r2",
        "leverage",
        "cooks_distance",
        "log_likelihood",
        "vif",
    ):
        np.testing.assert_allclose(getattr(other, field), getattr(one, field), rtol=1e-13)
    assert other.sigma == pytest.approx(one.sigma * math.sqrt(factor), rel=1e-14)
    np.testing.assert_allclose(other.studentised_external, one.studentised_external, rtol=1e-12)


def test_predictions_of_runs_of_another_weight():
    rng = np.random.default_rng(9)
    X, y, w = rng.normal(size=(20, 2)), rng.normal(size=20), rng.uniform(0.5, 2.0, size=20)
    results = fit_ols(X, y, ["a", "b"], weights=w)
    mean = results.predict(X[:2], "mean").std_error
    light, heavy = (results.predict(X[:2], "observation", weights=v).std_error for v in ([1.0, 1.0], 4.0))
    np.testing.assert_allclose(light**2 - mean**2, results.sigma**2)
    np.testing.assert_allclose(heavy**2 - mean**2, results.sigma**2 / 4)
    with pytest.raises(ValueError, match="weights must be positive, one or 2 of them"):
        results.predict(X[:2], "observation", weights=[1.0, 0.0])


def test_wrong_weights_and_groups():
    X, y = [[1.0], [2.0], [4.0], [5.0]], [1.0, 2.0, 3.5, 5.0]
    with pytest.raises(ValueError, match=r"weights must have shape \(4,\), one a run; got \(3,\)"):
        fit_ols(X, y, ["x"], weights=[1, 2, 3])
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(RegressionError, match=r"weights must be positive and finite .* in run 2"):
            fit_ols(X, y, ["x"], weights=[1, 2, bad, 1])
    with pytest.raises(ValueError, match="covariance must be one of classical, HC0"):
        fit_ols(X, y, ["x"], covariance="HC4")
    for options in ({"covariance": "cluster"}, {"groups": [1, 1, 2, 2]}):
        with pytest.raises(
            ValueError, match="groups must be given with covariance='cluster', and only with it"
        ):
            fit_ols(X, y, ["x"], **options)
    with pytest.raises(ValueError, match="groups must hold one label a run, 4; got 2"):
        fit_ols(X, y, ["x"], covariance="cluster", groups=[1, 2])
    with pytest.raises(RegressionError, match="at least two of them; all runs are in one"):
        fit_ols(X, y, ["x"], covariance="cluster", groups=[1, 1, 1, 1])
    with pytest.raises(RegressionError, match="runs without a group: 3"):
        fit_ols(X, y, ["x"], covariance="cluster", groups=["a", "b", "a", None])


@pytest.mark.parametrize("kind", ["HC2", "HC3"])
def test_leverage_one_has_no_such_covariance(kind):
    X = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 1.0], [4.0, 0.0]])
    y = [1.0, 2.0, 2.5, 9.0, 5.0]
    with pytest.raises(RegressionError, match=rf"{kind} is not defined: .*leverage 1\): 3\. Use HC1"):
        fit_ols(X, y, ["a", "b"], covariance=kind)
    assert np.isfinite(fit_ols(X, y, ["a", "b"], covariance="HC1").std_errors).all()


def test_fewer_groups_than_terms_have_no_joint_test():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    results = fit_ols(X, y, list("abc"), covariance="cluster", groups=np.repeat([0, 1], 10))
    assert math.isnan(results.f)
    assert math.isnan(results.f_p)
    assert results.df_inference == 1
