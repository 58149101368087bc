"""Predictions of all rows and their order, as arrays: what is said of a row is made from them when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from imine.errors import RuleError, SelectionError
from imine.rules import Rule

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Rows in the order of what they are ranked by.

    Attributes:
        predicted: predicted log loss, shape (rows,); not a number where there is none.
        key: what rows are ranked by; ``predicted`` itself, or the upper end of the interval.
        order: positions of the rows, best first, equal keys by id; those without a prediction last, by id.
        ranked: number of rows with a prediction.
    """

    predicted: Array
    key: Array
    order: Rows
    ranked: int

    @property
    def rows(self) -> Rows:
        """Positions of the rows with a prediction, best first."""
        return self.order[: self.ranked]


def values_of(scores: pl.DataFrame, name: str) -> Array:
    """A score column as float64, not a number where it is null or not finite."""
    values = scores[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, np.nan)


def predict(scores: pl.DataFrame, rule: Rule) -> Array:
    """Predicted log loss of each row, bit for bit that of :meth:`imine.rules.Rule.predict`.

    Raises:
        RuleError: an indicator is missing or not numeric.
    """
    from imine.rules.predict import require_columns

    require_columns(rule, scores)
    total = np.full(scores.height, rule.intercept.coefficient)
    for term in rule.terms:
        total += values_of(scores, term.name) * term.coefficient
    if np.isinf(total).any():
        raise RuleError(f"rule {rule.name!r}: values so large that a prediction is infinite")
    return total


def rank(ids: pl.Series, predicted: Array, key: Array) -> Ranking:
    """Order rows by key, then by id."""
    order, alike = _sort_roughly(key)
    # Places of rows that this order cannot tell from a neighbour; all rows without a prediction are among them.
    shared = np.flatnonzero(alike[:-1] | alike[1:])
    if len(shared):
        rows = order[shared]
        tied = pl.DataFrame(
            {"run": np.cumsum(~alike[shared]), "key": key[rows], "id": ids[rows], "row": rows}
        )
        order[shared] = tied.sort("run", "key", "id")["row"].to_numpy()
    return Ranking(predicted, key, order, len(key) - int(np.isnan(key).sum()))


def _sort_roughly(key: Array) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Rows in the order of the leading bits of their keys, and whether each place is alike with the one before it.

    The leading bits of a key and the number of its row share 64 bits, so that whole numbers are sorted in place: numpy
    does that ten times as fast as it finds the order of floats.
    """
    rows, low = len(key), np.uint64(max(1, (len(key) - 1).bit_length()))
    packed = (key + 0.0).view(np.uint64)  # one zero, not two
    sign = np.uint64(1 << 63)
    # As unsigned numbers: the positive above the negative, and those in reverse.
    negative = packed >= sign
    np.bitwise_xor(packed, np.where(negative, ~np.uint64(0), sign), out=packed)
    packed[np.isnan(key)] = ~np.uint64(0)
    packed >>= low
    packed <<= low
    packed |= np.arange(rows, dtype=np.uint64)
    packed.sort()
    order = (packed & np.uint64((1 << int(low)) - 1)).astype(np.int64)
    packed >>= low
    alike = np.zeros(rows + 1, dtype=bool)
    alike[1:rows] = packed[1:] == packed[:-1]
    return order, alike


def mean_of(values: Array, rows: npt.NDArray[np.bool_]) -> float:
    """Mean of some values, the same whatever order they stand in, without bringing them into one.

    Values are rounded to steps so small that their number times the largest fills 62 bits; whole numbers of steps add
    up exactly. For ten million values a step is 2**-38 of the largest, far less in the mean.

    Examples:
        >>> mean_of(np.array([0.5, np.nan, 1.0, 9.0]), np.array([True, False, True, False]))
        0.75
    """
    count = int(np.count_nonzero(rows))
    largest = max((float(np.abs(part).max()) for part in _parts(values, rows) if len(part)), default=0.0)
    if not largest:
        return 0.0
    power = 61 - count.bit_length() - math.frexp(largest)[1]
    steps = sum(int(np.rint(np.ldexp(part, power)).astype(np.int64).sum()) for part in _parts(values, rows))
    return math.ldexp(steps / count, -power)


def _parts(values: Array, rows: npt.NDArray[np.bool_]) -> Iterator[Array]:
    """The values of the rows, a cache's worth at a time."""
    for start in range(0, len(values), _BLOCK):
        yield values[start : start + _BLOCK][rows[start : start + _BLOCK]]


def check_ids(ids: pl.Series) -> None:
    """Refuse ids that stand for more than one row.

    Raises:
        SelectionError: shows some of them.
    """
    # Sorting 64-bit hashes is several times as fast as a table of strings; equal hashes are looked at.
    hashes = np.sort(ids.hash().to_numpy())
    if len(hashes) < 2 or not (hashes[1:] == hashes[:-1]).any():
        return
    twice = ids.filter(ids.is_duplicated()).unique().sort()
    if twice.len():
        shown = ", ".join(str(value) for value in twice.head(5))
        raise SelectionError(f"{twice.len():,} ids stand for more than one row of the scores: {shown}")


def outside_ranges(
    scores: pl.DataFrame, rule: Rule, rows: Rows | slice = slice(None)
) -> dict[str, npt.NDArray[np.bool_]]:
    """By term with a known range, whether each of these rows lies outside it; never for a missing value.

    Examples:
        >>> from imine.rules import Estimate, FittedRange, Term
        >>> term = Term(name="mtld", coefficient=1.0, fitted=FittedRange(min=40, max=60, mean=50, sd=5))
        >>> rule = Rule(name="r", intercept=Estimate(coefficient=0.0), terms=(term,))
        >>> frame = pl.DataFrame({"mtld": [50.0, 70.0, None]})
        >>> outside_ranges(frame, rule)["mtld"].tolist()
        [False, True, False]
    """
    outside = {}
    for name, span in rule.ranges.items():
        values = values_of(scores, name)[rows]
        outside[name] = (values < span.min) | (values > span.max)
    return outside
