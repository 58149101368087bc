"""Intervals of a rule's coefficients by other methods than that of its table, and how steady a choice is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from imine.errors import RegressionError
from imine.regression.after_choosing import (
    ChosenResults,
    Interval,
    MultiSplitResults,
    infer_after_forward,
    multi_split,
)
from imine.regression.bootstrap import BootstrapChoice, bootstrap_choice
from imine.regression.choosing.choice import Choice
from imine.regression.choosing.settings import ChoiceSettings
from imine.regression.fit_settings import FitSettings
from imine.regression.ols import fit_ols
from imine.regression.procedures import ChooseAgain, as_forward
from imine.regression.results import OlsResults
from imine.regression.run_data import RunData
from imine.rules.choice import OtherIntervals, Stability, TermInterval, TermStability

_GIVEN = (
    "Right after this choice: exact given the terms that were chosen, for normal errors of equal variance, with "
    "sigma from the fit of all candidates."
)
_HULL = (
    " Where p is small and the interval yet holds 0, 0 is rejected between values that are not: the interval is their "
    "hull."
)
_SPLITS = (
    "Right after any choice that finds, in every half of the runs, all terms that matter; for all terms together, "
    "and wide."
)
_BOOTSTRAP = (
    "How the coefficients vary with the runs, without normal errors; better with many runs than with few."
)
_BOOTSTRAP_CHOICE = (
    "How the coefficients vary with the runs when the terms are chosen anew each time; a coefficient counts as 0 "
    "where its term is not chosen. A description more than a promise: a choice changes by jumps."
)


@dataclass(frozen=True, slots=True, eq=False)
class AfterChoice:
    """Inference that takes a choice into account.

    Attributes:
        conditional: given the choice; ``None`` where it is not known for the method, or cannot be computed.
        splits: from many halves of the runs, where the former is not there and this can be computed.
        notes: why what is missing is missing.
    """

    conditional: ChosenResults | None
    splits: MultiSplitResults | None
    notes: tuple[str, ...] = ()

    def intervals(self, terms: Sequence[str], level: float) -> list[OtherIntervals]:
        """For a rule's document.

        Args:
            terms: of the rule, in order.
            level: confidence level.
        """
        if self.conditional is not None:
            intervals, p_values = self.conditional.intervals(level), self.conditional.p
            found = list(zip(self.conditional.names, p_values, intervals, strict=True))
            hulls = any(p < 1.0 - level and i.low < 0.0 < i.high for _, p, i in found)
            return [_other("given the choice", level, f"{_GIVEN}{_HULL if hulls else ''}", terms, found)]
        if self.splits is not None:
            intervals = self.splits.intervals(level, familywise=True)
            found = list(zip(self.splits.names, self.splits.p, intervals, strict=True))
            return [_other(f"{len(self.splits.df)} splits", level, _SPLITS, terms, found)]
        return []


def infer_after(data: RunData, choice: Choice, settings: FitSettings) -> AfterChoice:
    """Inference after a choice: given it where that is known, else by many splits of the runs.

    Args:
        data: the runs with the candidates of the choice.
        choice: the choice.
        settings: seed and workers.
    """
    try:
        return AfterChoice(_given(data, choice), None)
    except RegressionError as error:
        why = f"No exact intervals given the choice: {error}"
    procedure = ChooseAgain(data.names, choice.settings)
    try:
        found = multi_split(
            data.X, data.y, data.names, procedure, seed=settings.seed, workers=settings.workers or 1
        )
    except RegressionError as error:
        return AfterChoice(None, None, (f"{why} None by splits of the runs either: {error}",))
    return AfterChoice(None, found, (f"{why} Those of {len(found.df)} splits of the runs stand instead.",))


def _given(data: RunData, choice: Choice) -> ChosenResults:
    n, k = data.X.shape
    procedure = as_forward(data.names, choice.settings)
    if procedure is None:
        raise RegressionError("they are known for forward alone, by any criterion but cv.")
    if n < k + 2:
        raise RegressionError(
            f"{n} runs are too few for the fit of all {k} candidates that sigma comes from."
        )
    found = infer_after_forward(data.X, data.y, data.names, procedure)
    if set(found.names) != set(choice.terms):
        others = ", ".join(found.names) or "nothing"
        raise RegressionError(f"the choice is a tie; with other rounding it would be {others}.")
    return found


def resample(data: RunData, choice: Choice | None, settings: FitSettings) -> BootstrapChoice:
    """The bootstrap of the whole procedure; without a choice, of the fit of all terms.

    Args:
        data: the runs with the candidates.
        choice: how terms were chosen, if they were.
        settings: number of repeats, seed, level, workers.

    Raises:
        RegressionError: what :func:`imine.regression.bootstrap.bootstrap_choice` raises.
    """
    how = ChoiceSettings(forced_in=data.names) if choice is None else choice.settings
    return bootstrap_choice(
        data.X,
        data.y,
        data.names,
        how,
        repeats=settings.bootstrap,
        seed=settings.seed,
        threads=settings.workers,
        level=settings.level,
    )


def stability_of(bootstrap: BootstrapChoice) -> Stability:
    """How often each candidate was chosen, for a rule's document."""
    rows = zip(bootstrap.choice.names, bootstrap.frequency, bootstrap.sign_stability, strict=True)
    return Stability(
        method=bootstrap.kind,
        repeats=bootstrap.repeats,
        failed=bootstrap.failed,
        seed=bootstrap.seed,
        terms=tuple(
            TermStability(name=name, chosen=float(share), same_sign=_finite(sign))
            for name, share, sign in rows
        ),
    )


def bootstrap_intervals(bootstrap: BootstrapChoice, terms: Sequence[str], *, chose: bool) -> OtherIntervals:
    """BCa intervals of a rule's coefficients, for its document.

    Args:
        bootstrap: repeats of the whole procedure.
        terms: of the rule, in order.
        chose: whether the procedure chose terms.
    """
    errors = np.std(bootstrap.coefficients[bootstrap.usable], axis=0, ddof=1)
    known = {
        name: (float(error), _ends(low, high))
        for name, error, (low, high) in zip(bootstrap.names, errors, bootstrap.bca(), strict=True)
    }
    outside = "the estimate lies outside all repeats"
    return OtherIntervals(
        method="BCa bootstrap",
        level=bootstrap.level,
        about=f"{bootstrap.repeats:,} resamples. {_BOOTSTRAP_CHOICE if chose else _BOOTSTRAP}",
        estimates=tuple(
            TermInterval(
                name=name,
                std_error=_finite(known[name][0]),
                ci=known[name][1],
                why=outside if known[name][1] is None else None,
            )
            for name in ("intercept", *terms)
        ),
    )


def robust_fit(data: RunData, settings: FitSettings) -> OlsResults:
    """The same coefficients with the standard errors that were asked for.

    Args:
        data: the runs with the terms of the rule.
        settings: kind of covariance, and the column of the groups.

    Raises:
        RegressionError: no such column, or what :func:`imine.regression.fit_ols` raises.
    """
    groups = None if settings.groups is None else data.column(settings.groups).to_list()
    return fit_ols(
        data.X, data.y, data.names, weights=data.weights, covariance=settings.covariance, groups=groups
    )


def robust_intervals(results: OlsResults, settings: FitSettings, *, chose: bool) -> OtherIntervals:
    """Robust intervals, for a rule's document.

    Args:
        results: of :func:`robust_fit`.
        settings: as there.
        chose: whether terms were chosen by the losses.
    """
    right = "Right where the errors' variances differ from run to run"
    if results.covariance_kind == "cluster":
        right = (
            f"Right where errors vary together within the {results.n_groups} groups of {settings.groups}, if these "
            f"are many ({results.df_inference} degrees of freedom)"
        )
    rows = zip(results.names, results.std_errors, results.p, results.conf_int(settings.level), strict=True)
    return OtherIntervals(
        method="by groups" if results.covariance_kind == "cluster" else results.covariance_kind,
        level=settings.level,
        about=f"{right}{'; they take no account of the choice' if chose else ''}.",
        estimates=tuple(
            TermInterval(name=name, std_error=float(error), p=_finite(p), ci=(float(low), float(high)))
            for name, error, p, (low, high) in rows
        ),
    )


def _other(
    method: str,
    level: float,
    about: str,
    terms: Sequence[str],
    found: Iterable[tuple[str, float, Interval]],
) -> OtherIntervals:
    known = {name: (p, interval) for name, p, interval in found}
    estimates = tuple(
        TermInterval(name=term, p=_finite(p), ci=_ends(interval.low, interval.high), why=interval.why)
        for term, (p, interval) in ((term, known[term]) for term in terms)
    )
    return OtherIntervals(method=method, level=level, about=about, estimates=estimates)


def _ends(low: float, high: float) -> tuple[float | None, float | None] | None:
    """An interval as a rule holds it: an infinite end is ``None``, and so is an interval that is not defined."""
    if math.isnan(low) or math.isnan(high):
        return None
    return _finite(low), _finite(high)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
