"""How much the chosen set changes when the rule is fitted again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from imine.errors import SelectionError
from imine.progress import Progress, SilentProgress
from imine.selection.choosing import choose
from imine.selection.ranking import Array, Rows, rank, values_of
from imine.selection.reasons import Decided
from imine.selection.refits import Refits, parametric_refits, run_refits
from imine.selection.result import Selection

Bools = npt.NDArray[np.bool_]
Pick = Callable[[Array], Bools]

_TOLD = 50


@dataclass(frozen=True, slots=True, eq=False)
class Stability:
    """What refits of the rule would have chosen by the same request.

    Attributes:
        kind: ``runs``, the runs drawn anew with replacement and the rule's terms fitted to them; or ``parametric``,
            coefficients drawn from a normal distribution with the rule's own covariance, which takes the rule's model
            for true.
        jaccard: for each refit, the rows that both it and the rule keep, as a share of those that either keeps,
            shape (refits,).
        sizes: rows that each refit keeps, shape (refits,).
        inclusion: share of the refits that keep each row, by its position in the scores, shape (rows,); not a number
            for a row without a prediction.
        by_chance: the Jaccard index of two random sets of the size of the rule's own, on average (of the ratio's
            numerator and denominator).
        failed: refits left out, since the drawn runs do not determine the coefficients.
        notes: what a reader should know.
    """

    kind: Literal["runs", "parametric"]
    jaccard: Array
    sizes: npt.NDArray[np.int64]
    inclusion: Array
    by_chance: float
    failed: int
    notes: tuple[str, ...]

    def summary(self) -> str:
        """A few lines for people."""
        low, middle, high = np.quantile(self.jaccard, [0.05, 0.5, 0.95])
        how = {
            "runs": "the runs drawn anew",
            "parametric": "coefficients drawn from their covariance, no runs at hand",
        }
        lines = [
            f"Stability over {len(self.jaccard):,} refits ({how[self.kind]}): Jaccard index with the chosen set "
            f"{middle:.3f} (5 % to 95 %: {low:.3f} to {high:.3f}); a random set of that size has {self.by_chance:.3f}.",
            f"Rows that at least 95 % of the refits keep: {self._kept_by(0.95):,}; at least half: "
            f"{self._kept_by(0.5):,}; any: {int((self.inclusion > 0).sum()):,}.",
        ]
        return "\n".join([*lines, *self.notes])

    def _kept_by(self, share: float) -> int:
        return int((self.inclusion >= share).sum())


def selection_stability(
    selection: Selection,
    *,
    refits: int = 1000,
    runs: pl.DataFrame | str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Stability:
    """Refit the rule many times, choose by each refit as the selection did, and compare.

    Every refit ranks all rows anew and makes the whole choice again: near-duplicates, threshold, quotas, budget.
    A ranking by the upper end adds to each refit's prediction the half width of the rule's own interval. With
    diversity each refit takes as long as the selection did.

    Args:
        selection: what was chosen.
        refits: how many.
        runs: the runs that the rule was fitted on (a frame, or the ``runs.parquet`` of a study); without them the
            coefficients are drawn from the rule's covariance.
        seed: of the draws.
        progress: told of the refits.

    Raises:
        SelectionError: fewer than 2 refits; neither runs nor a covariance; runs that cannot be refitted; a selection
            that keeps nothing.
        RegressionError: runs that cannot be read or lack the rule's columns.

    References:
        Meinshausen, Buehlmann (2010), Stability selection, Journal of the Royal Statistical Society B 72 (the idea of
        inclusion probabilities; here of rows, not of terms).

    Examples:
        >>> from imine.rules import Estimate, Rule, Term
        >>> from imine.selection import select_scored
        >>> rule = Rule(name="r", intercept=Estimate(coefficient=0.5), terms=(Term(name="mtld", coefficient=-0.1),),
        ...             covariance=((0.04, 0.0), (0.0, 1e-8)), df_resid=20, sigma=0.1)
        >>> frame = pl.DataFrame({"id": ["a", "b", "c"], "mtld": [1.0, 2.0, 3.0]})
        >>> stability = selection_stability(select_scored(frame, rule, top=1), refits=100)
        >>> stability.inclusion.tolist(), stability.jaccard.mean()
        ([0.0, 0.0, 1.0], np.float64(1.0))
    """
    if refits < 2:
        raise SelectionError(f"refits must be at least 2; got {refits}")
    decided = selection.decided
    if not decided.choice.kept.any():
        raise SelectionError("the selection keeps no row: there is nothing whose stability could be told")
    drawn = (
        parametric_refits(decided.rule, refits, seed)
        if runs is None
        else run_refits(decided.rule, runs, refits, seed)
    )
    return _compare(decided, drawn, progress or SilentProgress())


def _compare(decided: Decided, drawn: Refits, progress: Progress) -> Stability:
    # In the order of their ids, the first of several rows with one key is the one that comes first.
    usable = np.sort(decided.ranking.rows)
    rows = usable[decided.scores["id"][usable].arg_sort().to_numpy()]
    columns = [values_of(decided.scores, name)[rows] for name in decided.rule.indicators]
    pick, kept = _picker(decided, rows), decided.choice.kept[rows]
    counts = np.zeros(len(rows), dtype=np.int64)
    sizes = np.empty(len(drawn.coefficients), dtype=np.int64)
    common = np.empty(len(drawn.coefficients), dtype=np.int64)
    progress.start("stability", len(drawn.coefficients), "refits")
    for i, b in enumerate(drawn.coefficients):
        chosen = pick(_predict(b, columns))
        counts += chosen
        sizes[i], common[i] = np.count_nonzero(chosen), np.count_nonzero(chosen & kept)
        if (i + 1) % _TOLD == 0:
            progress.advance(_TOLD)
    progress.finish()
    inclusion = np.full(len(decided.ranking.order), np.nan)
    inclusion[rows] = counts / len(drawn.coefficients)
    own, total = int(kept.sum()), len(rows)
    overlap = own * own / total
    return Stability(
        kind=drawn.kind,
        jaccard=common / (sizes + own - common),
        sizes=sizes,
        inclusion=inclusion,
        by_chance=overlap / (2 * own - overlap),
        failed=drawn.failed,
        notes=drawn.notes,
    )


def _predict(b: Array, columns: list[Array]) -> Array:
    """Term by term, as the rule does: products of matrices round otherwise on other numbers of threads."""
    total = np.full(len(columns[0]), b[0])
    for coefficient, values in zip(b[1:], columns, strict=True):
        total += coefficient * values
    return total


def _picker(decided: Decided, rows: Rows) -> Pick:
    """The request as a function from predictions of ``rows`` to those that are kept."""
    pool, request = decided.pool, decided.pool.request
    half = pool.half[rows] if pool.half is not None else None
    plain = pool.groups is None and pool.tokens is None and pool.alike is None and request.diversity is None
    if not plain:
        return _whole_choice(decided, rows, half)
    extra = half if request.by == "upper" and half is not None else 0.0
    if request.threshold is not None:
        return _below(
            request.threshold, request.cannot_tell, half if request.band is None else request.band, extra
        )
    count = request.count(len(rows))
    return lambda predicted: lowest(predicted + extra, count)


def _below(
    threshold: float, cannot_tell: str | None, band: Array | float | None, extra: Array | float
) -> Pick:
    def pick(predicted: Array) -> Bools:
        below = predicted + extra <= threshold
        if cannot_tell is None or band is None:
            return np.asarray(below)
        inside = np.abs(predicted - threshold) <= band
        return np.asarray(below | inside if cannot_tell == "keep" else below & ~inside)

    return pick


def lowest(key: Array, count: int) -> Bools:
    """The rows of the ``count`` lowest keys; of equal ones the first.

    Examples:
        >>> lowest(np.array([2.0, 1.0, 2.0, 3.0]), 2).tolist()
        [True, True, False, False]
    """
    if count >= len(key):
        return np.ones(len(key), dtype=bool)
    cut = np.partition(key, count - 1)[count - 1]
    chosen = key <= cut
    surplus = int(np.count_nonzero(chosen)) - count
    if surplus:
        chosen[np.flatnonzero(key == cut)[-surplus:]] = False
    return chosen


def _whole_choice(decided: Decided, rows: Rows, half: Array | None) -> Pick:
    pool = decided.pool
    part = replace(
        pool,
        half=half,
        tokens=None if pool.tokens is None else pool.tokens[rows],
        groups=None if pool.groups is None else replace(pool.groups, codes=pool.groups.codes[rows]),
        alike=None if pool.alike is None else _alike_among(pool.alike, rows),
        vectors=None if pool.vectors is None else pool.vectors[rows],
    )
    # Rows stand in the order of their ids.
    ids = pl.Series(np.arange(len(rows)))

    def pick(predicted: Array) -> Bools:
        key = predicted + half if pool.request.by == "upper" and half is not None else predicted
        try:
            return choose(rank(ids, predicted, key), part).kept
        except SelectionError:
            # Of the rows that this refit puts below the threshold, or makes the best of their near-duplicates, no set
            # meets the quota.
            return np.zeros(len(rows), dtype=bool)

    return pick


def _alike_among(alike: Rows, rows: Rows) -> Rows:
    """Groups of near-duplicates by the place of each group's first row among ``rows``."""
    _, first, group = np.unique(alike[rows], return_index=True, return_inverse=True)
    return np.asarray(first[group], dtype=np.int64)
