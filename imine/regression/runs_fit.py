"""A fitted rule with everything that was computed for it, and the computing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from imine.errors import RegressionError
from imine.progress import Progress
from imine.regression.after_choosing import Procedure
from imine.regression.beside import (
    AfterChoice,
    bootstrap_intervals,
    infer_after,
    resample,
    robust_fit,
    robust_intervals,
    stability_of,
)
from imine.regression.bootstrap import BootstrapChoice
from imine.regression.candidates import Candidates, choose_among
from imine.regression.choosing.choice import Choice
from imine.regression.choosing.univariate import UnivariateListing, univariate
from imine.regression.diagnostics import Diagnostics, diagnose
from imine.regression.fit_settings import FitSettings
from imine.regression.ols import fit_ols
from imine.regression.out_of_sample import HeldOutRuns, hold_out, shuffle, shuffled_record
from imine.regression.procedures import ChooseAgain
from imine.regression.recording import Further, record_rule
from imine.regression.results import OlsResults
from imine.regression.run_data import RunData, some
from imine.regression.validation import PermutationTest
from imine.rules.choice import OtherIntervals, Validation
from imine.rules.load import explain_faults
from imine.rules.rule import Rule


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RunsFit:
    """A rule and everything that was computed for it.

    Attributes:
        rule: the rule.
        data: the runs with every candidate that was tried.
        results: the regression of the rule.
        choice: how terms were chosen by the losses; ``None`` where they were not.
        after_choice: inference that takes the choice into account; ``None`` without one.
        bootstrap: repeats of the whole procedure; ``None`` unless asked for.
        robust: the fit with other standard errors; ``None`` unless asked for.
        held_out: the procedure judged by each scheme.
        permutation: the permutation test; ``None`` unless asked for.
    """

    rule: Rule
    data: RunData
    results: OlsResults
    choice: Choice | None = None
    after_choice: AfterChoice | None = None
    bootstrap: BootstrapChoice | None = None
    robust: OlsResults | None = None
    held_out: tuple[HeldOutRuns, ...] = ()
    permutation: PermutationTest | None = None

    def alone(self) -> UnivariateListing:
        """One regression a candidate, as the InstructMining paper looks at them first."""
        return univariate(self.data.X, self.data.y, self.data.names)

    def diagnose(self, replicates: str | None = None) -> Diagnostics:
        """Diagnostics of the regression of the rule; influential runs are named by ``run_id``.

        Args:
            replicates: column with one label for the runs that repeat a subset with other seeds.

        Raises:
            RegressionError: no such column.
        """
        fitted = self.data.only(self.rule.indicators)
        labels = None if replicates is None else self.data.column(replicates).to_list()
        return diagnose(self.results, fitted.X, fitted.y, runs=fitted.labels, replicates=labels)


def compute(
    data: RunData,
    candidates: Candidates,
    settings: FitSettings,
    facts: Mapping[str, Any],
    progress: Progress,
) -> RunsFit:
    """Choose, fit, and compute what stands beside the fit.

    Args:
        data: the runs with every candidate.
        candidates: how they were settled.
        settings: what is asked for.
        facts: what is known of the runs, ``runs_sha256`` among it.
        progress: told of what takes time.

    Raises:
        RegressionError: the message says what is wrong with which runs or terms.
    """
    choice = None
    if settings.choose is not None:
        progress.note(f"choosing among {len(candidates.tried)} candidates ({settings.choose.method})")
        data, choice, candidates = choose_among(data, candidates, settings.choose)
    fitted = data.only(candidates.terms)
    results = _regress(fitted, chose=choice is not None)
    procedure = None if choice is None else ChooseAgain(data.names, choice.settings)
    after = None if choice is None else infer_after(data, choice, settings)
    robust = None if settings.covariance == "classical" else robust_fit(fitted, settings)
    bootstrap = _bootstrap(data, choice, settings, progress)
    held_out, missing = hold_out(data, procedure, settings, progress)
    permutation = _permutation(data, procedure, settings, progress)
    chose = choice is not None
    further = Further(
        validation=_validation(data, held_out, permutation, settings, chose=chose),
        stability=None if bootstrap is None else stability_of(bootstrap),
        other_intervals=_intervals(candidates.terms, after, bootstrap, robust, settings, chose=chose),
        weights=settings.weights,
        notes=(*data.notes, *_weight_notes(data, settings), *(after.notes if after else ()), *missing),
    )
    return RunsFit(
        rule=_record(data, results, candidates, settings, facts, further),
        data=data,
        results=results,
        choice=choice,
        after_choice=after,
        bootstrap=bootstrap,
        robust=robust,
        held_out=held_out,
        permutation=permutation,
    )


def _regress(data: RunData, *, chose: bool) -> OlsResults:
    n, k = data.X.shape
    remedy = (
        "They were chosen: choose fewer (max_terms, --max-terms) or by a stricter criterion (bic)."
        if chose
        else "Add runs to the study, name fewer terms (terms, --terms), or have few chosen by the losses (choose, "
        "--choose forward)."
    )
    if n <= k + 2:
        raise RegressionError(
            f"{n} runs are too few for {k} terms ({some(data.names)}): at least {k + 3} are needed. {remedy}"
        )
    results = fit_ols(data.X, data.y, data.names, weights=data.weights)
    alone = np.flatnonzero(np.isnan(results.loo_residuals))
    if len(alone):
        raise RegressionError(
            "without one of these runs the rule is not determined, so no error out of sample can be given: "
            f"{some([data.labels[row] for row in alone])}. Leave out a term that only they vary."
        )
    return results


def _bootstrap(
    data: RunData, choice: Choice | None, settings: FitSettings, progress: Progress
) -> BootstrapChoice | None:
    if not settings.bootstrap:
        return None
    progress.note(f"bootstrap: {settings.bootstrap:,} resamples of the runs")
    return resample(data, choice, settings)


def _permutation(
    data: RunData, procedure: Procedure | None, settings: FitSettings, progress: Progress
) -> PermutationTest | None:
    if not settings.permutations:
        return None
    progress.note(f"permutation test: {settings.permutations:,} shuffles of the losses")
    return shuffle(data, procedure, settings)


def _validation(
    data: RunData,
    held_out: Sequence[HeldOutRuns],
    permutation: PermutationTest | None,
    settings: FitSettings,
    *,
    chose: bool,
) -> tuple[Validation, ...]:
    records = [judged.record(len(data.y), chose=chose) for judged in held_out]
    if permutation is not None:
        records.append(shuffled_record(permutation, data, settings, chose=chose))
    return tuple(records)


def _intervals(
    terms: Sequence[str],
    after: AfterChoice | None,
    bootstrap: BootstrapChoice | None,
    robust: OlsResults | None,
    settings: FitSettings,
    *,
    chose: bool,
) -> tuple[OtherIntervals, ...]:
    found = [] if after is None else after.intervals(terms, settings.level)
    if bootstrap is not None:
        found.append(bootstrap_intervals(bootstrap, terms, chose=chose))
    if robust is not None:
        found.append(robust_intervals(robust, settings, chose=chose))
    return tuple(found)


def _weight_notes(data: RunData, settings: FitSettings) -> tuple[str, ...]:
    if settings.weights is None:
        return ()
    return (
        f"Weighted by {settings.weights}: sigma, and with it the interval of a new run, is that of a run of the mean "
        f"weight, {data.mean_weight:.6g}; R2 and PRESS R2 are of weighted squares.",
    )


def _record(
    data: RunData,
    results: OlsResults,
    candidates: Candidates,
    settings: FitSettings,
    facts: Mapping[str, Any],
    further: Further,
) -> Rule:
    try:
        return record_rule(
            data.frame,
            results,
            candidates,
            target=settings.target,
            name=settings.name,
            level=settings.level,
            facts=facts,
            further=further,
        )
    except ValidationError as error:
        raise RegressionError(f"what was fitted cannot stand in a rule: {explain_faults(error)}") from None
