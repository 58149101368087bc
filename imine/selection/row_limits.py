"""A quota in rows: how many can be kept in all, and of each value at least and at most."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imine.errors import SelectionError
from imine.selection.quotas import Bounds

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Most numbers of rows that are tried at once.
_BLOCK = 2**14
_SHOWN = 3


@dataclass(frozen=True, slots=True, eq=False)
class RowLimits:
    """The limits of a quota with all its shares in rows.

    Attributes:
        total: rows to keep.
        there: rows of each group that can be chosen, shape (groups,).
        least, most: rows of each group to keep, shape (groups,), ``least <= most <= there`` and
            ``least.sum() <= total <= most.sum()``.
        why: why no more rows can be kept, in words; empty where as many are as were wanted.
    """

    total: int
    there: Ints
    least: Ints
    most: Ints
    why: str = ""


def row_limits(bounds: Bounds, there: Ints, wanted: int) -> RowLimits:
    """The largest number of rows with which all limits hold, and the limits with that number.

    Shares are of the rows kept in the end; a least share is rounded up and a most share down.

    Args:
        bounds: the limits.
        there: rows of each group that can be chosen.
        wanted: rows to keep, if the quota lets them; no more than there are.

    Raises:
        SelectionError: no number of rows meets the limits. Where every row that is there is in a group of which none
            may be kept, and nothing is asked for at least, that number is 0 and no error.

    Examples:
        >>> from imine.selection.quotas import Quota, bounds_of
        >>> bounds = bounds_of(Quota("source", {"a": (0.6, None)}), ("a", "b"))
        >>> found = row_limits(bounds, np.array([10, 90]), 50)
        >>> found.total, found.least.tolist(), found.why
        (16, [10, 0], 'of 50 rows, a must have 30 and can have 10')
    """
    caps = np.minimum(there, bounds.most_rows)
    asked = bool(bounds.least_rows.any() or bounds.least_share.any())
    if not wanted or not (asked or caps.any()):
        return RowLimits(0, there, np.zeros_like(there), np.zeros_like(there))
    total = _largest_total(_kinds(bounds, caps), wanted)
    why = "" if total == wanted else _why_not(bounds, caps, wanted)
    if total is None:
        raise SelectionError(f"no number of rows up to {wanted:,} meets the quota of {bounds.quota}: {why}")
    return RowLimits(total, there, *_in_rows(bounds, caps, total), why)


def _in_rows(bounds: Bounds, caps: Ints, total: int) -> tuple[Ints, Ints]:
    """Least and most of each group where ``total`` rows are kept."""
    least = np.maximum(bounds.least_rows, np.ceil(_low(bounds.least_share * total)).astype(np.int64))
    most = np.minimum(caps, np.floor(_high(bounds.most_share * total))).astype(np.int64)
    return least, most


# 0.3 * 10 must be 3, whatever its rounding: a few units in the last place, and shares given to nine decimals.
def _low(values: Array) -> Array:
    return values * (1 - 1e-15) - 1e-9


def _high(values: Array) -> Array:
    return values * (1 + 1e-15) + 1e-9


def _why_not(bounds: Bounds, caps: Ints, total: int) -> str:
    """Which limits do not hold with ``total`` rows."""
    least, most = _in_rows(bounds, caps, total)
    short = np.flatnonzero(least > most)
    parts = [f"{bounds.names[g]} must have {least[g]:,} and can have {most[g]:,}" for g in short[:_SHOWN]]
    if len(short) > _SHOWN:
        parts.append(f"{len(short) - _SHOWN:,} more values too few")
    if not parts and least.sum() > total:
        parts = [f"the values must have {least.sum():,} by their least"]
    if not parts:
        parts = [f"the values can have {most.sum():,} by their most"]
    return f"of {total:,} rows, {', '.join(parts)}"


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """The groups with the same limits; their rows are known by sums alone, whatever their number.

    Attributes:
        least_rows, least_share, most_share: of each group.
        caps: the most rows that each group can have, ascending, shape (groups,).
        sums: of the first 0, 1, ... of them, shape (groups + 1,).
    """

    least_rows: float
    least_share: float
    most_share: float
    caps: Array
    sums: Array

    def least(self, totals: Array) -> Array:
        """Least of each group, not rounded."""
        return np.maximum(self.least_rows, _low(self.least_share * totals))

    def most(self, totals: Array) -> Array:
        """Most of the group with the most rows, not rounded."""
        return np.minimum(self.caps[-1], _high(self.most_share * totals))

    def together(self, most: Array) -> Array:
        """Rows of all groups, each with at most ``most``."""
        within = np.searchsorted(self.caps, most)
        return np.asarray(self.sums[within] + most * (len(self.caps) - within))


def _kinds(bounds: Bounds, caps: Ints) -> list[_Kind]:
    order = np.lexsort((caps, bounds.item))
    starts = np.flatnonzero(np.diff(bounds.item[order], prepend=-1))
    kinds = []
    for part in np.split(order, starts[1:]):
        mine, of = caps[part].astype(np.float64), part[0]
        kinds.append(
            _Kind(
                least_rows=float(bounds.least_rows[of]),
                least_share=float(bounds.least_share[of]),
                most_share=float(bounds.most_share[of]),
                caps=mine,
                sums=np.concatenate([[0.0], np.cumsum(mine)]),
            )
        )
    return kinds


def _largest_total(kinds: list[_Kind], wanted: int) -> int | None:
    """The largest number of rows up to ``wanted`` with which all limits hold.

    Without rounding, the numbers that the limits allow are an interval, found by bisection. Rounding can still
    exclude some of them, in no order: those are tried from the largest down.
    """
    if len(_meeting(kinds, np.array([float(wanted)]))):
        return wanted
    low, high = _interval(kinds, wanted)
    size = 1
    while low <= high:
        found = _meeting(kinds, np.arange(high, max(low - 1, high - size), -1, dtype=np.float64))
        if len(found):
            return int(found[0])
        high, size = high - size, min(4 * size, _BLOCK)
    return None


def _interval(kinds: list[_Kind], wanted: int) -> tuple[int, int]:
    """First and last number of rows that the limits allow without rounding; the first after the last for none."""
    totals = range(1, wanted + 1)
    last = bisect_left(totals, True, key=lambda total: not _few_enough(kinds, total))
    # Least shares of more than the whole, by a rounding error at most if at all: no bisection.
    over = sum(kind.least_share * len(kind.caps) for kind in kinds) > 1
    return (1 if over else 1 + bisect_left(totals, True, key=lambda total: _many_enough(kinds, total))), last


def _few_enough(kinds: list[_Kind], total: int) -> bool:
    """Whether there are rows enough for a total; if so, also for any smaller one."""
    totals = np.array([float(total)])
    most = sum(kind.together(kind.most(totals))[0] for kind in kinds)
    return bool(most >= total and all(kind.least(totals)[0] <= kind.caps[0] for kind in kinds))


def _many_enough(kinds: list[_Kind], total: int) -> bool:
    """Whether the least rows have room in a total; if so, also in any larger one."""
    totals = np.array([float(total)])
    least = sum(kind.least(totals)[0] * len(kind.caps) for kind in kinds)
    return bool(least <= total and all(kind.least_rows <= kind.most(totals)[0] for kind in kinds))


def _meeting(kinds: list[_Kind], totals: Array) -> Array:
    """Those of the totals with which all limits hold, rounded to rows."""
    # The sums of the least alone rule out most of a long search, and are cheap.
    least_of_all = sum(np.ceil(kind.least(totals)) * len(kind.caps) for kind in kinds)
    totals = totals[least_of_all <= totals]
    hold, most_of_all = np.ones(len(totals), dtype=bool), np.zeros(len(totals))
    for kind in kinds:
        most = np.floor(kind.most(totals))
        hold &= np.ceil(kind.least(totals)) <= np.minimum(most, kind.caps[0])
        most_of_all += kind.together(most)
    return totals[hold & (totals <= most_of_all)]
