"""The decision on every row, from arrays alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from imine.selection.codes import Code
from imine.selection.diversity import Allowed, Picks, choose_diverse
from imine.selection.quotas import Bounds, Groups
from imine.selection.ranking import Array, Ranking, Rows
from imine.selection.requests import Request
from imine.selection.row_limits import RowLimits, row_limits

Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.unsignedinteger]

# As many passes over 16-bit numbers cost as much as one stable sort of them.
_FEW_GROUPS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """What a decision needs besides the ranking; all by position of the row.

    Attributes:
        request: what was asked for.
        half: half width of each row's interval, shape (rows,); ``None`` where it is not needed.
        tokens: tokens of each row, not a number where they are not known; ``None`` without a budget.
        groups, bounds: of the quota; ``None`` without one.
        alike: the first row of each row's group of near-duplicates; ``None`` where they are not looked for.
        vectors: unit vectors, (rows, dimensions); ``None`` where they are not needed.
    """

    request: Request
    half: Array | None = None
    tokens: Array | None = None
    groups: Groups | None = None
    bounds: Bounds | None = None
    alike: Rows | None = None
    vectors: npt.NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The decision on every row.

    Attributes:
        codes: a :class:`Code` for each row, uint8.
        cut: largest key among the rows that were kept in rank order; the threshold where one was asked for; ``None``
            where nothing is kept.
        candidates: rows that could be chosen: with a prediction, less near-duplicates and rows without tokens.
        in_band: rows of the band round the threshold; ``None`` where there is no such band.
        limits: the quota in rows; ``None`` without one and with a budget of tokens.
        shortlist, picks: of the diversity.
    """

    codes: npt.NDArray[np.uint8]
    cut: float | None
    candidates: int
    in_band: int | None = None
    limits: RowLimits | None = None
    shortlist: Rows | None = None
    picks: Picks | None = None

    @property
    def kept(self) -> Bools:
        """Whether each row is kept."""
        return self.codes == Code.KEPT


def choose(ranking: Ranking, pool: Pool) -> Choice:
    """Decide on every row: near-duplicates first, then the threshold, then quotas, budget and number.

    Args:
        ranking: the order.
        pool: what else is known of the rows.

    Raises:
        SelectionError: the quotas cannot be met.
    """
    codes = np.where(np.isnan(ranking.predicted), np.uint8(Code.UNSCORED), np.uint8(Code.ABOVE))
    rows = ranking.rows
    # A row that cannot be chosen stands for no other.
    rows = _with_tokens(rows, pool, codes)
    rows = _collapse(rows, pool, codes)
    if pool.request.threshold is not None:
        return _below_threshold(rows, ranking, pool, codes)
    if pool.request.diversity is not None:
        return _diverse(rows, ranking, pool, codes)
    return _in_rank_order(rows, ranking, pool, codes)


def representatives(rows: Rows, alike: Rows) -> Rows:
    """The best-ranked row of each group, by the position of the group's first row; -1 for a group without any.

    Args:
        rows: positions in rank order.
        alike: group of each row, as the position of its first row.
    """
    best = np.full(len(alike), -1, dtype=np.int64)
    # Of several rows of a group the last one written stays: the best.
    best[alike[rows[::-1]]] = rows[::-1]
    return best


def _collapse(rows: Rows, pool: Pool, codes: npt.NDArray[np.uint8]) -> Rows:
    if pool.alike is None:
        return rows
    first = representatives(rows, pool.alike)[pool.alike[rows]] == rows
    codes[rows[~first]] = Code.DUPLICATE
    return rows[first]


def _with_tokens(rows: Rows, pool: Pool, codes: npt.NDArray[np.uint8]) -> Rows:
    if pool.tokens is None:
        return rows
    known = ~np.isnan(pool.tokens[rows])
    codes[rows[~known]] = Code.NO_TOKENS
    return rows[known]


def _below_threshold(rows: Rows, ranking: Ranking, pool: Pool, codes: npt.NDArray[np.uint8]) -> Choice:
    request, threshold = pool.request, pool.request.threshold
    assert threshold is not None
    key = ranking.key[rows]
    below = key <= threshold
    band = _band(rows, ranking, pool, threshold)
    if band is not None and request.cannot_tell is not None:
        below = below | band if request.cannot_tell == "keep" else below & ~band
        codes[rows[band & ~below]] = Code.CANNOT_TELL
    kept, limits = rows[below], None
    if pool.groups is not None and pool.bounds is not None:
        # No row beyond the threshold is taken, nor one below it left out, for the sake of a least.
        group = pool.groups.codes[kept]
        limits = _limits(group, len(kept), pool.bounds.without_least())
        kept = _within_quota(kept, group, limits, codes)[0]
    codes[kept] = Code.KEPT
    in_band = None if band is None else int(band.sum())
    return Choice(codes, threshold, len(rows), in_band, limits)


def _band(rows: Rows, ranking: Ranking, pool: Pool, threshold: float) -> Bools | None:
    away = np.abs(ranking.predicted[rows] - threshold)
    if pool.request.band is not None:
        return np.asarray(away <= pool.request.band)
    return None if pool.half is None else np.asarray(away <= pool.half[rows])


def _in_rank_order(rows: Rows, ranking: Ranking, pool: Pool, codes: npt.NDArray[np.uint8]) -> Choice:
    limits = None
    if pool.tokens is not None:
        kept, last = _within_budget(rows, pool, codes)
    elif pool.groups is not None and pool.bounds is not None:
        group = pool.groups.codes[rows]
        limits = _limits(group, _wanted(rows, pool), pool.bounds)
        kept, last = _within_quota(rows, group, limits, codes)
    else:
        kept = rows[: _wanted(rows, pool)]
        last = len(kept) - 1
    codes[kept] = Code.KEPT
    cut = float(ranking.key[rows[last]]) if len(kept) and last >= 0 else None
    return Choice(codes, cut, len(rows), limits=limits)


def _limits(group: Codes, wanted: int, bounds: Bounds) -> RowLimits:
    """The quota in rows, for rows of these groups."""
    there = np.bincount(group, minlength=len(bounds.names)).astype(np.int64)
    return row_limits(bounds, there, wanted)


def _within_quota(
    rows: Rows, group: Codes, limits: RowLimits, codes: npt.NDArray[np.uint8]
) -> tuple[Rows, int]:
    """Rows kept, and the place of the last one that was kept in rank order."""
    reserved, fits = _first_of_each(group, limits.there, limits.least, limits.most)
    waiting = np.flatnonzero(fits & ~reserved)
    free = waiting[: limits.total - int(reserved.sum())]
    last = _last_place(free, reserved)
    # Beyond the last row it is the cut that rejects, if there is one.
    if not len(free):
        codes[rows[waiting[waiting < last]]] = Code.NO_ROOM
    full = ~fits if len(free) == len(waiting) else ~fits[: last + 1]
    codes[rows[: len(full)][full]] = Code.QUOTA
    kept = reserved
    kept[free] = True
    return rows[kept], last


def _first_of_each(group: Codes, there: Rows, least: Rows, most: Rows) -> tuple[Bools, Bools]:
    """Whether a row is among the first ``least``, and the first ``most``, of its group."""
    if len(there) > _FEW_GROUPS:
        nth = _running(group, there)
        return np.asarray(nth < least[group]), np.asarray(nth < most[group])
    reserved, fits = np.zeros(len(group), dtype=bool), np.ones(len(group), dtype=bool)
    for number in np.flatnonzero((least > 0) | (most < there)):
        places = np.flatnonzero(group == number)
        reserved[places[: least[number]]] = True
        fits[places[most[number] :]] = False
    return reserved, fits


def _last_place(free: Rows, reserved: Bools) -> int:
    """Place of the last row kept by its rank; where all are reserved, of the last of those."""
    if len(free):
        return int(free[-1])
    places = np.flatnonzero(reserved)
    return int(places[-1]) if len(places) else -1


def _running(group: Codes, there: Rows) -> Rows:
    """How many rows of its own group stand before each row."""
    # A stable sort of 16-bit numbers is a radix sort: twenty million a second.
    order = np.argsort(group, kind="stable")
    starts = np.cumsum(there) - there
    nth = np.empty(len(group), dtype=np.int64)
    nth[order] = np.arange(len(group)) - np.repeat(starts, there)
    return nth


def _within_budget(rows: Rows, pool: Pool, codes: npt.NDArray[np.uint8]) -> tuple[Rows, int]:
    """As :func:`_within_quota`, for a budget of tokens: each part ends at the first row that does not fit."""
    assert pool.tokens is not None
    assert pool.request.tokens is not None
    tokens, budget = pool.tokens[rows], float(pool.request.tokens)
    codes[rows] = Code.BUDGET
    if pool.groups is None or pool.bounds is None:
        kept = np.cumsum(tokens) <= budget
        return rows[kept], int(kept.sum()) - 1
    group, bounds = pool.groups.codes[rows], pool.bounds
    there = np.bincount(group, minlength=len(pool.groups.names)).astype(np.int64)
    nth, spent = _running(group, there), _running_sum(group, there, tokens)
    # 0.07 * 100 must be 7, whatever its rounding.
    least, most = bounds.least_share * budget * (1 - 1e-12), bounds.most_share * budget * (1 + 1e-12)
    full = (nth >= bounds.most_rows[group]) | (spent > most[group])
    reserved = ~full & ((nth < bounds.least_rows[group]) | (spent - tokens < least[group]))
    reserved &= np.cumsum(np.where(reserved, tokens, 0.0)) <= budget
    free = ~full & ~reserved
    free &= np.cumsum(np.where(free, tokens, 0.0)) <= budget - tokens[reserved].sum()
    last = _last_place(np.flatnonzero(free), reserved)
    codes[rows[: last + 1][full[: last + 1]]] = Code.QUOTA
    return rows[free | reserved], last


def _running_sum(group: Codes, there: Rows, tokens: Array) -> Array:
    """Tokens of each row's own group up to the row, the row included."""
    order = np.argsort(group, kind="stable")
    total = np.cumsum(tokens[order])
    starts = np.cumsum(there) - there
    before = np.concatenate([[0.0], total])[starts]
    sums = np.empty(len(tokens))
    sums[order] = total - np.repeat(before, there)
    return sums


def _diverse(rows: Rows, ranking: Ranking, pool: Pool, codes: npt.NDArray[np.uint8]) -> Choice:
    request = pool.request
    assert request.diversity is not None
    assert pool.vectors is not None
    if not len(rows):
        return Choice(codes, None, 0)
    count, limits, allowed = _wanted(rows, pool), None, None
    if pool.groups is not None and pool.bounds is not None:
        limits = _limits(pool.groups.codes[rows], count, pool.bounds)
        count = limits.total
        if not count:
            codes[rows] = Code.QUOTA
            return Choice(codes, None, len(rows), limits=limits)
    shortlist = rows[: max(request.diversity.shortlist or 4 * count, count)]
    if pool.groups is not None and limits is not None:
        shortlist, allowed = _allowed(rows, len(shortlist), pool.groups.codes, limits)
    fits = None if pool.tokens is None else _Budget(pool.tokens[shortlist], float(request.tokens or 0))
    picks = choose_diverse(
        pool.vectors[shortlist], ranking.key[shortlist], request.diversity, count, fits=fits, allowed=allowed
    )
    codes[rows] = Code.NOT_LISTED
    codes[shortlist] = Code.PASSED_OVER
    if picks.misfit is not None:
        codes[shortlist[picks.misfit]] = Code.BUDGET
    kept = shortlist[picks.chosen]
    if not len(kept):
        # Nothing that was preferred: the budget is less than the first row, or the quota lets none be kept.
        codes[rows] = Code.BUDGET if fits else Code.QUOTA
    codes[kept] = Code.KEPT
    cut = float(ranking.key[kept].max()) if len(kept) else None
    return Choice(codes, cut, len(rows), limits=limits, shortlist=shortlist, picks=picks)


def _wanted(rows: Rows, pool: Pool) -> int:
    if not len(rows):
        return 0
    if pool.tokens is None:
        return pool.request.count(len(rows))
    # As many as the budget holds of the best rows, which may be shorter or longer than others.
    return max(1, int(np.count_nonzero(np.cumsum(pool.tokens[rows]) <= float(pool.request.tokens or 0))))


def _allowed(rows: Rows, listed: int, groups: Codes, limits: RowLimits) -> tuple[Rows, Allowed]:
    """The shortlist with what the quota alone would choose beyond it, and the limits."""
    within = np.zeros(len(groups), dtype=bool)
    within[_within_quota(rows, groups[rows], limits, np.empty(len(groups), dtype=np.uint8))[0]] = True
    within[rows[:listed]] = True
    shortlist = rows[within[rows]]
    own = groups[shortlist].astype(np.int64)
    return shortlist, Allowed(own, limits.least, limits.most, limits.total)


class _Budget:
    """Whether a row still fits; asked once a choice."""

    def __init__(self, tokens: Array, budget: float) -> None:
        self._tokens, self._left = tokens, budget

    def __call__(self, row: int) -> bool:
        self._left -= float(self._tokens[row])
        return self._left >= 0


def without_diversity(pool: Pool) -> Pool:
    """The same request without its diversity."""
    return replace(pool, request=replace(pool.request, diversity=None))
