"""How wide the intervals of two studies' coefficients are: the ratio that design_efficiency.py simulates, on real runs.

    python benchmarks/design_on_real_runs.py RUNS OTHER [TARGET] [TERMS]

RUNS and OTHER are the runs.parquet of two studies with the same terms and target, for example many random mixes and a
few optimal subsets. Repeats of a subset are left out, so that a run is a subset. A width is that of a 95 % interval.
It has two parts: how noisy the runs are about the rule (sigma), and how well the design tells the coefficients apart;
"by design alone" takes the same sigma for both, and is what the simulation speaks of. The interval of a ratio of
sigmas is that of normal errors (F). Whether both studies find the same coefficients is tested term by term (Welch) and
for all slopes together (Wald's chi-square over separate fits).
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import chi2, f, t

from imine.regression import OlsResults, fit_ols, prepare_runs

TERMS = "input_length,output_length,mtld,log_perplexity,knn_6"


def fitted(path: Path, terms: list[str], target: str) -> OlsResults:
    runs = pl.read_parquet(path)
    if "repeat" in runs.columns:
        runs = runs.filter(pl.col("repeat") == 0)
    data = prepare_runs(runs, terms, target)
    return fit_ols(data.X, data.y, data.names)


def main() -> None:
    paths, rest = [Path(p) for p in sys.argv[1:3]], sys.argv[3:]
    target, terms = (rest[0] if rest else "loss"), (rest[1] if len(rest) > 1 else TERMS).split(",")
    many, few = (fitted(path, terms, target) for path in paths)
    sigmas(many, few)
    rows = [term_line(many, few, i) for i in range(1, len(many.names))]
    print(f"\n{'term':<16}{'width':>11}{'other':>11}{'ratio':>8}{'by design':>11}  coefficients, p of equal")
    print("\n".join(line for line, _, _ in rows))
    both, design = (math.exp(np.mean(np.log([row[k] for row in rows]))) for k in (1, 2))
    print(f"{'geometric mean':<38}{both:>8.3f}{design:>11.3f}")
    away = (many.params - few.params)[1:]
    covariance = (many.covariance + few.covariance)[1:, 1:]
    wald = float(away @ np.linalg.solve(covariance, away))
    print(f"\nAll slopes the same: chi-square {wald:.2f} on {len(away)}, p {chi2.sf(wald, len(away)):.4f}")


def sigmas(many: OlsResults, few: OlsResults) -> None:
    for fit in (many, few):
        print(
            f"{len(fit.residuals)} runs, sigma {fit.sigma:.5f}, R2 {fit.r2:.3f}, PRESS R2 {fit.press_r2:.3f}"
        )
    ratio = (few.sigma / many.sigma) ** 2
    low, high = (ratio / f.ppf(q, few.df_resid, many.df_resid) for q in (0.975, 0.025))
    print(f"ratio of sigmas {math.sqrt(ratio):.3f} [{math.sqrt(low):.3f}, {math.sqrt(high):.3f}]")


def term_line(many: OlsResults, few: OlsResults, i: int) -> tuple[str, float, float]:
    widths = [float(np.diff(fit.conf_int(0.95)[i])[0]) for fit in (many, few)]
    ratio = widths[1] / widths[0]
    design = ratio * many.sigma / few.sigma
    errors = [fit.std_errors[i] ** 2 for fit in (many, few)]
    df = sum(errors) ** 2 / (errors[0] ** 2 / many.df_resid + errors[1] ** 2 / few.df_resid)
    p = 2 * t.sf(abs(many.params[i] - few.params[i]) / math.sqrt(sum(errors)), df)
    values = f"{many.params[i]:.4g} and {few.params[i]:.4g}, p {p:.3f}"
    line = f"{many.names[i]:<16}{widths[0]:>11.3g}{widths[1]:>11.3g}{ratio:>8.3f}{design:>11.3f}  {values}"
    return line, ratio, design


if __name__ == "__main__":
    main()
