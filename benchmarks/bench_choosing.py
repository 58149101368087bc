"""Choosing terms, against the same loops over statsmodels.

    python benchmarks/bench_choosing.py

The functions ``bench_...`` are for pytest-benchmark. Seconds are of processor time, one thread each, medians of five
rounds, both sides in turn. The statsmodels loop runs over the first twenty resamples only and is scaled; each of its
choices is compared with that of the bootstrap.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pytest

from imine.regression.bootstrap import bootstrap_choice
from imine.regression.bootstrap.draws import draw_block
from imine.regression.choosing import ChoiceSettings, choose_terms
from imine.regression.choosing.problem import make_problem

REPEATS, BASELINE_REPEATS, ROUNDS = 2000, 20, 5
FORWARD = {"aic": ChoiceSettings("forward", "aic"), "p": ChoiceSettings("forward", "p")}


def runs(candidates: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """As many runs as the paper has, on correlated candidates of which three matter."""
    draw = np.random.default_rng(129)
    X = 0.6 * draw.normal(size=(129, 1)) + 0.8 * draw.normal(size=(129, candidates))
    return X, X[:, :3] @ [0.5, -0.4, 0.3] + draw.normal(size=129), [f"x{j}" for j in range(candidates)]


def forward_over_statsmodels(X: np.ndarray, y: np.ndarray, by: str) -> tuple[int, ...]:
    import statsmodels.api as sm

    here: list[int] = []
    now = sm.OLS(y, np.ones((len(y), 1))).fit()
    while len(here) < X.shape[1]:
        outside = [c for c in range(X.shape[1]) if c not in here]
        fits = {c: sm.OLS(y, sm.add_constant(X[:, [*here, c]], has_constant="add")).fit() for c in outside}
        best = min(fits, key=lambda c: fits[c].aic if by == "aic" else fits[c].pvalues[-1])
        if not (fits[best].aic < now.aic if by == "aic" else fits[best].pvalues[-1] < 0.05):
            break
        here.append(best)
        now = fits[best]
    return tuple(sorted(here))


def check_choices(X: np.ndarray, y: np.ndarray, by: str, chosen: np.ndarray) -> list[np.ndarray]:
    """The first resamples, after comparing what both sides choose in them."""
    order = make_problem(X, y, [f"x{j}" for j in range(X.shape[1])]).order
    resamples = [order[row] for row in draw_block(0, 0, len(y))[:BASELINE_REPEATS]]
    theirs = [forward_over_statsmodels(X[rows], y[rows], by) for rows in resamples]
    assert theirs == [tuple(np.flatnonzero(row)) for row in chosen[:BASELINE_REPEATS]]
    return resamples


def bootstrap_seconds(by: str) -> tuple[float, float]:
    """Processor seconds of 2,000 repeats here, and over statsmodels."""
    X, y, names = runs(9)
    settings = FORWARD[by]
    bootstrap = bootstrap_choice(X, y, names, settings, repeats=REPEATS, threads=1)
    resamples = check_choices(X, y, by, bootstrap.chosen)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(cpu(lambda: [forward_over_statsmodels(X[r], y[r], by) for r in resamples]))
        ours.append(cpu(lambda: bootstrap_choice(X, y, names, settings, repeats=REPEATS, threads=1)))
    return median(ours), median(theirs) * REPEATS / BASELINE_REPEATS


def best_seconds(candidates: int, by: Any) -> float:
    """Processor seconds of an exhaustive search."""
    X, y, names = runs(candidates)
    settings = ChoiceSettings("best", by)
    choose_terms(X[:, :3], y, names[:3], settings)
    return median([cpu(lambda: choose_terms(X, y, names, settings)) for _ in range(ROUNDS)])


def cpu(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.parametrize("by", ["aic", "p"])
def bench_bootstrap_of_forward_stepwise(benchmark: Any, by: str) -> None:
    """2,000 repeats on 129 runs and 9 candidates, against a loop over statsmodels."""
    X, y, names = runs(9)
    ours, theirs = bootstrap_seconds(by)
    benchmark(bootstrap_choice, X, y, names, FORWARD[by], repeats=REPEATS, threads=1)
    benchmark.extra_info |= {"cpu_seconds": ours, "statsmodels_cpu_seconds": theirs, "ratio": theirs / ours}
    assert theirs / ours >= 100


@pytest.mark.parametrize("by", ["aic", "cv"])
def bench_exhaustive_search_of_fifteen(benchmark: Any, by: Any) -> None:
    """All subsets of 15 candidates, under a second."""
    X, y, names = runs(15)
    taken = best_seconds(15, by)
    benchmark.pedantic(choose_terms, args=(X, y, names, ChoiceSettings("best", by)), rounds=ROUNDS)
    benchmark.extra_info |= {"cpu_seconds": taken}
    assert taken < 1.0


def main() -> None:
    """Print what was measured."""
    for by in FORWARD:
        ours, theirs = bootstrap_seconds(by)
        print(
            f"bootstrap, forward by {by}: {ours:.3f} s, statsmodels {theirs:.1f} s, ratio {theirs / ours:.0f}"
        )
    for candidates, by in ((15, "aic"), (15, "cv"), (20, "aic"), (20, "cv")):
        print(f"best of 2**{candidates} by {by}: {best_seconds(candidates, by):.3f} s")


if __name__ == "__main__":
    main()
