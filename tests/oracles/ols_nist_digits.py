"""Prints digits of agreement with the exact solutions of NIST StRD: python -m tests.oracles.ols_nist_digits.

The exact solution is the rational one of the float64 design matrix, the same for every program; each program's worst
coefficient and worst standard error count. R is asked when Rscript is there.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
import statsmodels.api as sm

from imine.regression import fit_ols
from tests import naive_least_squares, nist_data

Estimates = tuple[np.ndarray, np.ndarray]

R = """
d <- as.matrix(read.table(commandArgs(TRUE)[1], colClasses = "character"))
d <- matrix(as.numeric(d), nrow(d))
fit <- lm(d[, 1] ~ 0 + d[, -1])
s <- coef(summary(fit))
value <- coef(fit)
error <- rep(NA, length(value)); error[!is.na(value)] <- s[, 2]
cat(sprintf("%a %a\\n", value, error), sep = "")
"""


def ours(problem: nist_data.Nist) -> Estimates:
    names = [f"x{i}" for i in range(problem.X.shape[1])]
    results = fit_ols(problem.X, problem.y, names, intercept=problem.intercept)
    return results.params, results.std_errors


def of_statsmodels(problem: nist_data.Nist, method: str) -> Estimates:
    results = sm.OLS(problem.y, problem.columns).fit(method=method)
    return results.params, results.bse


def of_r(problem: nist_data.Nist) -> Estimates:
    with tempfile.TemporaryDirectory() as folder:
        table, script = Path(folder) / "table.txt", Path(folder) / "fit.R"
        rows = np.column_stack([problem.y, problem.columns]).tolist()
        table.write_text("\n".join(" ".join(v.hex() for v in row) for row in rows) + "\n")
        script.write_text(R)
        done = subprocess.run(["Rscript", script, table], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    values = np.array([[math.nan if v == "NA" else float.fromhex(v) for v in line] for line in lines])
    return values[:, 0], values[:, 1]


def shown(digits: float) -> str:
    if digits == math.inf:
        return "all"
    return "none" if digits < 0.05 else f"{digits:.1f}"


def main() -> None:
    warnings.simplefilter("ignore")
    programs = {
        "imine": ours,
        "statsmodels": lambda p: of_statsmodels(p, "pinv"),
        "statsmodels QR": lambda p: of_statsmodels(p, "qr"),
    }
    if shutil.which("Rscript"):
        programs["R lm"] = of_r
    heads = [f"{name}, {what}" for name in programs for what in ("b", "se")]
    print("| | " + " | ".join(heads) + " |\n|:---|" + "---:|" * len(heads))
    for name in nist_data.NAMES:
        problem = nist_data.load(name)
        exact = naive_least_squares.solve(problem.X, problem.y, problem.intercept)
        cells = []
        for program in programs.values():
            params, errors = program(problem)
            cells += [
                shown(nist_data.digits(params, exact.params)),
                shown(nist_data.digits(errors, exact.std_errors)),
            ]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
