"""Exhaustive search: every subset of up to twenty candidates."""

from __future__ import annotations

import numpy as np

from imine.errors import RegressionError
from imine.regression.choosing.linear import Indices, fold_splits, orthogonal, recentred
from imine.regression.choosing.models import Models
from imine.regression.choosing.problem import Array
from imine.regression.choosing.settings import MOST_FOR_BEST, Criterion, scope
from imine.regression.choosing.subsets import SubsetTable
from imine.regression.choosing.trace import Trace

_RSS, _OUTSIDE, _LEAVE_ONE_OUT = 0, 1, 2


def best_subset(models: Models) -> tuple[tuple[int, ...], Trace]:
    """Fit every subset and take the best.

    Returns:
        The chosen columns, and the criterion of every subset.

    Raises:
        RegressionError: more than twenty candidates, or no subset that can be fitted.
    """
    table = subset_table(models, models.criterion)
    index = table.best()
    if index < 0:
        raise RegressionError(
            f"no subset of the {len(table.names)} candidates has a defined {models.criterion} on {models.runs} "
            "runs: use another criterion, or add runs."
        )
    columns = tuple(sorted(models.problem.names.index(name) for name in table.terms(index)))
    why = f"the best of {table.evaluated} subsets"
    return columns, Trace(models.criterion, (), why, table)


def subset_table(models: Models, criterion: Criterion) -> SubsetTable:
    """The criterion of every subset; ``p`` gives the residual sum of squares.

    Raises:
        RegressionError: more than twenty candidates, or forced terms that determine each other.
    """
    problem, settings = models.problem, models.settings
    forced, allowed = scope(problem.names, settings)
    free = [c for c in allowed if c not in forced]
    if len(free) > MOST_FOR_BEST:
        raise RegressionError(
            f"{len(free)} candidates are too many to try every subset: at most {MOST_FOR_BEST} are allowed. "
            "Force some out, or choose forward, backward or both."
        )
    # A model needs one degree of freedom of its own.
    most = models.runs - 2 if settings.max_terms is None else min(settings.max_terms, models.runs - 2)
    search = _Search(models, list(forced), free, most - len(forced))
    return SubsetTable(
        criterion=criterion,
        names=tuple(problem.names[c] for c in free),
        forced=tuple(problem.names[c] for c in forced),
        losses=search.losses(criterion),
        n_runs=models.runs,
        total=problem.total,
        exact=problem.exact,
    )


class _Search:
    """The arrays that the kernel goes through."""

    def __init__(self, models: Models, forced: list[int], free: list[int], largest: int) -> None:
        self._problem, self._settings = models.problem, models.settings
        self._forced, self._free, self._largest = forced, free, largest

    def losses(self, criterion: Criterion) -> Array:
        """Loss of every subset."""
        rows = np.arange(len(self._problem.y))
        if criterion != "cv":
            return self._run(*self._triangle(rows, rows[:0]), _RSS)
        if self._settings.folds is None:
            return self._run(*self._whole(), _LEAVE_ONE_OUT)
        folds = fold_splits(len(rows), self._settings)
        return np.sum([self._run(*self._triangle(*fold), _OUTSIDE) for fold in folds], axis=0)

    def _triangle(self, train: Indices, test: Indices) -> tuple[Array, Array, Array]:
        """Columns of the triangle below the forced terms, and the test rows after them."""
        problem, f = self._problem, len(self._forced)
        inside, outside = recentred(problem.Z[:, [*self._forced, *self._free]], train, test)
        y, y_out = recentred(problem.y, train, test)
        Q, R = self._forced_basis(inside[:, :f])
        rest, rest_out = np.column_stack([inside[:, f:], y]), np.column_stack([outside[:, f:], y_out])
        shares = Q.T @ rest
        rest, rest_out = rest - Q @ shares, rest_out - outside[:, :f] @ np.linalg.solve(R, shares)
        triangle = np.linalg.qr(rest, mode="r")
        lengths = np.sqrt(np.einsum("ij,ij->j", inside[:, f:], inside[:, f:]))
        return np.vstack([triangle, rest_out]), lengths, np.zeros(len(triangle))

    def _whole(self) -> tuple[Array, Array, Array]:
        """Columns of all runs less the forced terms, and the leverage of these and the intercept."""
        problem = self._problem
        Q, _ = self._forced_basis(problem.Z[:, self._forced])
        rest = np.column_stack([problem.Z[:, self._free], problem.y])
        lengths = np.sqrt(np.einsum("ij,ij->j", rest[:, :-1], rest[:, :-1]))
        hat = 1.0 / len(rest) + np.einsum("ij,ij->i", Q, Q)
        return rest - Q @ (Q.T @ rest), lengths, hat

    def _forced_basis(self, columns: Array) -> tuple[Array, Array]:
        Q, R, dependent = orthogonal(columns, self._problem.noise[self._forced], self._settings.tolerance)
        if dependent is not None:
            name = self._problem.names[self._forced[dependent]]
            raise RegressionError(
                f"{name} is forced in, but is constant or determined by other forced terms."
            )
        return Q, R

    def _run(self, columns: Array, lengths: Array, hat: Array, held_out: int) -> Array:
        from imine_kernels.best_subset import all_subsets

        losses = np.empty(2 ** len(self._free))
        if self._largest < 0:
            losses[:] = np.nan
            return losses
        all_subsets(
            np.ascontiguousarray(columns.T),
            lengths,
            self._problem.noise[self._free],
            self._settings.tolerance,
            self._largest,
            len(hat),
            hat,
            held_out,
            losses,
        )
        return losses
