"""How wide the intervals of two studies' coefficients are: the ratio that design_efficiency.py simulates, on real runs.

    python benchmarks/design_on_real_runs.py RUNS OTHER [TARGET] [TERMS]

RUNS and OTHER are the runs.parquet of two studies with the same terms and target, for example many random mixes and a
few optimal subsets. Repeats of a subset are left out, so that a run is a subset. A width is that of a 95 % interval.
It has two parts: how noisy the runs are about the rule (sigma), and how well the design tells the coefficients apart;
"by design alone" takes the same sigma for both, and is what the simulation speaks of. The interval of a ratio of
sigmas is that of normal errors (F). Whether both studies find the same coefficients is tested term by term (Welch) and
for all slopes together (Wald's chi-square over separate fits). Then each rule predicts the runs of the other study, and
the runs of both are fitted together: the shares of the pools, the indicators, and the indicators beside the shares.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import chi2, f, spearmanr, t

from imine.regression import OlsResults, RunData, fit_ols, prepare_runs
from imine.regression.validation import KFold
from imine.study.findings.pools import pool_shares, pools_or_indicators

TERMS = "input_length,output_length,mtld,log_perplexity,knn_6"


def subsets(path: Path) -> pl.DataFrame:
    runs = pl.read_parquet(path)
    return runs.filter(pl.col("repeat") == 0) if "repeat" in runs.columns else runs


def fitted(data: RunData) -> OlsResults:
    return fit_ols(data.X, data.y, data.names)


def main() -> None:
    paths, rest = [Path(p) for p in sys.argv[1:3]], sys.argv[3:]
    target, terms = (rest[0] if rest else "loss"), (rest[1] if len(rest) > 1 else TERMS).split(",")
    frames = [subsets(path) for path in paths]
    data = [prepare_runs(frame, terms, target) for frame in frames]
    many, few = (fitted(part) for part in data)
    sigmas(many, few)
    rows = [term_line(many, few, i) for i in range(1, len(many.names))]
    print(f"\n{'term':<16}{'width':>11}{'other':>11}{'ratio':>8}{'by design':>11}  coefficients, p of equal")
    print("\n".join(line for line, _, _ in rows))
    both, design = (math.exp(np.mean(np.log([row[k] for row in rows]))) for k in (1, 2))
    print(f"{'geometric mean':<38}{both:>8.3f}{design:>11.3f}")
    away = (many.params - few.params)[1:]
    covariance = (many.covariance + few.covariance)[1:, 1:]
    wald = float(away @ np.linalg.solve(covariance, away))
    print(f"\nAll slopes the same: chi-square {wald:.2f} on {len(away)}, p {chi2.sf(wald, len(away)):.2g}")
    across(many, data[1], "the rule of the first on the runs of the second")
    across(few, data[0], "the rule of the second on the runs of the first")
    both = pl.concat(frames, how="diagonal_relaxed").with_columns(run_id=pl.int_range(pl.len()))
    together(both, terms, target)


def across(rule: OlsResults, runs: RunData, title: str) -> None:
    predicted = rule.params[0] + runs.X @ rule.params[1:]
    r2 = 1 - np.sum((runs.y - predicted) ** 2) / np.sum((runs.y - runs.y.mean()) ** 2)
    print(f"{title}: rank correlation {spearmanr(predicted, runs.y).statistic:.2f}, R2 {r2:.2f}")


def together(runs: pl.DataFrame, terms: list[str], target: str) -> None:
    data, shares = prepare_runs(runs, terms, target), pool_shares(runs)
    if shares is None:
        return
    found = pools_or_indicators(data, shares, KFold(10, 5), title="10-fold, 5 times", level=0.95, seed=0)
    print(f"\nBoth together, {len(data.y)} subsets, R2 in sample and held out (10-fold, 5 times)")
    for part, r2 in zip(found.held_out, found.r2, strict=True):
        print(f"  {part.terms:<22}{r2:.3f}  {part.r2.value:.3f} [{part.r2.low:.3f}, {part.r2.high:.3f}]")
    print(
        f"  indicators beside the shares: F {found.f:.2f} on {found.df[0]} and {found.df[1]}, p {found.p:.4f}"
    )
    if found.robust is not None:
        print(f"  with errors that need not be alike (HC3): F {found.robust.f:.2f}, p {found.robust.p:.4f}")
    weights = shares.values[:, :-1]
    beside = fit_ols(np.column_stack([weights, data.X]), data.y, [*shares.pools[:-1], *data.names])
    ends = beside.conf_int(0.95)
    for i in range(1 + weights.shape[1], len(beside.names)):
        low, high = ends[i]
        print(
            f"  {beside.names[i]:<16}{beside.params[i]:>11.3g} [{low:.3g}, {high:.3g}]  p {beside.p[i]:.3f}"
        )


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
