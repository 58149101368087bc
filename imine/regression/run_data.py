"""Finished runs, ready for a regression of the log of their loss."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from imine.errors import RegressionError
from imine.regression.doubled import Array


@dataclass(frozen=True, slots=True, eq=False)
class RunData:
    """Runs with a finite value in every column that a regression needs.

    Attributes:
        frame: the runs, one row each.
        names: the candidates.
        X: their values, shape (runs, candidates).
        y: natural logarithm of the target, shape (runs,).
        weights: one a run, their mean 1, shape (runs,); ``None`` where all weigh the same.
        mean_weight: mean of the weights as they stand in the runs.
        notes: what a reader should know of the runs that were taken.
    """

    frame: pl.DataFrame
    names: tuple[str, ...]
    X: Array
    y: Array
    weights: Array | None = None
    mean_weight: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str]:
        """Names of the runs: ``run_id``, or their rows from 0."""
        return run_labels(self.frame)

    def only(self, names: Sequence[str]) -> RunData:
        """The same runs with these candidates alone, in this order."""
        columns = [self.names.index(name) for name in names]
        return replace(self, names=tuple(names), X=self.X[:, columns])

    def column(self, name: str) -> pl.Series:
        """A column that says something of every run, such as a group.

        Raises:
            RegressionError: there is none, or it is empty in some runs, which are named.
        """
        if name not in self.frame.columns:
            raise RegressionError(
                f"the runs have no column {name}; they have: {', '.join(self.frame.columns)}"
            )
        values = self.frame[name]
        if values.null_count():
            missing = run_labels(self.frame.with_row_index("imine_row").filter(values.is_null()))
            raise RegressionError(f"{name} is missing in {some(missing)}")
        return values


def load_runs(runs: pl.DataFrame | str | Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Runs and what their file knows of them; a frame knows nothing.

    Raises:
        RegressionError: no such file, or one that cannot be read.
    """
    if isinstance(runs, pl.DataFrame):
        return runs, {}
    path = Path(runs)
    if not path.is_file():
        raise RegressionError(f"{path}: no such file; it should be the runs.parquet of a study")
    try:
        frame, stored = pl.read_parquet(path, glob=False), pl.read_parquet_metadata(path)
        facts = json.loads(stored.get("imine", "{}"))
    # The reader panics on some damaged files, with an exception of no other kind.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise RegressionError(f"{path}: cannot be read as runs: {error}") from None
    return frame, facts if isinstance(facts, dict) else {}


def prepare(
    frame: pl.DataFrame,
    names: Sequence[str],
    target: str,
    *,
    weights: str | None = None,
    drop_incomplete: bool = False,
    also_complete: Sequence[str] = (),
) -> RunData:
    """Check runs and take from them what a regression needs.

    Args:
        frame: the runs.
        names: columns of the candidates.
        target: column of positive losses.
        weights: column of positive weights.
        drop_incomplete: leave out runs with a missing value instead of refusing them.
        also_complete: further columns in which a run that is kept must have a value.

    Raises:
        RegressionError: a column or value is missing or not allowed; the message names columns and runs.

    Examples:
        >>> frame = pl.DataFrame({"run_id": ["a", "b"], "mtld": [40.0, 60.0], "loss": [2.0, 1.5]})
        >>> data = prepare(frame, ["mtld"], "loss")
        >>> data.X.tolist(), data.y.round(3).tolist(), data.labels
        ([[40.0], [60.0]], [0.693, 0.405], ['a', 'b'])
    """
    further = [name for name in (weights,) if name is not None]
    _check_columns(frame, names, [target, *further])
    frame, notes = _complete(frame, [*names, target, *further, *also_complete], drop_incomplete)
    X = frame.select(pl.col(name).cast(pl.Float64) for name in names).to_numpy()
    y = _logarithm(frame, target)
    if weights is None:
        return RunData(frame, tuple(names), X, y, notes=notes)
    given = frame[weights].cast(pl.Float64).to_numpy()
    _refuse(frame, weights, given <= 0, "positive to weigh a run")
    mean = math.fsum(given) / len(given)
    return RunData(frame, tuple(names), X, y, given / mean, mean, notes)


def _check_columns(frame: pl.DataFrame, names: Sequence[str], others: Sequence[str]) -> None:
    needed = (*names, *others)
    absent = [name for name in needed if name not in frame.columns]
    if absent:
        raise RegressionError(
            f"the runs have no column {', '.join(absent)}; they have: {', '.join(frame.columns)}"
        )
    wrong = [name for name in needed if not is_number(frame.schema[name])]
    if wrong:
        raise RegressionError(f"not numbers: {', '.join(f'{n} ({frame.schema[n]})' for n in wrong)}")
    if len(set(needed)) != len(needed):
        raise RegressionError(
            f"terms must differ from each other and from {' and '.join(others)}; got {', '.join(names)}"
        )
    if "run_id" in frame.columns and frame["run_id"].n_unique() != frame.height:
        twice = frame.filter(pl.col("run_id").is_duplicated())["run_id"].unique().sort().to_list()
        raise RegressionError(f"runs that are there more than once: {some(twice)}")


def is_number(dtype: pl.DataType) -> bool:
    """Whether a column holds numbers, or nothing at all."""
    return dtype.is_numeric() or dtype == pl.Null


def _complete(frame: pl.DataFrame, needed: Sequence[str], drop: bool) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Runs with a finite value in every needed column, and a note on those dropped."""
    needed = list(dict.fromkeys(needed))
    finite = frame.select(pl.col(c).cast(pl.Float64).is_finite().fill_null(False) for c in needed)
    usable = finite.select(pl.all_horizontal(pl.all())).to_series()
    if usable.all():
        return frame, ()
    columns = [c for c in needed if not finite[c].all()]
    bad = run_labels(frame.with_row_index("imine_row").filter(~usable))
    what = f"{len(bad)} of {frame.height} runs have no value in {', '.join(columns)}: {some(bad)}"
    if not drop:
        raise RegressionError(f"{what}. Mend them, or leave them out (drop_incomplete).")
    return frame.filter(usable), (f"Left out: {what}.",)


def _logarithm(frame: pl.DataFrame, target: str) -> Array:
    losses = frame[target].cast(pl.Float64).to_numpy()
    _refuse(frame, target, losses <= 0, "positive to have a logarithm")
    if len(losses) and np.ptp(losses) == 0:
        raise RegressionError(f"{target} is {losses[0]} in all runs: there is nothing to explain")
    return np.log(losses)


def _refuse(frame: pl.DataFrame, column: str, wrong: npt.NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        bad = run_labels(frame.with_row_index("imine_row").filter(pl.Series(wrong)))
        raise RegressionError(f"{column} must be {what}; it is not in: {some(bad)}")


def run_labels(frame: pl.DataFrame) -> list[str]:
    """Names of the runs: ``run_id``, or their rows."""
    if "run_id" in frame.columns:
        return [str(label) for label in frame["run_id"].to_list()]
    rows = frame["imine_row"] if "imine_row" in frame.columns else range(frame.height)
    return [str(row) for row in rows]


def some(labels: Sequence[Any]) -> str:
    """The first labels, and how many more there are.

    Examples:
        >>> some(range(10))
        '0, 1, 2, 3, 4, 5, 6, 7 and 2 more'
    """
    more = f" and {len(labels) - 8} more" if len(labels) > 8 else ""
    return ", ".join(str(label) for label in labels[:8]) + more


def runs_sha256(frame: pl.DataFrame) -> str:
    """Hash of the content of runs: columns by name, values in the order of the rows.

    The same for the same numbers whatever file or compression they came in.

    Args:
        frame: the runs.

    Examples:
        >>> a = pl.DataFrame({"x": [1.5], "y": ["z"]})
        >>> runs_sha256(a) == runs_sha256(a.select("y", "x"))
        True
    """
    names = sorted(frame.columns)
    content = [names, frame.select(names).rows()]
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()
