"""What a bootstrap of the choice of terms tells."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from imine.regression.choosing.choice import Choice
from imine.regression.choosing.problem import Array

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """A set of terms and the number of repeats that chose it."""

    terms: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class BootstrapChoice:
    """Repeats of the whole procedure, the choice of terms included, on resampled runs.

    A coefficient counts as 0 in a repeat that did not choose its term, unless a method says otherwise.

    Attributes:
        choice: the choice on the data themselves.
        kind: ``cases`` or ``residuals``.
        seed: of the resamples.
        level: confidence level that the summary uses.
        coefficients: shape (repeats, k + 1), the intercept first; not a number where a repeat failed.
        chosen: shape (repeats, k).
        jackknife: shape (n, k + 1), the coefficients without one run at a time, for the acceleration of
            :meth:`bca`.
        dependent: shape (k,), number of repeats in which those before it determined a candidate, for instance
            because few different runs were drawn; it could not be chosen beside them.
        exact: number of repeats whose model fits its resample without any residual.
        compiled: whether the compiled kernel did the repeats.
    """

    choice: Choice
    kind: Literal["cases", "residuals"]
    seed: int
    level: float
    coefficients: Array
    chosen: Bools
    jackknife: Array
    dependent: npt.NDArray[np.int64]
    exact: int
    compiled: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients: the intercept, then all candidates."""
        return ("intercept", *self.choice.names)

    @property
    def repeats(self) -> int:
        """Number of repeats, failed ones included."""
        return len(self.coefficients)

    @property
    def usable(self) -> Bools:
        """Repeats that did not fail, shape (repeats,)."""
        out: Bools = np.all(np.isfinite(self.coefficients), axis=1)
        return out

    @property
    def failed(self) -> int:
        """Number of repeats in which no model could be chosen; they count nowhere else."""
        return int(self.repeats - self.usable.sum())

    @property
    def estimates(self) -> Array:
        """Coefficients on the data themselves, shape (k + 1,); 0 for a term that is not chosen."""
        out = np.zeros(len(self.names))
        out[[0, *(column + 1 for column in self.choice.columns)]] = self.choice.results.params
        return out

    @property
    def frequency(self) -> Array:
        """Share of the repeats that chose each candidate, shape (k,)."""
        out: Array = self.chosen[self.usable].mean(axis=0)
        return out

    @property
    def sign_stability(self) -> Array:
        """Of the repeats that chose a candidate, the share with its commoner sign, shape (k,).

        Not a number for a candidate that was never chosen.
        """
        chosen = self.chosen[self.usable]
        positive = (self.coefficients[self.usable][:, 1:] > 0) & chosen
        with np.errstate(invalid="ignore"):
            share = positive.sum(axis=0) / chosen.sum(axis=0)
        out: Array = np.maximum(share, 1.0 - share)
        return out

    @property
    def models(self) -> tuple[ChosenModel, ...]:
        """All models that were chosen, the commonest first; equally common ones in the order of the candidates."""
        counts = Counter(tuple(np.flatnonzero(row)) for row in self.chosen[self.usable])
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(ChosenModel(tuple(self.choice.names[c] for c in m), count) for m, count in ordered)

    def percentile(self, level: float | None = None) -> Array:
        """Percentile intervals of all coefficients, shape (k + 1, 2).

        Raises:
            ValueError: a level outside (0, 1).
        """
        low, high = _tails(self.level if level is None else level)
        return _quantiles(self.coefficients[self.usable], np.full(len(self.names), low), high)

    def conditional_percentile(self, level: float | None = None) -> Array:
        """Percentile intervals over the repeats that chose the term, shape (k + 1, 2).

        Not a number for a term that was chosen fewer than twice. They tell how large a coefficient is where it
        is chosen; a term is chosen when it looks large, so they lie too far from 0.

        Raises:
            ValueError: a level outside (0, 1).
        """
        low, high = _tails(self.level if level is None else level)
        out = np.full((len(self.names), 2), np.nan)
        usable = self.coefficients[self.usable]
        present = np.column_stack([np.ones(len(usable), np.bool_), self.chosen[self.usable]])
        for j in range(len(self.names)):
            if present[:, j].sum() >= 2:
                out[j] = _quantiles(usable[present[:, j], j][:, None], np.array([low]), high)[0]
        return out

    def bca(self, level: float | None = None) -> Array:
        """Bias-corrected and accelerated intervals of all coefficients, shape (k + 1, 2).

        The bias correction counts repeats below the estimate, and half of those equal to it, since many can be
        0. The acceleration comes from the procedure without one run at a time, for both kinds of resampling.
        Leaving out a run changes a choice by jumps, so the acceleration is rough and can be large; where it
        is so large that the correction has no value (``1 - a (z0 + z) <= 0``), the end is the outermost
        repeat, its limit. Not a number where the estimate lies outside all repeats.

        Raises:
            ValueError: a level outside (0, 1).

        References:
            Efron (1987), Better bootstrap confidence intervals, JASA 82, 171-185.
        """
        from scipy.special import ndtr, ndtri

        low, high = _tails(self.level if level is None else level)
        repeats, estimates = self.coefficients[self.usable], self.estimates
        below = ((repeats < estimates) + 0.5 * (repeats == estimates)).mean(axis=0)
        bias, acceleration = ndtri(below), _acceleration(self.jackknife)
        ends = [_corrected(bias, acceleration, z) for z in (ndtri(low), ndtri(high))]
        return _quantiles(repeats, ndtr(ends[0]), ndtr(ends[1]))

    def summary(self) -> str:
        """The repeats as text: one line a coefficient, the commonest models, and what went wrong."""
        from imine.regression.bootstrap.summary import summarise

        return summarise(self)


def _tails(level: float) -> tuple[float, float]:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1; got {level!r}")
    return (1.0 - level) / 2.0, (1.0 + level) / 2.0


def _quantiles(values: Array, low: Array, high: Array | float) -> Array:
    """Quantiles of each column at ``(B + 1) p`` of the ordered values, interpolated."""
    out = np.full((values.shape[1], 2), np.nan)
    highs = np.broadcast_to(high, low.shape)
    for j, ends in enumerate(zip(low, highs, strict=True)):
        if np.isfinite(ends).all() and len(values):
            out[j] = np.quantile(values[:, j], ends, method="weibull")
    return out


def _corrected(bias: Array, acceleration: Array, z: float) -> Array:
    """Normal quantile of the corrected end; infinite where the correction has no value."""
    moved = bias + z
    left = 1.0 - acceleration * moved
    with np.errstate(invalid="ignore", divide="ignore"):
        out: Array = np.where(
            left > 0, bias + moved / left, np.where(np.isfinite(moved), np.inf * np.sign(moved), np.nan)
        )
    return out


def _acceleration(jackknife: Array) -> Array:
    """Skewness of the jackknife's influence, divided by six; 0 for a coefficient that no run moves."""
    kept = jackknife[np.isfinite(jackknife).all(axis=1)]
    if len(kept) < 2:
        return np.full(jackknife.shape[1], np.nan)
    away = kept.mean(axis=0) - kept
    squares = np.sum(away**2, axis=0)
    cubes = np.sum(away**3, axis=0)
    out: Array = np.where(squares > 0, cubes / (6.0 * np.where(squares > 0, squares, 1.0) ** 1.5), 0.0)
    return out
