"""Every subset of the candidates with its criterion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imine.regression.choosing.criteria import LABELS, TIE, comparison_key, criterion_value
from imine.regression.choosing.problem import Array
from imine.regression.choosing.settings import Criterion


@dataclass(frozen=True, slots=True, eq=False)
class SubsetTable:
    """All subsets that an exhaustive search went through.

    Attributes:
        criterion: what is compared.
        names: the candidates that may come or go; bit ``i`` of an index stands for ``names[i]``.
        forced: terms that are in every subset.
        losses: shape (2**k,), residual sum of squares (for ``cv`` the sum of squared errors out of sample) of
            each subset; not a number where its columns are dependent or it is too large.
        n_runs: number of runs.
        total: sum of squares of the response about its mean.
        exact: a residual sum of squares up to this is rounding.
    """

    criterion: Criterion
    names: tuple[str, ...]
    forced: tuple[str, ...]
    losses: Array
    n_runs: int
    total: float
    exact: float

    @property
    def evaluated(self) -> int:
        """Number of subsets that could be fitted."""
        return int(np.isfinite(self.losses).sum())

    def sizes(self) -> npt.NDArray[np.int64]:
        """Number of terms of each subset, the forced ones counted, shape (2**k,)."""
        sizes = np.array([len(self.forced)], dtype=np.int64)
        for _ in self.names:
            sizes = np.concatenate([sizes, sizes + 1])
        return sizes

    def keys(self) -> Array:
        """The criterion as compared, less is better, shape (2**k,); not a number where there is none."""
        losses = np.where(self.losses <= self.exact, 0.0, self.losses)
        # A key is the logarithm of the loss and a part that depends on the number of terms alone.
        parts = [
            comparison_key(self.criterion, 1.0, terms, self.n_runs, self.total)
            for terms in range(len(self.forced) + len(self.names) + 1)
        ]
        with np.errstate(divide="ignore"):
            out: Array = np.log(losses) + np.array(parts, dtype=np.float64)[self.sizes()]
        return out

    def terms(self, index: int) -> tuple[str, ...]:
        """Names of the terms of a subset, the forced ones first."""
        return (*self.forced, *(name for bit, name in enumerate(self.names) if index >> bit & 1))

    def value(self, terms: Sequence[str]) -> float:
        """The criterion of the subset with these terms, the forced ones named or not.

        Raises:
            ValueError: a name that is not among the candidates.
        """
        free = [name for name in terms if name not in self.forced]
        unknown = [name for name in free if name not in self.names]
        if unknown:
            raise ValueError(f"terms must be among {', '.join(self.names)}; got {', '.join(unknown)}")
        return self._value(sum(1 << self.names.index(name) for name in set(free)))

    def _value(self, index: int) -> float:
        loss, size = float(self.losses[index]), len(self.forced) + int(index).bit_count()
        if math.isnan(loss):
            return math.nan
        loss = loss if loss > self.exact else 0.0
        return criterion_value(self.criterion, loss, size, self.n_runs, self.total)

    def best(self) -> int:
        """Index of the best subset of all; -1 when there is none.

        Subsets within the tolerance of the smallest are equal: the one with the fewest terms is taken, and
        among those the one whose terms come first.
        """
        keys = self.keys()
        return self._best(np.flatnonzero(~np.isnan(keys)), keys)

    def best_of_each_size(self) -> tuple[int, ...]:
        """Index of the best subset of each number of terms that there is, the smallest number first."""
        keys, sizes = self.keys(), self.sizes()
        usable = ~np.isnan(keys)
        each = [self._best(np.flatnonzero(usable & (sizes == size)), keys) for size in np.unique(sizes)]
        return tuple(index for index in each if index >= 0)

    def _best(self, among: npt.NDArray[np.int64], keys: Array) -> int:
        if not among.size:
            return -1
        ties = among[keys[among] <= np.min(keys[among]) + TIE]
        return int(min(ties, key=lambda i: (int(i).bit_count(), self._places(int(i)))))

    def _places(self, index: int) -> tuple[int, ...]:
        return tuple(bit for bit in range(len(self.names)) if index >> bit & 1)

    def table(self) -> str:
        """The best subset of each size, as text."""
        lines = [
            f"{self.evaluated} subsets; the best of each size:",
            f"  {'size':>4}{LABELS[self.criterion]:>14}",
        ]
        for index in self.best_of_each_size():
            terms = self.terms(index)
            lines.append(f"  {len(terms):>4}{self._value(index):>14.6g}  {', '.join(terms) or 'no terms'}")
        return "\n".join(lines)
