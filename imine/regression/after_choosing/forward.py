"""Forward stepwise choice as a procedure that can be run again: in a half, in a fold, along a line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from imine.regression.results import Array

Criterion = Literal["aic", "aicc", "bic", "adjusted_r2", "p_value"]
_CRITERIA = ("aic", "aicc", "bic", "adjusted_r2", "p_value")

# A column of which less than this share of its length is left is determined by those chosen before it.
_NOTHING_LEFT = 1e-10


@dataclass(frozen=True, slots=True)
class ForwardStepwise:
    """Forward stepwise choice: each step enters the column that lowers the residual sum of squares most.

    Entry by smallest p-value, lowest AIC, AICc or BIC, and highest adjusted R2 all enter that same column; they
    differ in when they stop. The fit always has an intercept. Calling it chooses:
    ``procedure(X, y) -> list of column indices`` in the order of entry.

    Attributes:
        steps: number of columns to enter; ``None`` when a criterion stops.
        criterion: stops when no column lowers ``aic``, ``aicc`` or ``bic``, raises ``adjusted_r2``, or has a
            p-value of at most ``enter``; ``None`` for a fixed number of steps.
        enter: largest p-value for entry, with ``criterion="p_value"``.
        max_steps: with a criterion, the most columns to enter; ``None`` for no limit.
        forced: columns that are in from the start; they do not count as steps.

    Raises:
        ValueError: both or neither of ``steps`` and ``criterion``, or values out of range.

    Examples:
        >>> import numpy as np
        >>> X = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [4.0, 1.0], [5.0, 0.5]])
        >>> ForwardStepwise(steps=1)(X, X[:, 0] + 0.01 * X[:, 1])
        [0]
    """

    steps: int | None = None
    criterion: Criterion | None = None
    enter: float = 0.05
    max_steps: int | None = None
    forced: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.criterion is None):
            raise ValueError(
                f"give steps or criterion, one of the two; got {self.steps!r} and {self.criterion!r}"
            )
        if self.criterion is not None and self.criterion not in _CRITERIA:
            raise ValueError(f"criterion must be one of {', '.join(_CRITERIA)}; got {self.criterion!r}")
        for name, value in (("steps", self.steps), ("max_steps", self.max_steps)):
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative; got {value}")
        if not 0.0 < self.enter < 1.0:
            raise ValueError(f"enter must lie between 0 and 1; got {self.enter}")
        if len(set(self.forced)) != len(self.forced):
            raise ValueError(f"forced must not repeat a column; got {self.forced}")

    def __call__(self, X: npt.ArrayLike, y: npt.ArrayLike) -> list[int]:
        """Columns chosen from ``X`` (runs, candidates) for ``y`` (runs,), forced ones first."""
        X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        return self.path(X - X.mean(axis=0), y - y.mean(), 0.0, len(y)).chosen

    def path(self, columns: Array, y: Array, other_rss: float, n_runs: int) -> Path:
        """The path on centred columns, or on their coordinates in a basis of their span.

        Args:
            columns: shape (dimensions, candidates), centred.
            y: shape (dimensions,), centred.
            other_rss: residual sum of squares outside the coordinates, in the unit of ``y`` squared.
            n_runs: number of runs behind the coordinates.

        Raises:
            ValueError: forced columns that are not there.
        """
        if not set(self.forced) <= set(range(columns.shape[1])):
            raise ValueError(f"forced must be columns from 0 to {columns.shape[1] - 1}; got {self.forced}")
        state = start(columns, self.forced)
        chosen, signs = list(self.forced), list[int]()
        for step in range(self._most(columns.shape[1], n_runs)):
            gains = state.units.T @ y
            if not state.usable.any():
                break
            best = int(np.argmax(np.where(state.usable, np.abs(gains), -1.0)))
            if self.criterion is not None:
                rest = y - state.basis @ (state.basis.T @ y)
                share = self.share(len(self.forced) + step, n_runs)
                if not gains[best] ** 2 > share * (rest @ rest + other_rss):
                    break
            chosen.append(best)
            signs.append(1 if gains[best] > 0 else -1)
            state = state.entered(best)
        return Path(chosen, signs)

    def share(self, terms: int, n_runs: int) -> float:
        """The share of the residual sum of squares that one more term must explain to enter.

        Args:
            terms: terms that are in, without the intercept.
            n_runs: number of runs.
        """
        if self.criterion is None:
            return 0.0
        left = n_runs - terms - 2
        if left <= 0:
            return 1.0
        if self.criterion == "adjusted_r2":
            return 1.0 / (left + 1)
        if self.criterion == "p_value":
            from scipy.stats import f as fisher

            smallest = float(fisher.isf(self.enter, 1, left))
            return smallest / (smallest + left)
        dearer = _penalty(self.criterion, terms + 1, n_runs) - _penalty(self.criterion, terms, n_runs)
        return -math.expm1(-dearer / n_runs) if math.isfinite(dearer) else 1.0

    def stops_by_criterion(self, entered: int, candidates: int, n_runs: int) -> bool:
        """Whether the choice of ``entered`` terms ended because the criterion would take no other."""
        return self.criterion is not None and entered < self._most(candidates, n_runs)

    def _most(self, candidates: int, n_runs: int) -> int:
        """The most steps: within the limit, the candidates, and one degree of freedom for the noise."""
        limit = self.steps if self.steps is not None else self.max_steps
        room = min(candidates - len(self.forced), n_runs - 2 - len(self.forced))
        return max(room if limit is None else min(limit, room), 0)


@dataclass(frozen=True, slots=True)
class Path:
    """Columns chosen, the forced ones first, and the sign with which each of the others entered."""

    chosen: list[int]
    signs: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """The columns after some have entered.

    Attributes:
        basis: orthonormal basis of those that entered, shape (dimensions, entered).
        units: what is left of each column, at unit length; zeros for those that entered or have nothing left.
        usable: which columns can still enter.
    """

    basis: Array
    units: Array
    usable: npt.NDArray[np.bool_]

    def entered(self, column: int) -> State:
        """The state after one more column."""
        direction = self.units[:, column]
        left = self.units - np.outer(direction, direction @ self.units)
        # Once more: what one pass leaves of columns almost parallel to the direction is rounding.
        left -= np.outer(direction, direction @ left)
        lengths = np.linalg.norm(left, axis=0)
        usable = self.usable & (lengths > _NOTHING_LEFT)
        usable[column] = False
        units = np.where(usable, left / np.where(usable, lengths, 1.0), 0.0)
        return State(np.column_stack([self.basis, direction]), units, usable)


def start(columns: Array, forced: tuple[int, ...] = ()) -> State:
    """The state before the first step, with the forced columns in."""
    lengths = np.linalg.norm(columns, axis=0)
    usable = lengths > 0
    units = columns / np.where(usable, lengths, 1.0)
    state = State(np.zeros((columns.shape[0], 0)), units, usable)
    for column in forced:
        state = state.entered(column)
    return state


def _penalty(criterion: str, terms: int, n_runs: int) -> float:
    """What is added to ``n log(RSS)``; intercept and error variance count as parameters."""
    counted = terms + 2
    if criterion == "bic":
        return counted * math.log(n_runs)
    if criterion == "aic":
        return 2.0 * counted
    spare = n_runs - counted - 1
    return 2.0 * counted + 2.0 * counted * (counted + 1) / spare if spare > 0 else math.inf
