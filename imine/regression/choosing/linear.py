"""Orthogonal columns, folds, and the naming of columns that others determine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from imine.regression.choosing.problem import Array, Problem
from imine.regression.choosing.settings import ChoiceSettings

Indices = npt.NDArray[np.int64]


def orthogonal(columns: Array, noise: Array, tolerance: float) -> tuple[Array, Array, int | None]:
    """QR of the columns, and the first one that those before it determine, if there is one.

    Examples:
        >>> columns = np.array([[1.0, 2.0], [0.0, 0.0], [-1.0, -2.0]])
        >>> orthogonal(columns, np.zeros(2), 1e-7)[2]
        1
    """
    Q, R = np.linalg.qr(columns)
    lengths = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    own = np.zeros(columns.shape[1])
    own[: min(R.shape)] = np.abs(np.diag(R))
    dependent = np.flatnonzero(own <= np.maximum(tolerance * lengths, noise))
    return Q, R, int(dependent[0]) if dependent.size else None


def away_from(y: Array, Q: Array) -> Array:
    """What is left of y without the directions of Q; taken out twice, since the first leaves rounding errors.

    Examples:
        >>> away_from(np.array([3.0, 4.0]), np.array([[1.0], [0.0]])).tolist()
        [0.0, 4.0]
    """
    residuals = y - Q @ (Q.T @ y)
    out: Array = residuals - Q @ (Q.T @ residuals)
    return out


def recentred(values: Array, train: Indices, test: Indices) -> tuple[Array, Array]:
    """The training and the test rows of ``values``, less the mean of the training rows.

    Examples:
        >>> inside, outside = recentred(np.array([1.0, 3.0, 5.0]), np.array([0, 1]), np.array([2]))
        >>> inside.tolist(), outside.tolist()
        ([-1.0, 1.0], [3.0])
    """
    mean = values[train].mean(axis=0)
    return values[train] - mean, values[test] - mean


def fold_splits(n: int, settings: ChoiceSettings) -> list[tuple[Indices, Indices]]:
    """Training and test rows of each fold, drawn with the seed of the settings.

    Examples:
        >>> [test.tolist() for _, test in fold_splits(5, ChoiceSettings(criterion="cv", folds=2))]
        [[2, 4, 3], [0, 1]]
    """
    assert settings.folds is not None
    shuffled = np.random.default_rng(settings.fold_seed).permutation(n)
    tests = np.array_split(shuffled, settings.folds)
    return [(np.setdiff1d(shuffled, test), test) for test in tests]


def dependence(problem: Problem, columns: Sequence[int], tolerance: float) -> tuple[int, str] | None:
    """The first of the columns that those before it determine, and a sentence that names them.

    Examples:
        >>> from imine.regression.choosing.problem import make_problem
        >>> doubled = [[1.0, 2.0], [2.0, 4.0], [4.0, 8.0]]
        >>> dependence(make_problem(doubled, [1.0, 2.0, 3.0], ["a", "b"]), (0, 1), 1e-7)
        (1, 'b is determined by a')
    """
    chosen = list(columns)
    dependent = orthogonal(problem.Z[:, chosen], problem.noise[chosen], tolerance)[2]
    if dependent is None:
        return None
    name = problem.names[chosen[dependent]]
    if not problem.Z[:, chosen[dependent]].any():
        return chosen[dependent], f"{name} is constant"
    before = chosen[:dependent]
    weights: Any = np.linalg.lstsq(problem.Z[:, before], problem.Z[:, chosen[dependent]], rcond=None)[0]
    parts = [problem.names[c] for c, w in zip(before, weights, strict=True) if abs(w) > 1e-6]
    return chosen[dependent], f"{name} is determined by {', '.join(parts)}"
