"""Writes ols_statsmodels.json: what statsmodels says of ols_problems/*.csv (python tests/oracles/ols_statsmodels.py).

Durbin and Watson's p-values are integrated by mpmath with 30 digits, since statsmodels has none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import polars as pl
import statsmodels
import statsmodels.api as sm
from statsmodels.stats import diagnostic, stattools
from statsmodels.stats.outliers_influence import variance_inflation_factor

HERE = Path(__file__).resolve().parent


def fits(name: str) -> dict[str, Any]:
    frame = pl.read_csv(HERE / "ols_problems" / f"{name}.csv")
    y, X = frame["y"].to_numpy(), frame.select("^x.*$").to_numpy()
    w = frame["w"].to_numpy() if "w" in frame.columns else np.ones(len(y))
    columns = X if name.startswith("origin") else sm.add_constant(X)
    fit = sm.WLS(y, columns, weights=w).fit(method="qr")
    found = {**classical(fit, columns, w), **robust(fit, frame), **errors(fit, columns, X, w)}
    if not name.startswith("origin") and np.all(w == 1):
        found["vif"] = [variance_inflation_factor(columns, j + 1) for j in range(X.shape[1])]
    return {key: np.asarray(value, dtype=float).tolist() for key, value in found.items()}


def classical(fit: Any, columns: np.ndarray, w: np.ndarray) -> dict[str, Any]:
    means = fit.get_prediction(columns, weights=w).summary_frame(0.1)
    # Influence is that of the weighted rows; statsmodels mixes weighted and plain ones in WLS.
    influence = sm.OLS(fit.model.wendog, fit.model.wexog).fit(method="qr").get_influence()
    return {
        "params": fit.params,
        "std_errors": fit.bse,
        "t": fit.tvalues,
        "p": fit.pvalues,
        "covariance": fit.cov_params(),
        "sigma": np.sqrt(fit.scale),
        "r2": fit.rsquared,
        "adjusted_r2": fit.rsquared_adj,
        "f": fit.fvalue,
        "f_p": fit.f_pvalue,
        "log_likelihood": fit.llf,
        "conf_int": fit.conf_int(0.1),
        "residuals": fit.resid,
        "fitted": fit.fittedvalues,
        "leverage": influence.hat_matrix_diag,
        "cooks_distance": influence.cooks_distance[0],
        "studentised_internal": influence.resid_studentized_internal,
        "studentised_external": influence.resid_studentized_external,
        "dffits": influence.dffits[0],
        "press": influence.ess_press,
        "mean": means[["mean", "mean_ci_lower", "mean_ci_upper"]].to_numpy(),
        "observation": means[["mean", "obs_ci_lower", "obs_ci_upper"]].to_numpy(),
    }


def robust(fit: Any, frame: pl.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in ("HC0", "HC1", "HC2", "HC3"):
        again = fit.get_robustcov_results(kind, use_t=True)
        found |= {kind: again.cov_params(), f"{kind}_p": again.pvalues, f"{kind}_f": again.fvalue}
    if "g" in frame.columns:
        again = fit.get_robustcov_results("cluster", groups=frame["g"].to_numpy(), use_t=True)
        found |= {
            "cluster": again.cov_params(),
            "cluster_p": again.pvalues,
            "cluster_conf_int": again.conf_int(0.1),
        }
        found |= {"cluster_f": again.fvalue}
    return found


def errors(fit: Any, columns: np.ndarray, X: np.ndarray, w: np.ndarray) -> dict[str, Any]:
    """Tests of the weighted residuals; auxiliary regressions are on the plain terms and a constant."""
    resid, plain = fit.wresid, sm.add_constant(X)
    statistic = stattools.durbin_watson(resid)
    found = {
        "breusch_pagan": diagnostic.het_breuschpagan(resid, plain)[:2],
        "jarque_bera": stattools.jarque_bera(resid)[:2],
        "durbin_watson": [statistic, durbin_watson_p(statistic, fit.model.wexog)],
    }
    if len(resid) > (X.shape[1] + 1) * (X.shape[1] + 2) // 2:
        found["white"] = diagnostic.het_white(resid, plain)[:2]
    if np.all(w == 1):
        test = diagnostic.linear_reset(sm.OLS(fit.model.endog, columns).fit(method="qr"), power=3, use_f=True)
        found["reset"] = [float(test.fvalue), float(test.pvalue)]
    return found


def durbin_watson_p(statistic: float, columns: np.ndarray) -> float:
    """Two-sided, by Imhof's integral over the eigenvalues of M A M in 30 digits."""
    mpmath.mp.dps = 30
    n, p = columns.shape
    C = mpmath.matrix(columns.tolist())
    M = mpmath.eye(n) - C * mpmath.inverse(C.T * C) * C.T
    A = mpmath.matrix((2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)).tolist())
    A[0, 0] = A[n - 1, n - 1] = 1
    values = sorted(mpmath.eigsy(M * A * M, eigvals_only=True))[p:]
    weights = [v - mpmath.mpf(statistic) for v in values]

    def integrand(u: mpmath.mpf) -> mpmath.mpf:
        angle = sum(mpmath.atan(a * u) for a in weights) / 2
        return mpmath.sin(angle) / u / mpmath.exp(sum(mpmath.log1p((a * u) ** 2) for a in weights) / 4)

    mpmath.mp.dps = 20
    whole = mpmath.quad(integrand, [0, 0.25, 0.5, 1, 2, 4, 8, 16, 64, 1024, mpmath.inf])
    below = 0.5 - whole / mpmath.pi
    return float(2 * min(below, 1 - below))


def main() -> None:
    names = sorted(path.stem for path in (HERE / "ols_problems").glob("*.csv"))
    stored = {"statsmodels": statsmodels.__version__, "problems": {name: fits(name) for name in names}}
    (HERE / "ols_statsmodels.json").write_text(json.dumps(stored) + "\n")


if __name__ == "__main__":
    main()
