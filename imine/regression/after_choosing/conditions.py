"""What has to hold, along the line of one contrast, for forward stepwise to choose what it chose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from imine.regression.after_choosing.forward import ForwardStepwise, Path, State, start
from imine.regression.after_choosing.regions import WHOLE_LINE, cells, cells_where, joined, middles
from imine.regression.results import Array

Given = Literal["signs", "order", "set"]


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One order of entry that leads to the chosen terms.

    Attributes:
        region: where on the line the terms enter in this order, shape (intervals, 2).
        quadratics: what stopping asks for, rows ``(a, b, c)`` of ``a x^2 + b x + c + loading * RSS >= 0``.
        loadings: of the residual sum of squares of the full model, shape (conditions,).
    """

    region: Array
    quadratics: Array
    loadings: Array

    def cells(self, rss: Array) -> Array:
        """Where the branch is taken, for rows of ``RSS = rss[0] x^2 + rss[1] x + rss[2]``.

        Shape (rows, cells, 2), with cells without width where it is not.
        """
        return cells_where(self.region, self.quadratics + self.loadings[:, None] * rss[:, None, :])


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """The data with one contrast free: ``y(x) = other + x * direction``, in coordinates of the columns' span.

    Attributes:
        columns: shape (dimensions, candidates).
        other: what the contrast does not touch, shape (dimensions,).
        direction: of unit length, shape (dimensions,).
        n_runs: runs behind the coordinates.
    """

    columns: Array
    other: Array
    direction: Array
    n_runs: int


def branches(line: Line, procedure: ForwardStepwise, path: Path, given: Given) -> list[Branch]:
    """Every order of entry on the line that agrees with the path in what is conditioned on.

    The order in which columns would enter changes only where two of them explain equally much,
    ``|r_i'y(x)| = |r_j'y(x)|``: at roots of linear functions of ``x``. Between neighbouring roots the winner is
    the same, so following the winners from cell to cell finds all of the line on which the choice is the same.

    Args:
        line: the contrast.
        procedure: what chose.
        path: what it chose.
        given: ``signs`` for the order and the signs of entry (a polyhedron: one interval), ``order`` for the
            order alone, ``set`` for the terms alone.
    """
    walk = _Walk(line, procedure, path, given)
    state = start(line.columns, procedure.forced)
    none = np.zeros((0, 3)), np.zeros(0)
    return list(walk.follow(state, 0, WHOLE_LINE, *none))


@dataclass(frozen=True, slots=True, eq=False)
class _Walk:
    line: Line
    procedure: ForwardStepwise
    path: Path
    given: Given

    def follow(
        self, state: State, step: int, region: Array, quadratics: Array, loadings: Array
    ) -> Iterator[Branch]:
        if step == len(self.path.signs):
            stop, load = self._stopping(state, step)
            yield Branch(region, np.concatenate([quadratics, stop]), np.concatenate([loadings, load]))
            return
        for column, part in self._winners(state, step, region):
            entry, load = self._entering(state, step, column)
            yield from self.follow(
                state.entered(column),
                step + 1,
                part,
                np.concatenate([quadratics, entry]),
                np.concatenate([loadings, load]),
            )

    def _winners(self, state: State, step: int, region: Array) -> Iterator[tuple[int, Array]]:
        """Columns that may enter here, each with the part of the region where it does."""
        entered = self.path.chosen[len(self.procedure.forced) :]
        allowed = entered if self.given == "set" else [entered[step]]
        allowed = [column for column in allowed if state.usable[column]]
        level, slope = state.units.T @ self.line.other, state.units.T @ self.line.direction
        parts = cells(region, _crossings(level, slope, allowed, self.given == "signs"))
        gains = level + np.outer(middles(parts), slope)
        winner = np.argmax(np.where(state.usable, np.abs(gains), -1.0), axis=1)
        for column in allowed:
            here = winner == column
            if self.given == "signs":
                here &= gains[:, column] * self.path.signs[step] > 0
            if here.any():
                yield column, joined(parts[here])

    def _entering(self, state: State, step: int, column: int) -> tuple[Array, Array]:
        """The criterion takes one more term: it explains more than its share of what is left."""
        if self.procedure.criterion is None:
            return np.zeros((0, 3)), np.zeros(0)
        share = self.procedure.share(len(self.procedure.forced) + step, self.line.n_runs)
        gain = self._squared_gains(state)[column]
        return (gain - share * self._left(state))[None, :], np.array([-share])

    def _stopping(self, state: State, step: int) -> tuple[Array, Array]:
        """The criterion takes no other term: none of those left explains its share."""
        if not self.procedure.stops_by_criterion(step, self.line.columns.shape[1], self.line.n_runs):
            return np.zeros((0, 3)), np.zeros(0)
        share = self.procedure.share(len(self.procedure.forced) + step, self.line.n_runs)
        rows = share * self._left(state) - self._squared_gains(state)[state.usable]
        return rows, np.full(len(rows), share)

    def _squared_gains(self, state: State) -> Array:
        """Coefficients in x of ``(r_j'y(x))^2``, shape (candidates, 3)."""
        level, slope = state.units.T @ self.line.other, state.units.T @ self.line.direction
        return np.column_stack([slope**2, 2.0 * level * slope, level**2])

    def _left(self, state: State) -> Array:
        """Coefficients in x of the squared length of what the entered columns leave, within the span."""
        other = self.line.other - state.basis @ (state.basis.T @ self.line.other)
        along = self.line.direction - state.basis @ (state.basis.T @ self.line.direction)
        return np.array([along @ along, 2.0 * (along @ other), other @ other])


def _crossings(level: Array, slope: Array, allowed: list[int], signs: bool) -> Array:
    """Where an allowed column explains as much as another one, and, for signs, where it explains nothing."""
    a, b = level[allowed][:, None], slope[allowed][:, None]
    with np.errstate(all="ignore"):
        found = [(-(a - level) / (b - slope)).ravel(), (-(a + level) / (b + slope)).ravel()]
        if signs:
            found.append((-a / b).ravel())
    return np.concatenate(found)
