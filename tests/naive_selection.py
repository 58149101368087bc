"""Selections by plain loops over rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np

Amount = int | float | None


Limits = Mapping[str, tuple[Amount, Amount]]


def choose_rows(
    ids: Sequence[str],
    predicted: Sequence[float],
    count: int,
    *,
    groups: Sequence[str] | None = None,
    limits: Limits | None = None,
) -> set[str] | None:
    """The ``count`` best rows under a least and a most for each group; ``None`` where no rows meet them."""
    ranked = [i for _, _, i in sorted((p, ids[i], i) for i, p in enumerate(predicted) if not math.isnan(p))]
    if groups is None or limits is None:
        return {ids[i] for i in ranked[:count]}
    there = {g: sum(groups[i] == g for i in ranked) for g in set(groups)}
    total = largest_total(there, limits, min(count, len(ranked)))
    if total is None:
        return None
    taken: dict[str, int] = dict.fromkeys(there, 0)
    kept: set[int] = set()
    for which in (0, 1):
        for i in ranked:
            g = groups[i]
            if i not in kept and taken[g] < in_rows(g, there, limits, total)[which] and len(kept) < total:
                kept.add(i)
                taken[g] += 1
    return {ids[i] for i in kept}


def largest_total(there: Mapping[str, int], limits: Limits, count: int) -> int | None:
    """The largest number of rows with which all limits hold, by trying every one."""
    for total in range(count, 0, -1):
        spans = [in_rows(g, there, limits, total) for g in there]
        least, most = (sum(parts) for parts in zip(*spans, strict=True))
        if all(low <= high for low, high in spans) and least <= total <= most:
            return total
    # None may be kept, and none is asked for.
    free = all(in_rows(g, there, limits, 10**9)[0] <= 0 for g in there)
    return 0 if not count or (free and all(in_rows(g, there, limits, 10**9)[1] == 0 for g in there)) else None


def in_rows(g: str, there: Mapping[str, int], limits: Limits, total: int) -> tuple[int, int]:
    """Least and most of a group, of ``total`` rows."""
    least, most = limits.get(g, limits.get("*", (None, None)))
    low = math.ceil(_exact(least) * total) if isinstance(least, float) else least or 0
    high = math.floor(_exact(most) * total) if isinstance(most, float) else most
    return low, there[g] if high is None else min(there[g], high)


def _exact(share: float) -> Fraction:
    return Fraction(str(share))


def best_subset(predicted: Sequence[float], groups: Sequence[str], limits: Limits, count: int) -> set[int]:
    """The largest set of at most ``count`` rows that meets the limits, of these the lowest; none for none.

    Every set is looked at, and the limits are compared with what is in it.
    """

    def meets(rows: Sequence[int]) -> bool:
        for g in set(groups):
            share = Fraction(sum(groups[i] == g for i in rows), len(rows))
            least, most = limits.get(g, limits.get("*", (None, None)))
            has = {int: share * len(rows), float: share}
            if least is not None and has[type(least)] < Fraction(str(least)):
                return False
            if most is not None and has[type(most)] > Fraction(str(most)):
                return False
        return True

    for size in range(min(count, len(predicted)), 0, -1):
        if found := [rows for rows in combinations(range(len(predicted)), size) if meets(rows)]:
            return set(min(found, key=lambda rows: sum(predicted[i] for i in rows)))
    return set()


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
