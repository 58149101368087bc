"""Choose on one part of the runs, infer on the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError
from imine.regression.ols import fit_ols
from imine.regression.results import Array, OlsResults

Procedure = Callable[[Array, Array], Sequence[int]]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SplitResults:
    """Inference on runs that had no part in the choice: ordinary, and valid whatever the procedure was.

    What is estimated is the coefficient of each chosen term in the regression on the chosen terms. Half of the
    runs choose less surely and estimate less sharply than all of them: that is the price.

    Attributes:
        names: chosen terms, in the order that the procedure gave.
        chosen: their columns.
        choosing, inferring: rows of the two parts, sorted.
        fit: the regression on the chosen terms over the ``inferring`` rows, with the intercept first.
    """

    names: tuple[str, ...]
    chosen: tuple[int, ...]
    choosing: Rows
    inferring: Rows
    fit: OlsResults

    @property
    def params(self) -> Array:
        """Coefficients of the chosen terms, shape (terms,)."""
        return self.fit.params[1:]

    @property
    def p(self) -> Array:
        """Two-sided p-values from Student's t, shape (terms,)."""
        return self.fit.p[1:]

    def conf_int(self, level: float = 0.95) -> Array:
        """Confidence intervals of the chosen terms, shape (terms, 2).

        Args:
            level: between 0 and 1.
        """
        return self.fit.conf_int(level)[1:]


def split_inference(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    names: Sequence[str],
    procedure: Procedure,
    *,
    fraction: float = 0.5,
    seed: int = 0,
) -> SplitResults:
    """Choose terms on a random part of the runs and infer on the rest.

    Args:
        X: candidates, shape (runs, candidates).
        y: shape (runs,).
        names: one a column.
        procedure: ``procedure(X, y) -> column indices``; sees the choosing rows alone.
        fraction: of the runs that choose, rounded down.
        seed: of the split.

    Raises:
        RegressionError: the inferring rows cannot carry the chosen terms; see ``fit_ols``.
        ValueError: a fraction outside (0, 1), shapes that do not fit, or columns that the procedure made up.

    References:
        Cox (1975), A note on data-splitting for the evaluation of significance levels, Biometrika 62.

    Examples:
        >>> from imine.regression.after_choosing import ForwardStepwise
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 5))
        >>> y = X[:, 1] + rng.normal(size=60)
        >>> split = split_inference(X, y, list("abcde"), ForwardStepwise(steps=1))
        >>> split.names, split.conf_int().round(2).tolist()
        (('b',), [[0.44, 1.25]])
    """
    X, y = checked(X, y, names)
    choosing, inferring = halves(len(y), fraction, np.random.SeedSequence(seed))
    chosen = choose(procedure, X[choosing], y[choosing])
    labels = [names[column] for column in chosen]
    fit = fit_ols(X[inferring][:, chosen], y[inferring], labels)
    return SplitResults(tuple(labels), tuple(chosen), choosing, inferring, fit)


def checked(X: npt.ArrayLike, y: npt.ArrayLike, names: Sequence[str]) -> tuple[Array, Array]:
    """``X`` (runs, candidates) and ``y`` (runs,) as arrays of finite numbers that fit the names."""
    X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if X.ndim != 2 or y.shape != X.shape[:1] or len(names) != X.shape[1]:
        raise ValueError(
            "X must have shape (runs, candidates), y (runs,), and names one entry a candidate; "
            f"got {X.shape}, {y.shape} and {len(names)} names"
        )
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise RegressionError("X and y must be finite; leave out or mend the runs with missing values")
    return X, y


def choose(procedure: Procedure, X: Array, y: Array) -> list[int]:
    """The columns that the procedure chooses, refused when they are none of ``X``."""
    chosen = [int(column) for column in procedure(X, y)]
    if len(set(chosen)) != len(chosen) or not set(chosen) <= set(range(X.shape[1])):
        raise ValueError(
            f"the procedure must return different columns from 0 to {X.shape[1] - 1}; it returned {chosen}"
        )
    return chosen


def halves(n_runs: int, fraction: float, seed: np.random.SeedSequence) -> tuple[Rows, Rows]:
    """Rows of a random part of the given fraction, and the others."""
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"fraction must lie between 0 and 1; got {fraction}")
    order = np.random.default_rng(seed).permutation(n_runs)
    cut = int(fraction * n_runs)
    return np.sort(order[:cut]), np.sort(order[cut:])
