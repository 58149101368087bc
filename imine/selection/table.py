"""The table of a selection: one row an example, made for the rows that are shown or written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from imine.rules import Rule
from imine.rules.predict import contribution_columns
from imine.selection.intervals import half_widths
from imine.selection.ranking import Array, Rows, outside_ranges
from imine.selection.reasons import Decided, reasons_of

_PART = 500_000


def table_parts(decided: Decided, inclusion: Array | None = None) -> Iterator[pl.DataFrame]:
    """The table in rank order, in parts of half a million rows.

    Args:
        decided: the selection.
        inclusion: by position of the row, the share of refits that keep it.
    """
    total = len(decided.ranking.order)
    for start in range(0, total, _PART):
        yield table_part(decided, start, min(start + _PART, total), inclusion)


def table_part(decided: Decided, start: int, stop: int, inclusion: Array | None = None) -> pl.DataFrame:
    """The rows from place ``start`` to ``stop``; see :class:`imine.selection.Selection` for the columns."""
    rule, rows = decided.rule, decided.ranking.order[start:stop]
    scores = decided.scores[rows]
    predicted = pl.Series("predicted_log_loss", decided.ranking.predicted[rows]).fill_nan(None)
    ranks = pl.Series(np.arange(start + 1, start + 1 + len(rows)))
    columns = [
        scores["id"],
        pl.Series("kept", decided.choice.kept[rows]),
        pl.select(pl.when(predicted.is_not_null()).then(ranks).alias("rank")).to_series(),
        predicted,
        *_interval(decided, predicted, rows),
        *scores.select(contribution_columns(rule)).get_columns(),
        _out_of_range(decided.scores, rule, rows, predicted.is_not_null()),
        *_picks(decided, rows),
    ]
    if inclusion is not None:
        columns.append(pl.Series("inclusion", inclusion[rows]).fill_nan(None))
    return pl.DataFrame([*columns, reasons_of(decided, start, stop)])


def _interval(decided: Decided, predicted: pl.Series, rows: Rows) -> list[pl.Series]:
    if decided.rule.covariance is None:
        return []
    half = pl.Series(half_widths(decided.scores, decided.rule, decided.pool.request.level, rows))
    half = half.fill_nan(None)
    return [(predicted - half).alias("extrapolated_low"), (predicted + half).alias("extrapolated_high")]


def _out_of_range(scores: pl.DataFrame, rule: Rule, rows: Rows, usable: pl.Series) -> pl.Series:
    if not rule.ranges:
        return pl.Series("out_of_range", [None] * len(rows), dtype=pl.String)
    outside = pl.DataFrame(outside_ranges(scores, rule, rows)).select(pl.all() & usable)
    names = [pl.when(name).then(pl.lit(name)) for name in rule.ranges]
    joined = outside.select(out_of_range=pl.concat_str(names, separator=",", ignore_nulls=True))
    return joined.select(pl.when(pl.col("out_of_range") != "").then("out_of_range")).to_series()


def _picks(decided: Decided, rows: Rows) -> list[pl.Series]:
    """In which turn diversity chose a row."""
    shortlist, picks = decided.choice.shortlist, decided.choice.picks
    if decided.pool.request.diversity is None:
        return []
    turn = np.zeros(len(decided.ranking.order), dtype=np.int64)
    if shortlist is not None and picks is not None:
        turn[shortlist[picks.chosen]] = np.arange(1, len(picks.chosen) + 1)
    series = pl.Series("picked", turn[rows])
    return [pl.select(pl.when(series > 0).then(series).alias("picked")).to_series()]
