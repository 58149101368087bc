"""Do 95 % intervals cover 95 % after terms were chosen? A simulation, and the table of docs/after_choosing.md.

    python benchmarks/coverage_after_choosing.py [REPETITIONS] [WORKERS]

129 runs, 9 candidates of which 3 matter. The candidates are normal with the correlations that nine measured
indicators have over the 32 subsets of a pilot study (studies/smollm2_135m_pilot/runs.parquet): means over a
subset and spreads within it. Errors are normal with standard deviation 1.

Each interval is held against the coefficient that it is about: of its term in the regression, on the chosen terms, of
the expected y of the runs that it was computed from. Naive and split ones are also held against the same regression
over the population that the runs were drawn from; intervals of many splits against the true model.
"""

from __future__ import annotations

import platform
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import numpy as np

from imine.regression import fit_ols
from imine.regression.after_choosing import (
    ChosenResults,
    ForwardStepwise,
    infer_after_forward,
    multi_split,
    split_inference,
)
from imine.regression.repeats import run_repeats, seeds

N_RUNS = 129
INDICATORS = (
    "input_length",
    "output_length",
    "mtld",
    "log_perplexity",
    "knn_6",
    "output_length__sd",
    "mtld__sd",
    "log_perplexity__sd",
    "knn_6__sd",
)
# Pearson correlations over the 32 runs, to two digits.
CORRELATIONS = np.array([
    [1.0, -0.22, 0.09, 0.8, -0.34, -0.09, 0.24, 0.44, 0.34],
    [-0.22, 1.0, 0.22, -0.06, 0.29, 0.87, -0.22, -0.08, -0.56],
    [0.09, 0.22, 1.0, 0.23, -0.52, 0.11, 0.32, -0.07, 0.24],
    [0.8, -0.06, 0.23, 1.0, -0.3, 0.05, 0.36, 0.73, 0.28],
    [-0.34, 0.29, -0.52, -0.3, 1.0, 0.36, -0.31, 0.13, -0.66],
    [-0.09, 0.87, 0.11, 0.05, 0.36, 1.0, -0.1, 0.1, -0.56],
    [0.24, -0.22, 0.32, 0.36, -0.31, -0.1, 1.0, 0.18, 0.47],
    [0.44, -0.08, -0.07, 0.73, 0.13, 0.1, 0.18, 1.0, -0.02],
    [0.34, -0.56, 0.24, 0.28, -0.66, -0.56, 0.47, -0.02, 1.0],
])  # fmt: skip
BETA = np.array([0.0, 0.0, 0.25, 0.3, 0.35, 0.0, 0.0, 0.0, 0.0])
CHOICES = {
    "3 steps": ForwardStepwise(steps=3),
    "AIC": ForwardStepwise(criterion="aic"),
    "BIC": ForwardStepwise(criterion="bic"),
}

# What is conditioned on; the longer intervals are shown where they are the classical ones.
GIVEN = {"3 steps": ("signs", "order", "set"), "AIC": ("signs", "set"), "BIC": ("set",)}


@dataclass(frozen=True, slots=True)
class Outcome:
    choice: str
    method: str
    covered: bool
    covered_population: bool | None
    width: float | None


def one_study(thorough: bool, seed: np.random.SeedSequence) -> list[Outcome]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N_RUNS, len(BETA))) @ np.linalg.cholesky(CORRELATIONS).T
    y = X @ BETA + rng.standard_normal(N_RUNS)
    own_seed = int(seed.generate_state(1)[0])
    outcomes = []
    for choice, procedure in CHOICES.items():
        chosen = procedure(X, y)
        naive = fit_ols(X[:, chosen], y, [INDICATORS[j] for j in chosen])
        outcomes += held(choice, "naive", naive.conf_int()[1:], chosen, X)
        for given in GIVEN[choice]:
            results = infer_after_forward(X, y, INDICATORS, procedure, given=given)
            assert list(results.chosen) == chosen
            outcomes += conditional(choice, results, X, thorough)
        split = split_inference(X, y, INDICATORS, procedure, seed=own_seed)
        outcomes += held(choice, "split", split.conf_int(), list(split.chosen), X[split.inferring])
    if thorough:
        found = multi_split(X, y, INDICATORS, CHOICES["AIC"], splits=50, seed=own_seed).conf_int()
        outcomes += [
            Outcome("AIC", "50 splits", low <= b <= high, None, high - low)
            for (low, high), b in zip(found, BETA, strict=True)
        ]
    return outcomes


def in_these_runs(X: np.ndarray, chosen: list[int]) -> np.ndarray:
    """The regression of the expected y on the chosen terms."""
    centred = X - X.mean(axis=0)
    return np.linalg.lstsq(centred[:, chosen], centred @ BETA, rcond=None)[0]


def held(choice: str, method: str, found: np.ndarray, chosen: list[int], X: np.ndarray) -> list[Outcome]:
    truth = in_these_runs(X, chosen)
    population = np.linalg.solve(CORRELATIONS[np.ix_(chosen, chosen)], CORRELATIONS[chosen] @ BETA)
    return [
        Outcome(choice, method, low <= own <= high, low <= general <= high, high - low)
        for (low, high), own, general in zip(found, truth, population, strict=True)
    ]


def conditional(choice: str, results: ChosenResults, X: np.ndarray, thorough: bool) -> list[Outcome]:
    """Whether the intervals cover; their ends only where needed, since a value that is not rejected is inside."""
    method, truth = f"conditional, {results.given}", in_these_runs(X, list(results.chosen))
    accepted = results.p_values(truth) >= 0.05
    if thorough or not accepted.all():
        found = results.conf_int()
        covered = (found[:, 0] <= truth) & (truth <= found[:, 1])
        assert covered[accepted].all()
    else:
        covered = accepted
    widths = found[:, 1] - found[:, 0] if thorough else [None] * len(truth)
    return [Outcome(choice, method, bool(c), None, w) for c, w in zip(covered, widths, strict=True)]


def table(outcomes: list[Outcome]) -> str:
    groups = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.choice, outcome.method].append(outcome)
    columns = ("choice", "intervals", "coefficients", "cover", "in the population", "median length")
    lines = ["| " + " | ".join([*columns, "90 % are below", "infinite"]) + " |", "|" + "---|" * 8]
    for (choice, method), own in sorted(groups.items(), key=lambda item: list(CHOICES).index(item[0][0])):
        population = [o.covered_population for o in own if o.covered_population is not None]
        widths = np.array([o.width for o in own if o.width is not None])
        lines.append(
            f"| {choice} | {method} | {len(own):,} | {100 * np.mean([o.covered for o in own]):.1f} % | "
            f"{f'{100 * np.mean(population):.1f} %' if population else ''} | {np.median(widths):.2f} | "
            f"{np.quantile(widths, 0.9, method='lower'):.2f} | {100 * np.mean(np.isinf(widths)):.1f} % |"
        )
    return "\n".join(lines)


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    started = time.perf_counter()
    # A fifth of the studies is enough for lengths of conditional intervals, and for fifty splits a study.
    studies = seeds(20240, repetitions)
    few = repetitions // 5
    outcomes = run_repeats(partial(one_study, True), studies[:few], workers)
    outcomes += run_repeats(partial(one_study, False), studies[few:], workers)
    print(f"{repetitions} studies, {time.perf_counter() - started:.0f} s, Python {platform.python_version()}")
    print(table([outcome for study in outcomes for outcome in study]))


if __name__ == "__main__":
    main()
