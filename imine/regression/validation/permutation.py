"""Could the procedure have found as much where there is nothing to find?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError
from imine.regression.after_choosing import Procedure
from imine.regression.after_choosing.splitting import checked, choose
from imine.regression.repeats import run_repeats, seeds
from imine.regression.results import Array
from imine.regression.validation.cross import refuse_empty
from imine.regression.validation.schemes import Held, KFold, Scheme

Statistic = Literal["cv_r2", "r2"]


@dataclass(frozen=True, slots=True, eq=False)
class PermutationTest:
    """A procedure on the data and on data whose ``y`` was shuffled.

    Attributes:
        statistic: ``cv_r2`` or ``r2``.
        observed: its value on the data.
        permuted: its values on shuffled data, shape (permutations,).
        p: ``(1 + number of permuted values at least as large) / (1 + permutations)``: valid in any number of
            permutations, and never zero.
    """

    statistic: Statistic
    observed: float
    permuted: Array
    p: float

    def summary(self) -> str:
        """One line of plain text."""
        high = float(np.quantile(self.permuted, 0.95))
        return (
            f"{self.statistic} {self.observed:.4g}; shuffled: median {np.median(self.permuted):.4g}, "
            f"95 % below {high:.4g}; p {self.p:.4g} ({len(self.permuted)} permutations)"
        )


def permutation_test(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    procedure: Procedure | None = None,
    *,
    statistic: Statistic = "cv_r2",
    scheme: Scheme | None = None,
    permutations: int = 999,
    blocks: Sequence[Hashable] | None = None,
    seed: int = 0,
    workers: int = 1,
) -> PermutationTest:
    """Test that ``y`` has nothing to do with ``X``, by shuffling ``y`` and running the whole procedure again.

    Choice and fit are done anew for every shuffled ``y``, so that the freedom of choosing is in the comparison.

    Args:
        X: candidates, shape (runs, candidates).
        y: shape (runs,); the runs must be exchangeable, or so within ``blocks``.
        procedure: ``procedure(X, y) -> column indices``; ``None`` keeps all candidates.
        statistic: ``cv_r2``, the R2 of left-out runs about the mean of the fitted ones, averaged over repeats of
            the scheme; or ``r2``, in sample.
        scheme: folds of ``cv_r2``, the same for every shuffle; ten folds by default.
        permutations: number of shuffles.
        blocks: one label a run; values of ``y`` are shuffled within a label only.
        seed: of the shuffles.
        workers: number of processes; the results do not depend on it.

    Raises:
        RegressionError: ``y`` is constant, or a fold is empty.
        ValueError: arguments that are not allowed.

    References:
        Phipson, Smyth (2010), Permutation p-values should never be zero, SAGMB 9 (the added ones).

    Examples:
        >>> from imine.regression.after_choosing import ForwardStepwise
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(40, 4))
        >>> y = X[:, 2] + rng.normal(size=40)
        >>> permutation_test(X, y, ForwardStepwise(steps=1), permutations=99, scheme=KFold(5)).p
        0.01
    """
    X, y = checked(X, y, [str(i) for i in range(np.shape(X)[1] if np.ndim(X) == 2 else 0)])
    if statistic not in ("cv_r2", "r2"):
        raise ValueError(f"statistic must be 'cv_r2' or 'r2'; got {statistic!r}")
    if np.ptp(y) == 0.0:
        raise RegressionError("y is the same in all runs: there is nothing to shuffle")
    labels = [None] * len(y) if blocks is None else list(blocks)
    if len(labels) != len(y):
        raise ValueError(f"blocks must have one label for each of the {len(y)} runs; got {len(labels)}")
    held = (scheme or KFold()).folds(len(y)) if statistic == "cv_r2" else []
    if statistic == "cv_r2":
        refuse_empty(held, len(y))
    members = [
        np.array([i for i, own in enumerate(labels) if own == label]) for label in dict.fromkeys(labels)
    ]
    work = partial(_shuffled, X, y, procedure, held, members)
    observed = _statistic(X, y, procedure, held)
    permuted = np.array(run_repeats(work, seeds(seed, permutations), workers))
    # The same fit on the same rows in another order differs in its last digits: a tie, not a smaller value.
    reached = int(np.sum(permuted >= observed - 1e-12 * max(1.0, abs(observed))))
    return PermutationTest(statistic, observed, permuted, (1 + reached) / (1 + permutations))


def _shuffled(
    X: Array,
    y: Array,
    procedure: Procedure | None,
    held: list[Held],
    members: list[npt.NDArray[np.int64]],
    seed: np.random.SeedSequence,
) -> float:
    rng = np.random.default_rng(seed)
    shuffled = y.copy()
    for rows in members:
        shuffled[rows] = y[rng.permutation(rows)]
    return _statistic(X, shuffled, procedure, held)


def _statistic(X: Array, y: Array, procedure: Procedure | None, held: list[Held]) -> float:
    """R2 in sample, or, where rows are held out, their R2, averaged over repeats."""
    everything = np.arange(len(y))
    if not held:
        error, spread = _errors(X, y, procedure, everything, everything)
        return 1.0 - error / spread
    errors, spreads = dict[int, float](), dict[int, float]()
    for fold in held:
        fitted = np.setdiff1d(everything, fold.rows)
        error, spread = _errors(X, y, procedure, fitted, fold.rows)
        errors[fold.repeat] = errors.get(fold.repeat, 0.0) + error
        spreads[fold.repeat] = spreads.get(fold.repeat, 0.0) + spread
    return float(np.mean([1.0 - errors[repeat] / spreads[repeat] for repeat in errors]))


def _errors(
    X: Array,
    y: Array,
    procedure: Procedure | None,
    fitted: npt.NDArray[np.int64],
    held: npt.NDArray[np.int64],
) -> tuple[float, float]:
    """Sums of squares of the held rows about their predictions and about the mean of the fitted rows.

    Least squares of the centred columns: predictions need no standard errors, and this runs thousands of times.
    """
    chosen = range(X.shape[1]) if procedure is None else choose(procedure, X[fitted], y[fitted])
    part = X[:, list(chosen)]
    centre, level = part[fitted].mean(axis=0), float(y[fitted].mean())
    slopes = np.linalg.lstsq(part[fitted] - centre, y[fitted] - level, rcond=None)[0]
    error = y[held] - level - (part[held] - centre) @ slopes
    about = y[held] - level
    return float(error @ error), float(about @ about)
