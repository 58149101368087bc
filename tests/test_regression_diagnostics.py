from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from imine.regression import Diagnostics, diagnose, fit_ols
from imine.regression.durbin_watson import _eigenvalues, _imhof, _normal, durbin_watson_p

# R's and statsmodels' outputs, and the scripts that made them, stand there.
ORACLES = Path(__file__).resolve().parent / "oracles"
PROBLEMS = ("indicators", "small", "spread", "weighted", "origin", "origin_weighted", "repeated")


def diagnosed(name: str) -> Diagnostics:
    frame = pl.read_csv(ORACLES / "ols_problems" / f"{name}.csv")
    X = frame.select("^x.*$")
    weights = frame["w"] if "w" in frame.columns else None
    results = fit_ols(X, frame["y"], X.columns, intercept=not name.startswith("origin"), weights=weights)
    return diagnose(results, X, frame["y"], replicates=frame["s"] if "s" in frame.columns else None)


@pytest.fixture(scope="module")
def statsmodels_says() -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = json.loads((ORACLES / "ols_statsmodels.json").read_text())[
        "problems"
    ]
    return found


@pytest.fixture(scope="module")
def r_says() -> dict[tuple[str, str], np.ndarray]:
    frame = pl.read_csv(ORACLES / "ols_r.csv", schema_overrides={"value": pl.Float64})
    found = {}
    for (problem, quantity), part in frame.group_by(["problem", "quantity"], maintain_order=True):
        shape = (part["row"].max() + 1, part["column"].max() + 1)
        found[str(problem), str(quantity)] = part.sort("row", "column")["value"].to_numpy().reshape(shape)
    return found


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize(
    ("check", "key"), [("Breusch-Pagan", "breusch_pagan"), ("White", "white"), ("Jarque-Bera", "jarque_bera")]
)
def test_statsmodels(name, check, key, statsmodels_says):
    found, theirs = diagnosed(name).check(check), statsmodels_says[name].get(key)
    if theirs is None:
        assert found.statistic is None
        assert re.search(
            r"Not defined here: \d+ runs are too few for the terms, their squares", found.meaning
        )
    else:
        np.testing.assert_allclose([found.statistic, found.p], theirs, rtol=1e-10)


def test_white_is_defined_where_there_are_runs_enough(statsmodels_says):
    assert [name for name in PROBLEMS if "white" in statsmodels_says[name]] == list(PROBLEMS)


@pytest.mark.parametrize("name", PROBLEMS)
def test_durbin_watson(name, statsmodels_says):
    found, (statistic, p) = diagnosed(name).check("Durbin-Watson"), statsmodels_says[name]["durbin_watson"]
    assert found.statistic == pytest.approx(statistic, rel=1e-10)
    assert found.p == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize("name", PROBLEMS)
def test_reset_of_r(name, r_says, statsmodels_says):
    found = diagnosed(name).check("RESET")
    np.testing.assert_allclose([found.statistic, found.p], r_says[name, "reset"][:, 0], rtol=1e-9)
    if "reset" in statsmodels_says[name]:
        np.testing.assert_allclose([found.statistic, found.p], statsmodels_says[name]["reset"], rtol=1e-7)


def test_lack_of_fit_of_r(r_says):
    found = diagnosed("repeated").check("lack of fit")
    f, p, df, df_pure = r_says["repeated", "lack_of_fit"][:, 0]
    np.testing.assert_allclose([found.statistic, found.p], [f, p], rtol=1e-10)
    assert found.df == (df, df_pure)
    assert found.meaning.startswith("The terms miss more than the noise of repeated runs")


@pytest.mark.parametrize("name", PROBLEMS)
def test_collinearity_of_r(name, r_says):
    known = diagnosed(name).collinearity
    np.testing.assert_allclose(known.condition_indices, r_says[name, "condition_indices"][:, 0], rtol=1e-10)
    np.testing.assert_allclose(known.proportions, r_says[name, "proportions"], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(known.proportions.sum(axis=0), 1.0)
    np.testing.assert_allclose(known.tolerance * known.vif, 1.0)
    if not name.startswith("origin"):
        np.testing.assert_allclose(known.correlations, r_says[name, "correlations"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("n", "p", "seed"), [(8, 2, 0), (25, 3, 1), (60, 5, 2)])
def test_durbin_watson_distribution_is_that_of_simulated_errors(n, p, seed):
    rng = np.random.default_rng(seed)
    columns = np.column_stack([np.ones(n), rng.normal(size=(n, p - 1))])
    hat = columns @ np.linalg.pinv(columns)
    errors = rng.normal(size=(20000, n))
    residuals = errors - errors @ hat
    drawn = np.sum(np.diff(residuals) ** 2, axis=1) / np.sum(residuals**2, axis=1)
    eigenvalues = _eigenvalues(np.linalg.qr(columns)[0])
    for share in (0.02, 0.3, 0.8, 0.97):
        exact = _imhof(eigenvalues - np.quantile(drawn, share))
        # Four standard errors of a share of 20,000 draws.
        assert exact == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 20000))


def test_normal_approximation_beyond_four_hundred_runs():
    rng = np.random.default_rng(3)
    columns = np.column_stack([np.ones(400), rng.normal(size=(400, 3))])
    basis = np.linalg.qr(columns)[0]
    eigenvalues = _eigenvalues(basis)
    for statistic in (1.75, 2.2):
        assert _normal(statistic, basis) == pytest.approx(_imhof(eigenvalues - statistic), abs=5e-4)
    longer = np.vstack([columns, columns[:1]])
    assert durbin_watson_p(1.8, longer) == pytest.approx(2 * _normal(1.8, np.linalg.qr(longer)[0]))


def simple(n: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal([5.0, 0.5], size=(n, 2))
    return X, 1 + X @ [0.5, -1.0] + 0.1 * rng.normal(size=n)


def test_influential_runs_are_named_by_run():
    X, y = simple()
    y[7] += 2.0
    X[11] += [30.0, 30.0]
    y[11] = 1 + X[11] @ [0.5, -1.0]
    labels = [f"subset-{i:03d}" for i in range(30)]
    found = diagnose(fit_ols(X, y, ["mtld", "reward"]), X, y, runs=labels)
    reasons = {run.run: run.reasons for run in found.influential}
    assert "outlier" in reasons["subset-007"]
    assert "leverage" in reasons["subset-011"]
    assert {run.row for run in found.influential} == {int(run.run[-3:]) for run in found.influential}
    assert "subset-007" in found.summary()


def test_a_run_that_alone_determines_a_coefficient_comes_first():
    X = np.column_stack([np.arange(8.0), [0, 0, 0, 1, 0, 0, 0, 0]])
    y = np.array([1.0, 2.0, 2.5, 9.0, 5.0, 6.0, 7.1, 7.9])
    first = diagnose(fit_ols(X, y, ["a", "flag"]), X, y).influential[0]
    assert first.row == 3
    assert "alone determines a coefficient" in first.reasons
    assert math.isnan(first.cooks_distance)


def test_no_run_stands_out():
    X, y = simple(seed=5)
    found = diagnose(fit_ols(X, y, ["a", "b"]), X, y, alpha=1e-6)
    assert [r for r in found.influential if "outlier" in r.reasons] == []


def test_near_dependence_is_named():
    X, y = simple(60)
    X = np.column_stack([X, X[:, 0] + 1e-3 * np.random.default_rng(1).normal(size=60)])
    known = diagnose(fit_ols(X, y, ["a", "b", "c"]), X, y).collinearity
    index, together = known.near_dependencies()[0]
    assert {"a", "c"} <= set(together)
    assert index == known.condition_number > 1000
    text = diagnose(fit_ols(X, y, ["a", "b", "c"]), X, y).summary()
    assert "Blurred by the other terms (VIF over 10): a, c." in text
    assert "Correlated beyond 0.9: c and a." in text


def test_spread_bend_and_drift_are_found():
    rng = np.random.default_rng(2)
    X = rng.uniform(1, 5, size=(80, 1))
    noise = rng.normal(size=80)
    spread = 1 + X[:, 0] + noise * X[:, 0] ** 2 / 10
    bend = 1 + X[:, 0] ** 2 + 0.3 * noise
    drift = 1 + X[:, 0] + np.cumsum(noise)
    for y, name, said in (
        (spread, "Breusch-Pagan", "use covariance='HC3'"),
        (spread, "White", "use covariance='HC3'"),
        (bend, "RESET", "not a straight line"),
        (drift, "Durbin-Watson", "Neighbouring runs err alike"),
        (1 + X[:, 0] + noise**3, "Jarque-Bera", "not normal"),
    ):
        check = diagnose(fit_ols(X, y, ["x"]), X, y).check(name)
        assert check.p < 0.01
        assert said in check.meaning


def meaning(name: str, X: np.ndarray, y: np.ndarray, **options: object) -> str:
    names = [f"x{i}" for i in range(X.shape[1])]
    check = diagnose(fit_ols(X, y, names), X, y, **options).check(name)
    assert check.statistic is None
    assert check.p is None
    assert not check.defined
    return check.meaning


@pytest.mark.parametrize("name", ["Breusch-Pagan", "White", "Jarque-Bera", "Durbin-Watson", "RESET"])
def test_an_exact_fit_has_no_errors_to_test(name):
    X = np.arange(12.0)[:, None]
    assert "the fit is exact" in meaning(name, X, 2.0 * X[:, 0] + 1.0)


def test_tests_that_are_not_defined_say_why():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8, 4)), rng.normal(size=8)
    assert "8 runs are too few for the terms, their squares and products (14 columns" in meaning(
        "White", X, y
    )
    assert "no labels of repeated runs" in meaning("lack of fit", X, y)
    assert "no subset was run more than once" in meaning("lack of fit", X, y, replicates=range(8))
    assert "the runs of 'a' are not repeats" in meaning(
        "lack of fit", X, y, replicates=["a"] * 2 + [None] * 6
    )
    assert "too few runs" in meaning("RESET", X[:7], y[:7])
    few = np.repeat(X[:3, :2], 3, axis=0)
    same = np.repeat(np.arange(3), 3)
    noisy = rng.normal(size=9)
    assert "cannot miss any" in meaning("lack of fit", few, noisy, replicates=same)
    more = np.repeat(X[:5, :1], 2, axis=0)
    assert "no pure error" in meaning(
        "lack of fit", more, np.repeat(y[:5], 2), replicates=np.repeat(range(5), 2)
    )
    assert "one label" in meaning("lack of fit", more, rng.normal(size=10), replicates=[0, 0, *range(1, 9)])
    flag = np.repeat([0.0, 1.0], 6)[:, None]
    assert "combinations of the terms" in meaning("RESET", flag, rng.normal(size=12))


def test_lack_of_fit_under_weights_is_the_comparison_of_two_fits():
    rng = np.random.default_rng(4)
    x = np.repeat(rng.normal(size=6), 3)
    y, w = x**2 + rng.normal(size=18), rng.uniform(0.5, 2.0, size=18)
    labels = np.repeat(np.arange(6), 3)
    line = fit_ols(x[:, None], y, ["x"], weights=w)
    every = fit_ols(np.eye(6)[labels], y, list("abcdef"), intercept=False, weights=w)
    f = ((line.sigma**2 * 16 - every.sigma**2 * 12) / 4) / every.sigma**2
    found = diagnose(line, x[:, None], y, replicates=labels).check("lack of fit")
    assert found.statistic == pytest.approx(f, rel=1e-10)


def test_squares_of_flags_add_nothing_to_white():
    rng = np.random.default_rng(7)
    X = np.column_stack([rng.normal(size=50), rng.integers(0, 2, size=50)])
    y = rng.normal(size=50)
    assert diagnose(fit_ols(X, y, ["x", "flag"]), X, y).check("White").df == (4,)


def test_wrong_arguments():
    X, y = simple()
    results = fit_ols(X, y, ["a", "b"])
    with pytest.raises(ValueError, match="X and y must be those of the fit"):
        diagnose(results, X[:-1], y)
    with pytest.raises(ValueError, match="X is not that of the fit: it differs in row 0"):
        diagnose(results, X[::-1], y)
    with pytest.raises(ValueError, match="y is not that of the fit: it differs in row 3"):
        diagnose(results, X, np.where(np.arange(30) == 3, 0.0, y))
    with pytest.raises(ValueError, match="runs must hold one label a run, 30; got 2"):
        diagnose(results, X, y, runs=["a", "b"])
    with pytest.raises(ValueError, match="replicates must hold one label a run, 30; got 1"):
        diagnose(results, X, y, replicates=["a"])
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        diagnose(results, X, y, alpha=5)
    with pytest.raises(ValueError, match="name must be one of Breusch-Pagan, White"):
        diagnose(results, X, y).check("Goldfeld-Quandt")


@pytest.mark.parametrize("format", ["text", "markdown", "html"])
def test_summary_formats(format):
    X, y = simple()
    y[4] += 9.0
    found = diagnose(fit_ols(X, y, ["a<b", "c|d"]), X, y, runs=[f"<run {i}>" for i in range(30)])
    shown = found.summary(format)
    for check in found.checks:
        assert check.name in shown.replace("\\", "")
    assert ("<run 4>" in shown) == (format == "text")
    assert ("&lt;run 4&gt;" in shown) == (format == "html")
