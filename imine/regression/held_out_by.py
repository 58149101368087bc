"""Schemes of holding runs out, by a short name or as an object."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from imine.errors import RegressionError
from imine.regression.validation.schemes import KFold, LeaveOneGroupOut, LeaveOneOut, Scheme

if TYPE_CHECKING:
    from imine.regression.run_data import RunData

SchemeAsked = str | Scheme

_KFOLD = re.compile(r"kfold(?::(?P<k>[0-9]+)(?:x(?P<repeats>[0-9]+))?)?")
_FOLDS, _REPEATS = 10, 5
# A study tells with these how many rows of a pool are in each subset.
_POOL_ROWS = "rows_"


def check_asked(asked: SchemeAsked) -> None:
    """Refuse a name that stands for no scheme.

    Raises:
        ValueError: it is none of ``kfold``, ``kfold:K``, ``kfold:KxREPEATS``, ``leave-one-out``, ``source`` and
            ``column:NAME``, or folds that cannot be.

    Examples:
        >>> check_asked("kfold:5x20")
        >>> check_asked("bootstrap")
        Traceback (most recent call last):
        ...
        ValueError: validate must be kfold, kfold:K, kfold:KxREPEATS, leave-one-out, source or column:NAME; got \
'bootstrap'
    """
    if not isinstance(asked, str):
        return
    found = _KFOLD.fullmatch(asked)
    if found:
        _kfold(found, 0)
    elif asked not in ("leave-one-out", "source") and asked.removeprefix("column:") in ("", asked):
        raise ValueError(
            "validate must be kfold, kfold:K, kfold:KxREPEATS, leave-one-out, source or column:NAME; "
            f"got {asked!r}"
        )


def scheme_of(asked: SchemeAsked, data: RunData, seed: int) -> tuple[str, Scheme]:
    """A scheme and what to call it.

    Args:
        asked: ``kfold`` (10 parts, dealt out 5 times), ``kfold:K``, ``kfold:KxREPEATS``; ``leave-one-out``;
            ``source``: every run with rows of a pool, for each pool in turn (columns ``rows_<pool>`` of a study);
            ``column:NAME``: every run with one value of the column in turn; or a scheme.
        data: the runs.
        seed: of the dealing.

    Raises:
        RegressionError: the runs do not have what the scheme goes by, or are too few for it.
    """
    if not isinstance(asked, str):
        return _title(asked), asked
    found = _KFOLD.fullmatch(asked)
    if found:
        scheme = _kfold(found, seed)
        if scheme.k > len(data.y):
            raise RegressionError(
                f"{asked}: {len(data.y)} runs cannot be dealt into {scheme.k} parts; ask for fewer"
            )
        return _title(scheme), scheme
    if asked == "leave-one-out":
        return _title(LeaveOneOut()), LeaveOneOut()
    groups = _sources(data) if asked == "source" else _values(data, asked.removeprefix("column:"))
    title = f"leave one {asked.removeprefix('column:')} out"
    members = {label for group in groups for label in group}
    if len(members) < 2:
        raise RegressionError(f"{title}: there is only one, {', '.join(members)}")
    return title, LeaveOneGroupOut(groups)


def _kfold(found: re.Match[str], seed: int) -> KFold:
    k = int(found["k"] or _FOLDS)
    return KFold(k, repeats=int(found["repeats"] or _REPEATS), seed=seed)


def _title(scheme: Scheme) -> str:
    if isinstance(scheme, KFold):
        times = "" if scheme.repeats == 1 else f", {scheme.repeats} times"
        return f"{scheme.k}-fold{times}"
    if isinstance(scheme, LeaveOneOut):
        return "leave one run out"
    return "leave one group out" if isinstance(scheme, LeaveOneGroupOut) else type(scheme).__name__


def _values(data: RunData, column: str) -> tuple[tuple[str, ...], ...]:
    return tuple((str(value),) for value in data.column(column))


def _sources(data: RunData) -> tuple[tuple[str, ...], ...]:
    """By run, the pools that it has rows of."""
    columns = [
        name
        for name, dtype in data.frame.schema.items()
        if name.startswith(_POOL_ROWS) and dtype.is_integer()
    ]
    if not columns:
        raise RegressionError(
            "source: the runs do not say which pools they hold rows of (columns rows_<pool>, as a study writes "
            "them). Name a column that tells their sources apart: column:NAME"
        )
    present = data.frame.select(pl.col(name).fill_null(0) > 0 for name in columns)
    pools = [name.removeprefix(_POOL_ROWS) for name in columns]
    return tuple(
        tuple(pool for pool, there in zip(pools, row, strict=True) if there) for row in present.iter_rows()
    )
