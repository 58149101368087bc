"""Least squares held to stored results of R and statsmodels: tests/oracles/ols_r.R, ols_statsmodels.py."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from imine.regression import OlsResults, fit_ols

ORACLES = Path(__file__).resolve().parent / "oracles"
PROBLEMS = ("indicators", "small", "spread", "weighted", "origin", "origin_weighted", "repeated")
OURS = (
    "params", "std_errors", "t", "p", "covariance", "sigma", "r2", "adjusted_r2", "f", "f_p", "log_likelihood",
    "residuals", "fitted", "leverage", "cooks_distance", "studentised_internal", "studentised_external", "dffits",
    "press",
)  # fmt: skip
# Of the largest number of each quantity: residuals near zero have no more digits than the data they are left of.
TOLERANCE = 1e-10


def load(name: str) -> pl.DataFrame:
    return pl.read_csv(ORACLES / "ols_problems" / f"{name}.csv")


def fit(name: str, **options: object) -> OlsResults:
    frame = load(name)
    X = frame.select("^x.*$")
    weights = frame["w"].to_numpy() if "w" in frame.columns else None
    return fit_ols(
        X, frame["y"], X.columns, intercept=not name.startswith("origin"), weights=weights, **options
    )


@pytest.fixture(scope="module")
def statsmodels_says() -> dict[str, dict[str, np.ndarray]]:
    stored = json.loads((ORACLES / "ols_statsmodels.json").read_text())["problems"]
    return {name: {q: np.array(v) for q, v in found.items()} for name, found in stored.items()}


@pytest.fixture(scope="module")
def r_says() -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, np.ndarray]] = {}
    frame = pl.read_csv(ORACLES / "ols_r.csv", schema_overrides={"value": pl.Float64})
    for (problem, quantity), part in frame.group_by(["problem", "quantity"], maintain_order=True):
        shape = (part["row"].max() + 1, part["column"].max() + 1)
        values = part.sort("row", "column")["value"].to_numpy().reshape(shape)
        found.setdefault(str(problem), {})[str(quantity)] = values
    return found


def close(ours: object, theirs: np.ndarray, what: str) -> None:
    theirs = np.squeeze(theirs)
    ours = np.squeeze(np.asarray(ours, dtype=float))
    np.testing.assert_allclose(
        ours, theirs, rtol=TOLERANCE, atol=TOLERANCE * np.max(np.abs(theirs)), err_msg=what
    )


def all_classical(results: OlsResults, theirs: dict[str, np.ndarray], X: np.ndarray) -> None:
    for quantity in OURS:
        close(getattr(results, quantity), theirs[quantity], quantity)
    close(results.conf_int(0.9), theirs["conf_int"], "conf_int")
    for interval in ("mean", "observation"):
        found = results.predict(X, interval, 0.9, weights=results.weights)
        close(np.column_stack([found.mean, found.low, found.high]), theirs[interval], interval)


@pytest.mark.parametrize("name", PROBLEMS)
def test_r(name: str, r_says: dict[str, dict[str, np.ndarray]]) -> None:
    results, theirs = fit(name), r_says[name]
    all_classical(results, theirs, load(name).select("^x.*$").to_numpy())
    close([results.aic, results.bic], np.array([theirs["aic"], theirs["bic"]]), "AIC, BIC")
    # Small p-values too, relative to themselves.
    np.testing.assert_allclose(results.p, theirs["p"][:, 0], rtol=1e-9)
    if results.intercept:
        close(results.vif, theirs["vif"], "vif")


@pytest.mark.parametrize("name", PROBLEMS)
def test_statsmodels(name: str, statsmodels_says: dict[str, dict[str, np.ndarray]]) -> None:
    results, theirs = fit(name), statsmodels_says[name]
    all_classical(results, theirs, load(name).select("^x.*$").to_numpy())
    np.testing.assert_allclose(results.p, theirs["p"], rtol=1e-9)
    if "vif" in theirs:
        close(results.vif, theirs["vif"], "vif")


@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC2", "HC3"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_robust_covariances(
    name: str,
    kind: str,
    r_says: dict[str, dict[str, np.ndarray]],
    statsmodels_says: dict[str, dict[str, np.ndarray]],
) -> None:
    results = fit(name, covariance=kind)
    close(results.covariance, r_says[name][kind], f"{kind}, R")
    theirs = statsmodels_says[name]
    close(results.covariance, theirs[kind], f"{kind}, statsmodels")
    close(results.p, theirs[f"{kind}_p"], "p")
    close(results.f, theirs[f"{kind}_f"], "F")
    np.testing.assert_array_equal(results.std_errors, np.sqrt(np.diag(results.covariance)))
    np.testing.assert_array_equal(results.params, fit(name).params)


@pytest.mark.parametrize("name", ["spread", "weighted"])
def test_covariance_by_groups(name: str, statsmodels_says: dict[str, dict[str, np.ndarray]]) -> None:
    theirs = statsmodels_says[name]
    results = fit(name, covariance="cluster", groups=load(name)["g"])
    close(results.covariance, theirs["cluster"], "covariance")
    close(results.p, theirs["cluster_p"], "p")
    close(results.conf_int(0.9), theirs["cluster_conf_int"], "conf_int")
    close(results.f, theirs["cluster_f"], "F")
    assert results.df_inference == results.n_groups - 1


@pytest.mark.parametrize("kind", ["classical", "HC0", "HC1", "HC2", "HC3"])
@pytest.mark.parametrize("name", ["weighted", "origin"])
def test_root_gives_the_covariance(name: str, kind: str) -> None:
    results = fit(name, covariance=kind)
    back = np.eye(len(results.params))
    if results.intercept:
        back[0, 1:] = -results.centre
    close(back @ results.root @ results.root.T @ back.T, results.covariance, "root")


@pytest.mark.parametrize("name", ["weighted", "small", "origin_weighted"])
def test_left_out_runs_are_literal_second_fits(name: str) -> None:
    frame, results = load(name), fit(name)
    X, y = frame.select("^x.*$").to_numpy(), frame["y"].to_numpy()
    n, p = len(y), len(results.params)
    for i in range(n):
        rest = np.arange(n) != i
        other = fit_ols(
            X[rest], y[rest], frame.select("^x.*$").columns,
            intercept=results.intercept, weights=results.weights[rest],
        )  # fmt: skip
        assert y[i] - other.predict(X[i]).mean[0] == pytest.approx(results.loo_residuals[i], rel=1e-9)
        sd = other.sigma * math.sqrt((1 - results.leverage[i]) / results.weights[i])
        assert results.studentised_external[i] == pytest.approx(results.residuals[i] / sd, rel=1e-9)
        moved = results.fitted - other.predict(X).mean
        cook = np.sum(results.weights * moved**2) / p / results.sigma**2
        assert results.cooks_distance[i] == pytest.approx(cook, rel=1e-8)
        dffits = moved[i] / (other.sigma * math.sqrt(results.leverage[i] / results.weights[i]))
        assert results.dffits[i] == pytest.approx(dffits, rel=1e-8)
