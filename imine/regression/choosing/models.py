"""One model of a choice: its residuals in sample and out of sample, or why it cannot be fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from imine.regression.choosing.criteria import LABELS, comparison_key, criterion_value
from imine.regression.choosing.linear import (
    Indices,
    away_from,
    dependence,
    fold_splits,
    orthogonal,
    recentred,
)
from imine.regression.choosing.problem import Array, Problem
from imine.regression.choosing.settings import ChoiceSettings, Criterion


@dataclass(frozen=True, slots=True)
class Model:
    """A set of candidates, fitted.

    Attributes:
        columns: the candidates, in their order.
        rss: residual sum of squares; zero when it is no more than rounding.
        value: the criterion as reported, not a number where there is none.
        key: the criterion as compared; less is better.
        fault: why the model cannot be used; empty when it can.
    """

    columns: tuple[int, ...]
    rss: float
    value: float
    key: float
    fault: str = ""


@dataclass(slots=True, eq=False)
class Models:
    """Fits the models of a problem, each once."""

    problem: Problem
    settings: ChoiceSettings
    _known: dict[tuple[int, ...], Model] = field(default_factory=dict)

    @property
    def criterion(self) -> Criterion:
        """The criterion of the settings."""
        assert self.settings.criterion is not None
        return self.settings.criterion

    @property
    def runs(self) -> int:
        """Number of runs."""
        return len(self.problem.y)

    def fit(self, columns: Sequence[int]) -> Model:
        """The model with these candidates."""
        wanted = tuple(sorted(columns))
        if wanted not in self._known:
            self._known[wanted] = self._fit(wanted)
        return self._known[wanted]

    def _fit(self, columns: tuple[int, ...]) -> Model:
        problem, n = self.problem, self.runs
        if n - len(columns) < 2:
            return _unusable(columns, f"{n} runs leave no degree of freedom with {len(columns)} terms")
        chosen = list(columns)
        Q, _, dependent = orthogonal(problem.Z[:, chosen], problem.noise[chosen], self.settings.tolerance)
        if dependent is not None:
            found = dependence(problem, columns, self.settings.tolerance)
            assert found is not None
            return _unusable(columns, found[1])
        residuals = away_from(problem.y, Q)
        rss = float(residuals @ residuals)
        rss = rss if rss > problem.exact else 0.0
        loss, fault = (rss, "") if self.criterion != "cv" else self._held_out(columns, Q, residuals)
        return self._model(columns, rss, loss, fault)

    def _model(self, columns: tuple[int, ...], rss: float, loss: float, fault: str) -> Model:
        n, terms, total = self.runs, len(columns), self.problem.total
        key = comparison_key(self.criterion, loss, terms, n, total)
        if math.isnan(key) and not fault:
            fault = f"{LABELS[self.criterion]} is not defined for {terms} terms and {n} runs"
        return Model(columns, rss, criterion_value(self.criterion, loss, terms, n, total), key, fault)

    def _held_out(self, columns: tuple[int, ...], Q: Array, residuals: Array) -> tuple[float, str]:
        """Sum of squared errors of runs that were not fitted, or why there is none."""
        if self.settings.folds is not None:
            return self._fold_errors(list(columns))
        left = 1.0 - 1.0 / self.runs - np.einsum("ij,ij->i", Q, Q)
        if np.any(left <= 1e-10):
            alone = int(self.problem.order[int(np.argmin(left))])
            return math.nan, f"not determined without run {alone}"
        return float(np.sum((residuals / left) ** 2)), ""

    def _fold_errors(self, chosen: list[int]) -> tuple[float, str]:
        total = 0.0
        for number, (train, test) in enumerate(fold_splits(self.runs, self.settings), start=1):
            error, dependent = self._fold_error(chosen, train, test)
            if dependent is not None:
                name = self.problem.names[dependent]
                return math.nan, f"without fold {number}, {name} is determined by others or constant"
            total += error
        return total, ""

    def _fold_error(self, chosen: list[int], train: Indices, test: Indices) -> tuple[float, int | None]:
        from scipy.linalg import solve_triangular

        inside, outside = recentred(self.problem.Z[:, chosen], train, test)
        y_inside, y_outside = recentred(self.problem.y, train, test)
        Q, R, dependent = orthogonal(inside, self.problem.noise[chosen], self.settings.tolerance)
        if dependent is not None:
            return math.nan, chosen[dependent]
        errors = y_outside
        if chosen:
            errors = errors - outside @ solve_triangular(R, Q.T @ y_inside)
        return float(errors @ errors), None


def _unusable(columns: tuple[int, ...], fault: str) -> Model:
    return Model(columns, math.nan, math.nan, math.nan, fault)
