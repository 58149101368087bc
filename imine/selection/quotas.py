"""Quotas: how many rows of each value of a column are kept at least and at most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from imine.errors import SelectionError

Amount = int | float | None
Ints = npt.NDArray[np.int64]

EVERY = "*"
"""Stands for every value of the column that is not named."""

NO_VALUE = "(none)"
"""Name of the rows where the column is null."""

# Numbers of rows above this are this.
_MOST = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Quota:
    """Limits by the values of one column.

    Attributes:
        column: the column, such as ``source``.
        limits: by value, as text, the least and the most: whole numbers are rows, decimal ones between 0 and 1 are
            shares of what is kept (with a token budget: of its tokens), ``None`` is no limit. ``*`` is every value
            that is not named, each by itself; ``(none)`` stands for null. A share of 1.0 at most is no limit.

    Raises:
        SelectionError: a limit that is not allowed.

    Examples:
        >>> str(Quota("source", {"alpaca": (None, 0.3), "*": (10, None)}))
        'source: alpaca at most 0.3; * at least 10'
    """

    column: str
    limits: Mapping[str, tuple[Amount, Amount]]

    def __post_init__(self) -> None:
        if not self.limits:
            raise SelectionError(f"quota of {self.column}: no limit was given")
        for value, (least, most) in self.limits.items():
            for amount in (least, most):
                _check_amount(self.column, value, amount)
            if least is not None and most is not None and type(least) is type(most) and least > most:
                raise SelectionError(f"quota of {self.column} {value}: {least} at least and {most} at most")
        shares = [x for v, (x, _) in self.limits.items() if isinstance(x, float) and v != EVERY]
        if math.fsum(shares) > 1 + 1e-9:
            raise SelectionError(f"quota of {self.column}: the least shares add up to more than 1")

    def __str__(self) -> str:
        return f"{self.column}: " + "; ".join(
            f"{value} {_in_words(*limits)}" for value, limits in self.limits.items()
        )

    def of(self, value: str) -> tuple[Amount, Amount]:
        """Least and most of a value."""
        return self.limits.get(value) or self.limits.get(EVERY) or (None, None)


def _check_amount(column: str, value: str, amount: Amount) -> None:
    if amount is None:
        return
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise SelectionError(f"quota of {column} {value}: a limit is a number or None; got {amount!r}")
    if isinstance(amount, float) and not 0.0 <= amount <= 1.0:
        raise SelectionError(
            f"quota of {column} {value}: {amount} is a share (it has a decimal point) and must lie in 0 to 1"
        )
    if amount < 0:
        raise SelectionError(f"quota of {column} {value}: {amount} is negative")


def _in_words(least: Amount, most: Amount) -> str:
    parts = [f"at least {least}"] if least is not None else []
    return " and ".join([*parts, *([f"at most {most}"] if most is not None else [])]) or "without limit"


def parse_quota(items: Sequence[str]) -> Quota | None:
    """The quota that a command line gives.

    Args:
        items: ``COLUMN:VALUE=MIN..MAX``, either side of the dots may be empty; whole numbers are rows, decimal ones
            and those with a per cent sign are shares.

    Returns:
        The quota; ``None`` where there are no items.

    Raises:
        SelectionError: an item in another form, or two columns.

    Examples:
        >>> parse_quota(["source:alpaca=..30%", "source:*=10..500"]).limits
        {'alpaca': (None, 0.3), '*': (10, 500)}
    """
    limits: dict[str, tuple[Amount, Amount]] = {}
    columns: dict[str, None] = {}
    for item in items:
        head, equals, span = item.rpartition("=")
        column, colon, value = head.partition(":")
        least, dots, most = span.partition("..")
        if not (equals and colon and dots and column and value):
            raise SelectionError(f"a quota is COLUMN:VALUE=MIN..MAX, e.g. source:alpaca=..30%, not {item!r}")
        columns[column] = None
        if value in limits:
            raise SelectionError(f"quota of {column} {value} is given twice")
        limits[value] = (_parse_amount(item, least), _parse_amount(item, most))
    if len(columns) > 1:
        raise SelectionError(f"quotas must be of one column; got {', '.join(columns)}")
    return Quota(next(iter(columns)), limits) if columns else None


def _parse_amount(item: str, text: str) -> Amount:
    text = text.strip()
    try:
        if not text:
            return None
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return float(text) if "." in text or "e" in text.lower() else int(text)
    except ValueError:
        raise SelectionError(f"{text!r} in the quota {item!r} is no number") from None


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Rows by the values of a column.

    Attributes:
        names: the values as text, sorted, ``(none)`` last where there are nulls.
        codes: number of its value for each row, shape (rows,).
    """

    names: tuple[str, ...]
    codes: npt.NDArray[np.unsignedinteger]


def group_rows(column: pl.Series) -> Groups:
    """The groups of a column.

    Raises:
        SelectionError: the column holds lists or the like, which are no values of a quota; or both nulls and the text
            ``(none)``, which a quota could not tell apart.

    Examples:
        >>> groups = group_rows(pl.Series(["b", None, "a", "b"]))
        >>> groups.names, groups.codes.tolist()
        (('a', 'b', '(none)'), [1, 2, 0, 1])
    """
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        raise SelectionError(
            f"the quota needs one value a row in the column {column.name}, which holds {column.dtype}: name another "
            "column, or make one of single values"
        )
    text = column.cast(pl.String)
    values = text.drop_nulls().unique().sort()
    if text.null_count() and NO_VALUE in values:
        raise SelectionError(
            f"the column {column.name} has both empty values and the text {NO_VALUE}, by which a quota means them: "
            "name one of the two otherwise"
        )
    names = [*values, *([NO_VALUE] if text.null_count() else [])]
    wide = np.uint16 if len(names) < 2**16 else np.uint32
    codes = text.cast(pl.Enum(values)).to_physical().cast(pl.UInt32).fill_null(len(values))
    return Groups(tuple(names), codes.to_numpy().astype(wide, copy=False))


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """A quota over the groups that are there.

    Attributes:
        quota: the quota.
        names: the groups.
        item: which of the quota's limits holds for each group, shape (groups,), int64; one number for all without any.
        least_rows, most_rows: of each group, shape (groups,), int64.
        least_share, most_share: of each group, shape (groups,), float64; 0 and infinite for none.
    """

    quota: Quota
    names: tuple[str, ...]
    item: Ints
    least_rows: Ints
    most_rows: Ints
    least_share: npt.NDArray[np.float64]
    most_share: npt.NDArray[np.float64]

    def without_least(self) -> Bounds:
        """The most alone."""
        zero = np.zeros(len(self.names))
        return replace(self, least_rows=zero.astype(np.int64), least_share=zero)


def bounds_of(quota: Quota, names: Sequence[str]) -> Bounds:
    """The limits of each group.

    Raises:
        SelectionError: a value is named that no row has.
    """
    named = {name: place for place, name in enumerate(names) if name in quota.limits}
    unknown = [value for value in quota.limits if value != EVERY and value not in named]
    if unknown:
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise SelectionError(f"quota of {quota.column}: no row has {', '.join(unknown)}; there are: {shown}")
    numbers = {value: number for number, value in enumerate(quota.limits)}
    item = np.full(len(names), numbers.get(EVERY, len(numbers)), dtype=np.int64)
    item[list(named.values())] = [numbers[value] for value in named]
    pairs = [*quota.limits.values(), (None, None)]
    least_rows, least_share = _amounts([least for least, _ in pairs], 0, 0.0)
    most_rows, most_share = _amounts([most for _, most in pairs], _MOST, math.inf)
    # All of what is kept is no limit.
    most_share[most_share >= 1.0] = math.inf
    return Bounds(
        quota, tuple(names), item, least_rows[item], most_rows[item], least_share[item], most_share[item]
    )


def _amounts(
    amounts: Sequence[Amount], no_rows: int, no_share: float
) -> tuple[Ints, npt.NDArray[np.float64]]:
    """The amounts that are rows, and those that are shares, with something else for the others."""
    rows = [min(amount, _MOST) if isinstance(amount, int) else no_rows for amount in amounts]
    shares = [amount if isinstance(amount, float) else no_share for amount in amounts]
    return np.array(rows, dtype=np.int64), np.array(shares, dtype=np.float64)


def unmet(
    quota: Quota,
    groups: Groups,
    kept: npt.NDArray[np.bool_],
    tokens: npt.NDArray[np.float64] | None = None,
    budget: float | None = None,
) -> list[str]:
    """A note for each least number, or share of the rows or of a budget of tokens, that the kept rows do not reach."""
    codes, size = groups.codes[kept], len(groups.names)
    counts = np.bincount(codes, minlength=size)
    amounts = counts if tokens is None else np.bincount(codes, weights=tokens[kept], minlength=size)
    shares = amounts / max(1.0, float(budget or amounts.sum()))
    of = "" if budget is None else " of the budget"
    notes = []
    for name, count, share in zip(groups.names, counts.tolist(), shares.tolist(), strict=True):
        least = quota.of(name)[0]
        if least is None or (share + 1e-9 >= least if isinstance(least, float) else count >= least):
            continue
        notes.append(
            f"The quota of {quota.column} {name} is not met: at least {least}, kept {count:,} rows, {share:.1%}{of}."
        )
    return notes
