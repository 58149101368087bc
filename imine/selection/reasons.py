"""Why rows were rejected, in words: made from codes and numbers for the rows that are shown or written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from imine.rules import Rule
from imine.rules.predict import contribution_columns
from imine.selection.choosing import Choice, Pool, representatives
from imine.selection.codes import Code
from imine.selection.ranking import Array, Ranking, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """All that the reasons are made from.

    Attributes:
        scores: ``id``, the indicators of the rule, their reasons, and the columns that the request names.
        rule, ranking, pool, choice: the rule, the order, what else is known, and the decision.
    """

    scores: pl.DataFrame
    rule: Rule
    ranking: Ranking
    pool: Pool
    choice: Choice


def reasons_of(decided: Decided, start: int, stop: int) -> pl.Series:
    """The reasons of the rows from place ``start`` to ``stop`` of the ranking; null for kept ones."""
    rows = decided.ranking.order[start:stop]
    frame = decided.scores[rows].with_columns(
        pl.Series("imine_code", decided.choice.codes[rows]),
        pl.Series("imine_loss", decided.ranking.predicted[rows]),
        pl.Series("imine_key", decided.ranking.key[rows]),
        pl.Series("imine_rank", np.arange(start + 1, start + 1 + len(rows))),
    )
    words = pl.lit(None, dtype=pl.String)
    for code in sorted(set(frame["imine_code"].unique()) - {Code.KEPT}):
        text = _WORDS[Code(code)](decided, rows)
        words = pl.when(pl.col("imine_code") == code).then(text).otherwise(words)
    # Not select: where all rows are kept the words are one null.
    return frame.with_columns(words.alias("reason"))["reason"]


def _place(decided: Decided) -> pl.Expr:
    of = pl.lit(f"{decided.ranking.ranked:,}")
    return pl.format("(rank {} of {})", thousands(pl.col("imine_rank")), of)


def thousands(number: pl.Expr) -> pl.Expr:
    """Whole numbers with commas; three times as fast as regular expressions over the digits."""

    def last_three(value: pl.Expr) -> pl.Expr:
        return (value % 1000).cast(pl.String).str.zfill(3)

    thousands, millions = number // 1000, number // 1_000_000
    return (
        pl.when(number < 1000)
        .then(number.cast(pl.String))
        .when(number < 1_000_000)
        .then(pl.format("{},{}", thousands, last_three(number)))
        .otherwise(pl.format("{},{},{}", millions, last_three(thousands), last_three(number)))
    )


def _loss() -> pl.Expr:
    return pl.col("imine_loss").round(6)


def _unscored(decided: Decided, rows: Rows) -> pl.Expr:
    return pl.concat_str(
        [_missing(decided, name, value) for name, value in _contributions(decided.rule)],
        separator="; ",
        ignore_nulls=True,
    )


def _contributions(rule: Rule) -> list[tuple[str, pl.Expr]]:
    return list(zip(rule.indicators, contribution_columns(rule), strict=True))


def _missing(decided: Decided, name: str, value: pl.Expr) -> pl.Expr:
    text = why_without(decided.scores, name)
    return pl.when(value.is_null()).then(pl.format("no {}: {}", pl.lit(name), text))


def why_without(scores: pl.DataFrame, name: str) -> pl.Expr:
    """Why a row has no value in a column of the scores; of rows that have one it says nothing true."""
    why = f"{name}__why"
    given = pl.col(why) if why in scores.columns else pl.lit(None, dtype=pl.String)
    fallback = pl.when(pl.col(name).is_null()).then(pl.lit("the scores give no reason"))
    return given.fill_null(fallback.otherwise(pl.lit("its value is not a finite number")))


def _above(decided: Decided, rows: Rows) -> pl.Expr:
    request, cut = decided.pool.request, decided.choice.cut
    line = "threshold" if request.threshold is not None else "cut"
    what = "predicted log loss" if request.by == "prediction" else "upper end of the interval"
    limit = pl.lit(cut, dtype=pl.Float64)
    place, key = _place(decided), pl.col("imine_key")
    at_cut = pl.format(what + " {} equals the cut, later by id {}", key.round(6), place)
    above = pl.format(what + " {} above the " + line + " {} {}", key.round(6), limit.round(6), place)
    return pl.when(key == limit).then(at_cut).otherwise(above)


def _cannot_tell(decided: Decided, rows: Rows) -> pl.Expr:
    request = decided.pool.request
    if request.band is not None:
        round_it = f"cannot tell: predicted log loss {{}} within {request.band:g} of the threshold "
    else:
        round_it = "cannot tell: the extrapolated interval of the predicted log loss {} holds the threshold "
    return pl.format(round_it + f"{request.threshold:g} {{}}", _loss(), _place(decided))


def _duplicate(decided: Decided, rows: Rows) -> pl.Expr:
    alike = decided.pool.alike
    assert alike is not None
    ranked, tokens = decided.ranking.rows, decided.pool.tokens
    best = representatives(ranked if tokens is None else ranked[~np.isnan(tokens[ranked])], alike)[
        alike[rows]
    ]
    # Rows without a prediction have another reason, and perhaps no better row.
    ids = decided.scores["id"].cast(pl.String)[np.maximum(best, 0)]
    return pl.format("near-duplicate of {}, which ranks higher {}", pl.lit(ids), _place(decided))


def _no_tokens(decided: Decided, rows: Rows) -> pl.Expr:
    column = decided.pool.request.token_column
    text = why_without(decided.scores, column)
    return pl.format("no {}, by which the tokens are counted: {}", pl.lit(column), text)


def _budget(decided: Decided, rows: Rows) -> pl.Expr:
    request = decided.pool.request
    return pl.format(
        f"beyond the budget of {request.tokens:,} tokens: predicted log loss {{}}, {{}} tokens {{}}",
        _loss(),
        pl.col(request.token_column),
        _place(decided),
    )


def _quota(decided: Decided, rows: Rows) -> pl.Expr:
    quota, groups = decided.pool.request.quota, decided.pool.groups
    assert quota is not None
    assert groups is not None
    names = pl.Series(list(groups.names), dtype=pl.String)[groups.codes[rows].astype(np.int64)]
    return pl.format(
        "the quota of {} {} is full: predicted log loss {} {}",
        pl.lit(quota.column),
        pl.lit(names),
        _loss(),
        _place(decided),
    )


def _no_room(decided: Decided, rows: Rows) -> pl.Expr:
    quota = decided.pool.request.quota
    assert quota is not None
    return pl.format(
        "the least numbers of the quota of {} leave no room: predicted log loss {} {}",
        pl.lit(quota.column),
        _loss(),
        _place(decided),
    )


def _passed_over(decided: Decided, rows: Rows) -> pl.Expr:
    return pl.format(
        "passed over for diversity: cosine {} to the nearest kept row, predicted log loss {} {}",
        pl.lit(pl.Series(nearest_of(decided, rows))).round(3),
        _loss(),
        _place(decided),
    )


def nearest_of(decided: Decided, rows: Rows) -> Array:
    """Cosine of each row to the nearest kept one; not a number for rows that were not on the shortlist."""
    shortlist, picks = decided.choice.shortlist, decided.choice.picks
    nearest = np.full(len(decided.ranking.order), np.nan)
    if shortlist is not None and picks is not None:
        nearest[shortlist] = picks.nearest
    return nearest[rows]


def _not_listed(decided: Decided, rows: Rows) -> pl.Expr:
    shortlist = decided.choice.shortlist
    count = 0 if shortlist is None else len(shortlist)
    return pl.format(
        f"not among the {count:,} rows that diversity chose from: predicted log loss {{}} {{}}",
        _loss(),
        _place(decided),
    )


_WORDS: dict[Code, Callable[[Decided, Rows], pl.Expr]] = {
    Code.UNSCORED: _unscored,
    Code.ABOVE: _above,
    Code.CANNOT_TELL: _cannot_tell,
    Code.DUPLICATE: _duplicate,
    Code.NO_TOKENS: _no_tokens,
    Code.BUDGET: _budget,
    Code.QUOTA: _quota,
    Code.NO_ROOM: _no_room,
    Code.PASSED_OVER: _passed_over,
    Code.NOT_LISTED: _not_listed,
}
