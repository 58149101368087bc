"""Selections by plain loops over rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Amount = int | float | None


def choose_rows(
    ids: Sequence[str],
    predicted: Sequence[float],
    count: int,
    *,
    groups: Sequence[str] | None = None,
    limits: Mapping[str, tuple[Amount, Amount]] | None = None,
) -> set[str]:
    """The ``count`` best rows under a least and a most for each group."""
    ranked = [i for _, _, i in sorted((p, ids[i], i) for i, p in enumerate(predicted) if not math.isnan(p))]
    if groups is None or limits is None:
        return {ids[i] for i in ranked[:count]}
    there = {g: sum(groups[i] == g for i in ranked) for g in set(groups)}
    least, most = _in_rows(there, limits, min(count, len(ranked)))
    taken: dict[str, int] = dict.fromkeys(there, 0)
    kept: set[int] = set()
    for need in (least, None):
        for i in ranked:
            g = groups[i]
            limit = most if need is None else need
            if i not in kept and taken[g] < limit[g] and len(kept) < count:
                kept.add(i)
                taken[g] += 1
    return {ids[i] for i in kept}


def _in_rows(
    there: Mapping[str, int], limits: Mapping[str, tuple[Amount, Amount]], count: int
) -> tuple[dict[str, int], dict[str, int]]:
    """The largest number of rows that the shares allow, by trying every one."""

    def most_of(g: str, total: int) -> int:
        limit = limits.get(g, limits.get("*", (None, None)))[1]
        if limit is None:
            return there[g]
        return min(there[g], limit if isinstance(limit, int) else math.floor(limit * total + 1e-9))

    fits = [k for k in range(count, -1, -1) if sum(most_of(g, k) for g in there) >= k]
    kept = fits[0]
    most = {g: most_of(g, kept) for g in there}
    least = {}
    for g in there:
        limit = limits.get(g, limits.get("*", (None, None)))[0]
        wanted = 0 if limit is None else limit if isinstance(limit, int) else math.ceil(limit * kept - 1e-9)
        least[g] = min(wanted, most[g])
    return least, most


def greedy(vectors: Any, quality: Sequence[float], kind: str, weight: float, count: int) -> list[int]:
    """Every candidate's objective computed anew at every step, on vectors of whole numbers."""
    V = np.rint(np.asarray(vectors, dtype=np.float64) * 2**11)
    like = (V @ V.T) / 2**22
    chosen: list[int] = []
    for _ in range(count):
        best, best_gain = -1, -math.inf
        for i in range(len(V)):
            if i in chosen:
                continue
            gain = _gain(like, chosen, i, quality[i], kind, weight, count)
            if gain > best_gain + 1e-12:
                best, best_gain = i, gain
        chosen.append(best)
    return chosen


def _gain(
    like: Any, chosen: list[int], i: int, quality: float, kind: str, weight: float, count: int
) -> float:
    if kind == "k-center":
        nearest = max((like[i, j] for j in chosen), default=-1.0)
        return (1 - weight) * quality + weight * (1 - nearest) / 2
    before = [max([0.0, *(like[j, c] for c in chosen)]) for j in range(len(like))]
    after = [max(b, like[j, i]) for j, b in enumerate(before)]
    return (1 - weight) * quality / count + weight * (sum(after) - sum(before)) / len(like)
