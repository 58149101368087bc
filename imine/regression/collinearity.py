"""How far the terms of a regression say the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imine.regression.doubled import Array
from imine.regression.results import OlsResults


@dataclass(frozen=True, slots=True, eq=False)
class Collinearity:
    """Dependence among the k terms (and the constant, p parameters in all).

    Attributes:
        terms: names of the terms, length k; parameters: those with the intercept, length p.
        vif, tolerance: variance inflation ``1 / (1 - R2)`` of a term by the others, and its inverse, shape (k,).
        correlations: of each pair of terms, shape (k, k); weighted where the fit is.
        condition_indices: largest singular value of the columns, each scaled to unit length but not centred, over
            every singular value, from small to large, shape (p,).
        proportions: shape (p, p); row i, column j: share of the variance of parameter j that goes with condition
            index i; columns sum to 1.
        centred_condition_number: of the terms centred and scaled, which the distance of their means from zero
            does not enter.
    """

    terms: tuple[str, ...]
    parameters: tuple[str, ...]
    vif: Array
    tolerance: Array
    correlations: Array
    condition_indices: Array
    proportions: Array
    centred_condition_number: float

    @property
    def condition_number(self) -> float:
        """The largest condition index."""
        return float(self.condition_indices[-1])

    def near_dependencies(
        self, index: float = 30.0, share: float = 0.5
    ) -> list[tuple[float, tuple[str, ...]]]:
        """Condition indices of at least ``index`` that carry at least ``share`` of two parameters' variances.

        Args:
            index, share: Belsley's thresholds, 30 and one half.

        Returns:
            The index and the names of those parameters, the worst first.
        """
        found = []
        for value, row in zip(self.condition_indices[::-1], self.proportions[::-1], strict=True):
            together = tuple(name for name, part in zip(self.parameters, row, strict=True) if part >= share)
            if value >= index and len(together) > 1:
                found.append((float(value), together))
        return found


def collinearity_of(results: OlsResults, X: Array) -> Collinearity:
    """Collinearity of the terms of a fit.

    Args:
        results: the fit.
        X: shape (runs, k), as fitted.

    References:
        Belsley, Kuh, Welsch (1980), Regression Diagnostics, chapter 3.

    Examples:
        >>> from imine.regression import fit_ols
        >>> X = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 4.0], [4.0, 3.0], [5.0, 5.0]])
        >>> found = collinearity_of(fit_ols(X, [1.0, 2.0, 2.0, 4.0, 5.0], ["a", "b"]), X)
        >>> found.vif.round(4).tolist(), found.correlations.round(2).tolist()
        ([2.7778, 2.7778], [[1.0, 0.8], [0.8, 1.0]])
    """
    root_weights = np.sqrt(results.weights / results.weights.max())
    terms = results.names[int(results.intercept) :]
    middle = np.average(X, axis=0, weights=results.weights)
    centred = _unit_columns(root_weights[:, None] * (X - middle))
    columns = np.column_stack([np.ones(len(X)), X]) if results.intercept else X
    indices, proportions = _decomposition(_unit_columns(root_weights[:, None] * columns))
    return Collinearity(
        terms=terms,
        parameters=results.names,
        vif=results.vif,
        tolerance=1.0 / results.vif,
        correlations=np.clip(centred.T @ centred, -1.0, 1.0),
        condition_indices=indices,
        proportions=proportions,
        centred_condition_number=_condition(centred if results.intercept else columns),
    )


def _unit_columns(columns: Array) -> Array:
    largest = np.max(np.abs(columns), axis=0, initial=0.0)
    columns = columns / np.where(largest > 0, largest, 1.0)
    lengths = np.linalg.norm(columns, axis=0)
    return columns / np.where(lengths > 0, lengths, np.nan)


def _decomposition(columns: Array) -> tuple[Array, Array]:
    singular, directions = np.linalg.svd(columns, full_matrices=False)[1:]
    parts = (directions / singular[:, None]) ** 2
    return singular[0] / singular, parts / parts.sum(axis=0)


def _condition(columns: Array) -> float:
    if columns.shape[1] == 0:
        return 1.0
    singular = np.linalg.svd(_unit_columns(columns), compute_uv=False)
    return float(singular[0] / singular[-1])
