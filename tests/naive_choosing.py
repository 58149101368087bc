"""Slow plain twins of the choice of terms, on the public fit of one model alone."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from imine.regression import fit_ols

Value = Callable[[Sequence[int]], float]


def criterion(X: np.ndarray, y: np.ndarray, name: str) -> Value:
    """The criterion of the model with some columns, turned so that less is better."""

    def value(columns: Sequence[int]) -> float:
        chosen = sorted(columns)
        results = fit_ols(X[:, chosen], y, [f"c{column}" for column in chosen])
        if name == "cv":
            return results.press
        found = getattr(results, name)
        return -found if name == "adjusted_r2" else found

    return value


def fold_errors(X: np.ndarray, y: np.ndarray, columns: Sequence[int], tests: Sequence[np.ndarray]) -> float:
    """Mean squared error of the rows left out, fold by fold."""
    design = np.column_stack([np.ones(len(y)), X[:, sorted(columns)]])
    total = 0.0
    for test in tests:
        train = np.setdiff1d(np.arange(len(y)), test)
        slopes = np.linalg.lstsq(design[train], y[train], rcond=None)[0]
        total += float(np.sum((y[test] - design[test] @ slopes) ** 2))
    return total / len(y)


def stepwise(value: Value, candidates: Sequence[int], start: Sequence[int], adds: bool, removes: bool) -> Any:
    """Path and final columns of the best single changes, as long as one is better."""
    here, path = list(start), []
    while True:
        moves = [("-", c, [x for x in here if x != c]) for c in sorted(here)] if removes else []
        moves += [("+", c, [*here, c]) for c in candidates if c not in here] if adds else []
        best = min(moves, key=lambda move: value(move[2]), default=None)
        if best is None or not value(best[2]) < value(here):
            return tuple(f"{sign} c{c}" for sign, c in path), tuple(sorted(here))
        path.append(best[:2])
        here = best[2]


def stepwise_by_p(
    X: np.ndarray,
    y: np.ndarray,
    start: Sequence[int],
    p_enter: float,
    p_remove: float,
    adds: bool,
    removes: bool,
) -> Any:
    """Path and final columns by p-values of the public fit."""
    here, path = list(start), []

    def p_values(columns: Sequence[int]) -> dict[int, float]:
        chosen = sorted(columns)
        results = fit_ols(X[:, chosen], y, [f"c{column}" for column in chosen])
        return dict(zip(chosen, results.p[1:], strict=True))

    while True:
        inside = p_values(here) if here and removes else {}
        worst = max(inside, key=lambda c: inside[c], default=None)
        if worst is not None and inside[worst] > p_remove:
            here.remove(worst)
            path.append(f"- c{worst}")
            continue
        outside = {c: p_values([*here, c])[c] for c in range(X.shape[1]) if c not in here} if adds else {}
        best = min(outside, key=lambda c: outside[c], default=None)
        if best is None or not outside[best] < p_enter:
            return tuple(path), tuple(sorted(here))
        here.append(best)
        path.append(f"+ c{best}")


def best_subset(value: Value, candidates: Sequence[int]) -> tuple[int, ...]:
    """The subset with the smallest criterion, by trying all."""
    sizes = range(len(candidates) + 1)
    subsets = [s for size in sizes for s in itertools.combinations(candidates, size)]
    return min(subsets, key=value)


def bca(draws: np.ndarray, estimate: float, jackknife: np.ndarray, level: float) -> tuple[float, float]:
    """The interval of Efron (1987) for one coefficient, by its formulas."""
    from statistics import NormalDist

    normal = NormalDist()
    z0 = normal.inv_cdf(float(np.mean(draws < estimate) + 0.5 * np.mean(draws == estimate)))
    away = [float(np.mean(jackknife)) - value for value in jackknife.tolist()]
    squares = sum(d**2 for d in away)
    a = sum(d**3 for d in away) / (6 * squares**1.5) if squares > 0 else 0.0
    ordered = sorted(draws.tolist())
    ends = []
    for p in ((1 - level) / 2, (1 + level) / 2):
        z = z0 + normal.inv_cdf(p)
        if 1 - a * z <= 0:
            ends.append(ordered[0] if z < 0 else ordered[-1])
            continue
        place = (len(ordered) + 1) * normal.cdf(z0 + z / (1 - a * z)) - 1
        place = min(max(place, 0), len(ordered) - 1)
        low = min(math.floor(place), len(ordered) - 2)
        ends.append(ordered[low] + (place - low) * (ordered[low + 1] - ordered[low]))
    return ends[0], ends[1]
