"""Diversity: rows that are good and unlike each other, chosen one by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from imine.errors import SelectionError

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Kind = Literal["facility-location", "k-center"]

KINDS: tuple[Kind, ...] = ("facility-location", "k-center")

# Steps of the components of unit vectors. Products of whole numbers up to 2**11 sum to less than 2**24 for unit vectors
# (Cauchy and Schwarz), so float32 holds every partial sum exactly: cosines do not depend on threads or blocks.
_STEPS = 2**11
_BATCH = 32
# Cosines of all pairs are kept where they take at most 256 MB.
_KEEP = 8192


@dataclass(frozen=True, slots=True)
class Diversity:
    """What predicted loss is traded for, and how dearly.

    Each row chosen is the one with the largest gain in ``(1 - weight) * quality + weight * diversity``. The quality of
    a set is the mean over its rows of ``(worst - prediction) / (worst - best)``, worst and best of the shortlist.
    The diversity is for ``facility-location`` the mean over the shortlist of the cosine of each row to its nearest
    chosen one (negative ones count as 0); for ``k-center`` the row's own distance to the nearest chosen one,
    ``(1 - cosine) / 2``.

    Attributes:
        kind: which of the two.
        weight: 0 is the prediction alone, 1 diversity alone.
        shortlist: how many of the best-ranked rows are looked at; by default four times the rows to keep.

    Raises:
        SelectionError: a value that is not allowed.

    References:
        Nemhauser, Wolsey, Fisher (1978), Mathematical Programming 14: the greedy choice of a monotone submodular
        function; Minoux (1978): its lazy evaluation; Gonzalez (1985), Theoretical Computer Science 38: k-center.

    Examples:
        >>> str(Diversity("k-center", 0.2))
        'diversity by k-center, weight 0.2'
    """

    kind: Kind = "facility-location"
    weight: float = 0.5
    shortlist: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SelectionError(f"diversity must be {' or '.join(KINDS)}; got {self.kind!r}")
        if not 0.0 <= self.weight <= 1.0:
            raise SelectionError(f"the weight of diversity must lie between 0 and 1; got {self.weight}")
        if self.shortlist is not None and self.shortlist < 1:
            raise SelectionError(f"the shortlist must have at least 1 row; got {self.shortlist}")

    def __str__(self) -> str:
        return f"diversity by {self.kind}, weight {self.weight:g}"


@dataclass(frozen=True, slots=True, eq=False)
class Picks:
    """What was chosen of a shortlist.

    Attributes:
        chosen: positions in the shortlist, in the order of the choice.
        nearest: cosine of each row of the shortlist to its nearest chosen one, shape (shortlist,).
        misfit: position of the row that no longer fitted, at which the choice ended; ``None`` without one.
    """

    chosen: Rows
    nearest: Array
    misfit: int | None = None


class Allowed:
    """Which rows may be chosen next: groups within their most, and room for the least of the others.

    Args:
        groups: group of each row, shape (rows,).
        least, most: rows of each group.
        count: rows to choose.
    """

    def __init__(self, groups: Rows, least: Rows, most: Rows, count: int) -> None:
        self._groups, self._least, self._most = groups, least.copy(), most.copy()
        self._left = count

    def mask(self) -> npt.NDArray[np.bool_]:
        """Rows whose group can take one more."""
        open_ = self._most > 0
        if self._least.sum() >= self._left:
            open_ &= self._least > 0
        return np.asarray(open_[self._groups])

    def take(self, row: int) -> None:
        """Count a row as chosen."""
        group = self._groups[row]
        self._most[group] -= 1
        self._least[group] = max(0, self._least[group] - 1)
        self._left -= 1


def quantise(vectors: npt.NDArray[np.floating]) -> Floats:
    """Unit vectors in whole steps of 2**-11, as whole numbers; a cosine changes by some 2e-4."""
    return np.rint(np.asarray(vectors, dtype=np.float64) * _STEPS).astype(np.float32)


def choose_diverse(
    vectors: npt.NDArray[np.floating],
    predicted: Array,
    diversity: Diversity,
    count: int,
    *,
    fits: Callable[[int], bool] | None = None,
    allowed: Allowed | None = None,
) -> Picks:
    """Choose rows one by one, each the one of the largest gain; of equal ones the first.

    Args:
        vectors: unit vectors of the shortlist in rank order, (rows, dimensions); of zeros where a row has no text.
        predicted: what they are ranked by, ascending, shape (rows,).
        diversity: the trade-off.
        count: rows to choose; also what the mean quality is over.
        fits: whether a row still fits, asked once it is the best; the choice ends at the first that does not, and
            ``count`` is then no limit.
        allowed: limits by group.

    Examples:
        >>> rows = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
        >>> choose_diverse(rows, np.array([0.1, 0.2, 0.3]), Diversity(weight=0.9), 2).chosen.tolist()
        [0, 2]
    """
    likeness = _Likeness(vectors)
    span = float(predicted[-1] - predicted[0])
    quality = (predicted[-1] - predicted) / span if span > 0 else np.zeros(len(predicted))
    kind = _FacilityLocation if diversity.kind == "facility-location" else _KCenter
    gains = kind(likeness, quality, diversity.weight, count)
    chosen: list[int] = []
    misfit: int | None = None
    open_ = np.ones(len(predicted), dtype=bool)
    for _ in range(len(predicted) if fits else min(count, len(predicted))):
        row = gains.best(open_ & allowed.mask() if allowed else open_)
        if row is None:
            break
        if fits is not None and not fits(row):
            misfit = row
            break
        chosen.append(row)
        open_[row] = False
        gains.take(row)
        if allowed:
            allowed.take(row)
    return Picks(np.array(chosen, dtype=np.int64), likeness.to_nearest(chosen), misfit)


def nearest_cosines(rows: npt.NDArray[np.floating], chosen: npt.NDArray[np.floating]) -> Array:
    """Cosine of each row to the nearest chosen one, as the choice sees it.

    Examples:
        >>> nearest_cosines(np.eye(2), np.array([[0.6, 0.8]])).round(3).tolist()
        [0.6, 0.8]
    """
    whole, others = quantise(rows), quantise(chosen)
    nearest = np.full(len(whole), -np.inf)
    for start in range(0, len(others), _BATCH):
        np.maximum(nearest, (whole @ others[start : start + _BATCH].T).max(axis=1), out=nearest)
    return nearest / _STEPS**2


class _Likeness:
    """Cosines between rows, in units of ``_STEPS**2``, exact for the quantised vectors."""

    def __init__(self, vectors: npt.NDArray[np.floating]) -> None:
        self.vectors = quantise(vectors)
        self.rows = len(self.vectors)
        self._all: Floats | None = self.vectors @ self.vectors.T if self.rows <= _KEEP else None

    def of(self, rows: Rows) -> Floats:
        """Shape (rows, all)."""
        return self._all[rows] if self._all is not None else self.vectors[rows] @ self.vectors.T

    def to_nearest(self, chosen: list[int]) -> Array:
        nearest = np.full(self.rows, -np.inf)
        for start in range(0, len(chosen), _BATCH):
            part = self.of(np.array(chosen[start : start + _BATCH]))
            np.maximum(nearest, part.max(axis=0), out=nearest)
        return nearest / float(_STEPS) ** 2


class _FacilityLocation:
    """Gains as of the last look at each row: they can only fall, so a row is looked at again only when it is on top."""

    def __init__(self, likeness: _Likeness, quality: Array, weight: float, count: int) -> None:
        self._likeness = likeness
        self._quality = (1.0 - weight) * quality / count
        self._unit = weight / (likeness.rows * float(_STEPS) ** 2)
        self._best = np.zeros(likeness.rows, dtype=np.float32)
        self._gain = np.full(likeness.rows, math.inf)
        self._seen = np.zeros(likeness.rows, dtype=bool)
        everywhere = np.arange(likeness.rows)
        for start in range(0, likeness.rows, _BATCH):
            self._look(everywhere[start : start + _BATCH])

    def _look(self, rows: Rows) -> None:
        # Whole numbers below 2**53: their sum is exact in any order.
        more = np.maximum(self._likeness.of(rows) - self._best, 0.0).sum(axis=1, dtype=np.float64)
        self._gain[rows] = self._quality[rows] + self._unit * more
        self._seen[rows] = True

    def best(self, open_: npt.NDArray[np.bool_]) -> int | None:
        if not open_.any():
            return None
        while True:
            gain = np.where(open_, self._gain, -math.inf)
            top = int(gain.argmax())
            stale = open_ & ~self._seen
            if self._seen[top] and not (stale & (gain >= gain[top])).any():
                return top
            waiting = np.flatnonzero(stale)
            if len(waiting) > _BATCH:
                waiting = waiting[np.argpartition(-gain[waiting], _BATCH)[:_BATCH]]
            self._look(waiting)

    def take(self, row: int) -> None:
        np.maximum(self._best, self._likeness.of(np.array([row]))[0], out=self._best)
        self._seen[:] = False


class _KCenter:
    def __init__(self, likeness: _Likeness, quality: Array, weight: float, count: int) -> None:
        self._likeness, self._weight = likeness, weight
        self._quality = (1.0 - weight) * quality
        self._nearest = np.full(likeness.rows, -(float(_STEPS) ** 2))

    def best(self, open_: npt.NDArray[np.bool_]) -> int | None:
        if not open_.any():
            return None
        away = (1.0 - self._nearest / float(_STEPS) ** 2) / 2.0
        return int(np.where(open_, self._quality + self._weight * away, -math.inf).argmax())

    def take(self, row: int) -> None:
        np.maximum(self._nearest, self._likeness.of(np.array([row]))[0], out=self._nearest)
