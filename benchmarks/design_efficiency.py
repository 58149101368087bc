"""How many finetunes an optimal design saves: a simulation, and the tables of docs/study_designs.md.

    python benchmarks/design_efficiency.py [FOLDER] [SEEDS] [REPETITIONS]

FOLDER holds the pools of the study that ships (alpaca, oasst, stackexchange, wikihow, p3 and chatterbot as parquet
files, 500 rows of each as there); by default ../shared/data beside the project, and where that is not there, made-up
candidates stand in. Indicators are five, and then eight, that need no model, computed from the texts.

Designs: 129 random Dirichlet mixes (concentration 0.3, what the study that ships draws), the same with concentration
1, plain draws from all candidates alike, and optimal designs of 129 runs, whose beginnings are the optimal designs of
fewer runs. Subsets have 64 examples. Widths are those of 95 % intervals of a regression on all indicators, as
the rule is fitted, with their plain means and not the standardised ones that steer the draw.

Noise: standard deviation 0.0203 in log loss, the residual one of the rule of the 32 pilot runs. Once it is independent
from run to run; once half of its variance is of the rows: a row has an effect of its own in every subset that it is
in, so that subsets with common rows have correlated noise, which a regression does not know.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from imine.regression import fit_ols
from imine.study.design import draw_subset
from imine.study.designs.candidates import Candidates, Rows
from imine.study.designs.criterion import interval_widths, log_determinant
from imine.study.designs.optimal import draw_optimal
from imine.study.designs.steering import Array, Steering

SIGMA, RUNS, EXAMPLES, ROWS = 0.0203, 129, 64, 500
POOLS = ("alpaca", "oasst", "stackexchange", "wikihow", "p3", "chatterbot")
INDICATORS = ("input_words", "output_words", "mtld", "ttr", "stop_word_share")
MORE = (*INDICATORS, "mean_word_length", "punctuation_share", "mean_sentence_length")
BREADTHS = (1.0, 2.0, 4.0, 8.0)
QUARTER = RUNS // 4 + 1


@dataclass(frozen=True)
class Setting:
    """Candidates with their indicators, and where they come from."""

    pools: dict[str, list[str]]
    candidates: Candidates
    steering: Steering
    source: str


def real(folder: Path, names: tuple[str, ...]) -> Setting:
    import imine

    frames = []
    for name in POOLS:
        rows = pl.read_parquet(folder / f"{name}.parquet", columns=["instruction", "input", "output"])
        rows = rows.filter(pl.col("output").str.strip_chars() != "").sample(fraction=1, shuffle=True, seed=0)
        frames.append(rows.head(ROWS).with_columns(pool=pl.lit(name)))
    frame = pl.concat(frames).with_row_index("id").cast({"id": pl.String})
    scores = imine.score(frame.drop("pool"), list(names)).frame
    pools = {name: frame.filter(pl.col("pool") == name)["id"].to_list() for name in POOLS}
    return setting(pools, scores, names, f"{frame.height:,} rows of {', '.join(POOLS)}")


def made_up() -> Setting:
    """Six pools, five indicators; a third of the variance lies between pools, and one indicator is skewed."""
    rng = np.random.default_rng(0)
    pool = np.repeat(np.arange(6), ROWS)
    values = rng.standard_normal((6, 5))[pool] * 0.7 + rng.standard_normal((len(pool), 5))
    values[:, 1] = np.exp(values[:, 1]) + 0.5 * values[:, 0]
    ids = [str(i) for i in range(len(pool))]
    columns = {f"x{j}": values[:, j] for j in range(5)}
    pools = {name: [ids[i] for i in np.flatnonzero(pool == p)] for p, name in enumerate("abcdef")}
    return setting(pools, pl.DataFrame({"id": ids} | columns), tuple(columns), f"{len(ids):,} made-up rows")


def setting(
    pools: dict[str, list[str]], scores: pl.DataFrame, names: tuple[str, ...], source: str
) -> Setting:
    candidates = Candidates.from_pools(pools)
    return Setting(pools, candidates, Steering.from_scores(scores, candidates.ids, names), source)


def designs(own: Setting, seed: int) -> dict[str, list[Rows]]:
    number = {id: row for row, id in enumerate(own.candidates.ids)}

    def mixed(alpha: float) -> list[Rows]:
        alphas = dict.fromkeys(own.pools, alpha)
        subsets = [draw_subset(own.pools, alphas, EXAMPLES, seed, run) for run in range(RUNS)]
        return [np.array([number[id] for id in subset.ids]) for subset in subsets]

    rng = np.random.default_rng(seed)
    plain = [rng.choice(len(number), EXAMPLES, replace=False) for _ in range(RUNS)]
    found = {"Dirichlet 0.3": mixed(0.3), "Dirichlet 1": mixed(1.0), "plain": plain}
    for breadth in BREADTHS:
        drawn = draw_optimal(own.candidates, own.steering, seed, RUNS, examples=EXAMPLES, breadth=breadth)
        found[f"optimal, breadth {breadth:g}"] = list(drawn.rows)
    return found


def plain_means(own: Setting, rows: list[Rows]) -> Array:
    """Means as the table of runs has them, in standard deviations of the candidates."""
    values = own.steering.values / np.nanstd(own.steering.values, axis=0)
    return np.array([np.nanmean(values[r], axis=0) for r in rows])


def runs_for(widths: Array, wanted: float) -> int | None:
    """The smallest number of runs at and after which widths by number of runs are at most the wanted one."""
    above = np.flatnonzero(~(widths <= wanted))
    first = int(above[-1]) + 1 if len(above) else 0
    return first if first < len(widths) else None


def width_curve(X: Array) -> Array:
    """Widths of all intervals by number of runs, shape (runs + 1, indicators), and NaN where there are too few."""
    k = X.shape[1]
    curve = np.full((len(X) + 1, k), np.nan)
    for n in range(k + 2, len(X) + 1):
        curve[n] = interval_widths(X[:n], SIGMA)
    return curve


def simulated(own: Setting, rows: list[Rows], X: Array, repetitions: int, seed: int) -> Mapping[str, float]:
    """Fits to simulated losses: mean width and share of covered coefficients, for both kinds of noise."""
    rng = np.random.default_rng(seed)
    names, found = list(own.steering.names), {}
    for kind, of_rows in (("independent", 0.0), ("half of rows", 0.5)):
        widths, covered = [], []
        for _ in range(repetitions):
            # A single row has 64 times the variance that it leaves in a mean over 64.
            effects = rng.standard_normal(len(own.candidates.ids)) * SIGMA * np.sqrt(of_rows * EXAMPLES)
            y = np.array([effects[r].mean() for r in rows])
            y += SIGMA * np.sqrt(1.0 - of_rows) * rng.standard_normal(len(rows))
            intervals = fit_ols(X, y, names).conf_int()[1:]
            widths.append(intervals[:, 1] - intervals[:, 0])
            # The true coefficients are 0: widths and coverage of least squares do not depend on them.
            covered.append((intervals[:, 0] <= 0) & (intervals[:, 1] >= 0))
        found[f"width, {kind}"] = float(np.exp(np.log(widths).mean()))
        found[f"covered, {kind}"] = float(np.mean(covered))
    return found


def main() -> None:
    folder = (
        Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "shared" / "data"
    )
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    repetitions = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    began = time.process_time()
    settings = [real(folder, names) for names in (INDICATORS, MORE)] if folder.is_dir() else [made_up()]
    for own in settings:
        compare(own, seeds, repetitions)
    print(f"{time.process_time() - began:.0f} s of processor time")


def compare(own: Setting, seeds: int, repetitions: int) -> None:
    drawn = [designs(own, seed) for seed in range(seeds)]
    print(f"\n{len(own.steering.names)} indicators, {own.source}; {seeds} designs of a kind, ", end="")
    print(f"{repetitions} simulated studies of each, Python {platform.python_version()}")
    X = {name: [plain_means(own, d[name]) for d in drawn] for name in drawn[0]}
    # Geometric means over designs: widths are compared by ratios.
    curves = {name: np.exp(np.mean([np.log(width_curve(x)) for x in xs], axis=0)) for name, xs in X.items()}
    print(per_run_table(X, curves))
    print(runs_table(own, curves))
    print(simulation_table(own, drawn, X, repetitions))


def per_run_table(X: dict[str, list[Array]], curves: dict[str, Array]) -> str:
    base = np.mean([log_determinant(x) for x in X["Dirichlet 0.3"]])
    lines = [
        "| design | sd of subset means | runs of Dirichlet 0.3 that a run is worth, by the determinant | "
    ]
    lines[0] += f"width with {RUNS} runs against Dirichlet 0.3 |"
    lines.append("|---|---|---|---|")
    for name, xs in X.items():
        spread = np.mean([x.std(axis=0).mean() for x in xs])
        worth = np.exp(np.mean([log_determinant(x) for x in xs]) - base)
        ratio = np.exp(np.log(curves[name][RUNS] / curves["Dirichlet 0.3"][RUNS]).mean())
        lines.append(f"| {name} | {spread:.3f} | {worth:.2f} | {ratio:.2f} |")
    return "\n".join(lines)


def runs_table(own: Setting, curves: dict[str, Array]) -> str:
    """Runs that give the widths of the 129 random mixes."""
    lines = ["| design | runs for the average width | " + " | ".join(own.steering.names) + " | average |"]
    lines[0] = lines[0].replace("| average |", f"| width with {QUARTER} runs against {RUNS} Dirichlet 0.3 |")
    lines.append("|" + "---|" * (len(own.steering.names) + 3))
    wanted = curves["Dirichlet 0.3"][RUNS]
    for name, curve in curves.items():
        average = runs_for(np.log(curve).mean(axis=1), float(np.log(wanted).mean()))
        single = [runs_for(curve[:, j], wanted[j]) for j in range(len(wanted))]
        quarter = float(np.exp(np.log(curve[QUARTER] / wanted).mean()))
        cells = [f"more than {RUNS}" if n is None else str(n) for n in (average, *single)]
        lines.append(f"| {name} | {' | '.join(cells)} | {quarter:.2f} |")
    return "\n".join(lines)


def simulation_table(
    own: Setting, drawn: list[dict[str, list[Rows]]], X: dict[str, list[Array]], repetitions: int
) -> str:
    header = ("design", "runs", "width", "covered", "width, half of rows", "covered, half of rows")
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for name, runs in [("Dirichlet 0.3", RUNS), *((f"optimal, breadth {b:g}", QUARTER) for b in BREADTHS)]:
        found = [
            simulated(own, d[name][:runs], x[:runs], repetitions, seed)
            for seed, (d, x) in enumerate(zip(drawn, X[name], strict=True))
        ]
        mean = {key: float(np.mean([f[key] for f in found])) for key in found[0]}
        cells = [
            f"{mean[f'width, {k}']:.4f} | {100 * mean[f'covered, {k}']:.1f} %"
            for k in ("independent", "half of rows")
        ]
        lines.append(f"| {name} | {runs} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
