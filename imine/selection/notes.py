"""What a reader of a selection should know."""

from __future__ import annotations

import numpy as np
import polars as pl

from imine.rendering import percent
from imine.rules import MeanPrediction
from imine.selection.choosing import choose, without_diversity
from imine.selection.codes import Code
from imine.selection.quotas import unmet
from imine.selection.ranking import values_of
from imine.selection.reasons import Decided, reasons_of

_MANY = 1_000_000


def notes_on(decided: Decided, kept_mean: MeanPrediction | None) -> list[str]:
    """Notes on the counts, then on what the rule does not know, then on its own weakness."""
    kept = int(decided.choice.kept.sum())
    notes = _counts(decided, kept) if decided.ranking.ranked else [_none_predicted(decided)]
    return [
        *notes,
        *_band(decided),
        *_quota(decided),
        *_diversity(decided),
        *_extrapolated(decided, kept, kept_mean),
        *_no_intervals(decided),
        *_useless(decided),
    ]


def _counts(decided: Decided, kept: int) -> list[str]:
    ranked, notes = decided.ranking.ranked, _fewer(decided, kept)
    total = len(decided.ranking.order)
    if total > ranked:
        notes.append(f"{total - ranked:,} of {total:,} rows have no prediction, for a missing indicator.")
    if not kept:
        notes.append("No row is kept.")
    return notes


def _fewer(decided: Decided, kept: int) -> list[str]:
    """Why fewer rows are kept than were asked for."""
    request, available = decided.pool.request, decided.choice.candidates
    limits, notes = decided.choice.limits, []
    if request.top is not None and request.top > available:
        less = " and are no near-duplicate" if available < decided.ranking.ranked else ""
        notes.append(
            f"{request.top:,} rows were asked for, but only {available:,} have a prediction{less}"
            + (": all those are kept." if kept == available else ".")
        )
    if limits is not None and limits.why:
        notes.append(f"The quota lets no more than {kept:,} rows be kept: {limits.why}.")
    return notes


def _none_predicted(decided: Decided) -> str:
    """Why nothing could be ranked, by the most frequent reasons."""
    total = len(decided.ranking.order)
    parts = [
        reasons_of(decided, start, min(start + _MANY, total)).value_counts(name="rows")
        for start in range(0, total, _MANY)
    ]
    counted = pl.concat(parts).group_by("reason").agg(pl.col("rows").sum())
    counted = counted.sort("rows", "reason", descending=[True, False])
    shown = [f"{reason} ({rows:,} rows)" for reason, rows in counted.head(3).rows()]
    more = f"; and {counted.height - 3:,} other reasons" if counted.height > 3 else ""
    return (
        f"No row is kept: none of the {total:,} rows has a prediction. "
        f"Most frequent reasons: {'; '.join(shown)}{more}."
    )


def _band(decided: Decided) -> list[str]:
    count, request = decided.choice.in_band, decided.pool.request
    if not count:
        return []
    if request.band is not None:
        where = f"within {request.band:g} of it"
    else:
        level = request.level or decided.rule.level
        where = f"their {percent(level)} interval (extrapolated to single rows) holds it"
    what = {"keep": "they are kept", "drop": "they are dropped", None: "the prediction decided on them"}
    if request.by == "upper":
        return [
            f"For {count:,} rows it cannot be told whether they are below the threshold: {where}; they are dropped."
        ]
    return [
        f"For {count:,} rows it cannot be told whether they are below the threshold: {where}; "
        f"{what[request.cannot_tell]}."
    ]


def _quota(decided: Decided) -> list[str]:
    pool = decided.pool
    if pool.request.quota is None or pool.groups is None:
        return []
    return unmet(pool.request.quota, pool.groups, decided.choice.kept, pool.tokens, pool.request.tokens)


def _diversity(decided: Decided) -> list[str]:
    """What the diversity cost, beside the same request without it."""
    choice, pool, predicted = decided.choice, decided.pool, decided.ranking.predicted
    if (
        choice.picks is None
        or choice.shortlist is None
        or pool.vectors is None
        or not len(choice.picks.chosen)
    ):
        return []
    plain = choose(decided.ranking, without_diversity(pool))
    ours, theirs = (float(predicted[c.kept].mean()) for c in (choice, plain))
    vectors = pool.vectors
    shared = int((choice.kept & plain.kept).sum())
    chosen = np.flatnonzero(plain.kept)
    to_plain = _nearest(vectors[choice.shortlist], vectors[chosen])
    return [
        f"Diversity chose among {len(choice.shortlist):,} rows; {shared:,} of its {int(choice.kept.sum()):,} rows "
        f"would be kept without it. Their mean prediction is {ours:.4f} instead of {theirs:.4f}; the mean cosine of "
        f"the shortlist to the nearest kept row is {choice.picks.nearest.mean():.3f} instead of {to_plain:.3f}."
    ]


def _nearest(rows: np.ndarray, chosen: np.ndarray) -> float:
    from imine.selection.diversity import nearest_cosines

    return float(nearest_cosines(rows, chosen).mean())


def _extrapolated(decided: Decided, kept: int, kept_mean: MeanPrediction | None) -> list[str]:
    rule, notes = decided.rule, []
    unknown = [name for name in rule.indicators if name not in rule.ranges]
    if unknown:
        notes.append(f"The rule gives no fitted range of {', '.join(unknown)}: extrapolation cannot be told.")
    if rule.set_size and kept and not rule.set_size[0] <= kept <= rule.set_size[1]:
        notes.append(
            f"The rule was fitted on sets of {_sizes(rule.set_size)} examples, {kept:,} are kept: the level of its "
            "predictions and their intervals are for sets of its own size."
        )
    for name in kept_mean.outside if kept_mean else ():
        span = rule.ranges[name]
        mean = float(values_of(decided.scores, name)[decided.choice.kept].mean())
        notes.append(
            f"The kept rows' mean {name} is {mean:.4g}, outside the range that the rule was fitted on "
            f"({span.min:.4g} to {span.max:.4g}): their predicted level is extrapolated."
        )
    return notes


def _no_intervals(decided: Decided) -> list[str]:
    level, rule = decided.pool.request.level, decided.rule
    if level is None or rule.covariance is not None:
        return []
    return [f"Rule {rule.name!r} has no covariance, so there are no intervals of {percent(level)}."]


def _sizes(bounds: tuple[int, int]) -> str:
    low, high = bounds
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _useless(decided: Decided) -> list[str]:
    held_out = decided.rule.held_out
    if held_out is None or held_out.press_r2 > 0:
        return []
    return [
        f"The rule predicts nothing out of sample (PRESS R2 = {held_out.press_r2:.2f}): "
        "this choice is no better founded than a random one."
    ]


def rejected_in_words(counts: dict[Code, int]) -> str:
    """Numbers of rejected rows by reason, for people.

    Examples:
        >>> rejected_in_words({Code.UNSCORED: 2, Code.ABOVE: 1200})
        '1,200 above the cut, 2 without a prediction'
    """
    from imine.selection.codes import IN_WORDS

    order = [
        Code.ABOVE,
        *(code for code in IN_WORDS if code not in (Code.ABOVE, Code.UNSCORED)),
        Code.UNSCORED,
    ]
    always = (Code.ABOVE, Code.UNSCORED)
    return ", ".join(
        f"{counts.get(code, 0):,} {IN_WORDS[code]}" for code in order if counts.get(code) or code in always
    )
