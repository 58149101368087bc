"""Which terms are fitted: every indicator of the runs, those that were named, or those that a search chooses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from imine.columns import COLUMNS, NOT_IN_RUNS, find_column
from imine.errors import RegressionError
from imine.indicators.plugins import load_plugins
from imine.regression.choosing.choice import Choice, choose_terms
from imine.regression.choosing.settings import ChoiceSettings
from imine.regression.choosing.trace import Candidate, Step, Trace
from imine.regression.run_data import RunData, is_number
from imine.rendering import format_p
from imine.rules.choice import ChoiceRecord, ChoiceStep

# Columns that say the same in another unit, e.g. a length in words and in tokens: together they would only blur
# each other's coefficients. With both there, the second is fitted.
_TWINS = {
    "input_words": "input_length",
    "output_words": "output_length",
    "perplexity": "log_perplexity",
    "perplexity_alone": "log_perplexity_alone",
}


@dataclass(frozen=True, slots=True)
class Candidates:
    """The terms of a rule and how they were settled.

    Attributes:
        terms: the terms, in order.
        tried: every candidate.
        choice: how the terms were chosen among them.
        notes: what a reader should know of it.
    """

    terms: tuple[str, ...]
    tried: tuple[str, ...]
    choice: ChoiceRecord
    notes: tuple[str, ...] = ()


def candidates_of(frame: pl.DataFrame, terms: Sequence[str] | None, others: Sequence[str] = ()) -> Candidates:
    """The candidates that were named, or every indicator in the runs, without a look at the losses.

    Indicators that are listed come first, in the order of the list; then those that are found by their name, such
    as ``knn_10`` or ``input_mtld``, in the order of the runs.

    Args:
        frame: the runs.
        terms: names, or ``None``.
        others: columns that are something else: the target, the weights.

    Raises:
        RegressionError: no candidate.

    Examples:
        >>> frame = pl.DataFrame({"knn_10": [1.0], "mtld": [1.0], "input_mtld": [1.0], "tokens": [1], "loss": [1.0]})
        >>> candidates_of(frame, None).terms
        ('mtld', 'knn_10', 'input_mtld')
    """
    if terms is not None:
        if not terms or isinstance(terms, str):
            raise RegressionError(f"terms must be a list of at least one indicator; got {terms!r}")
        return Candidates(tuple(terms), tuple(terms), ChoiceRecord(method="named"))
    load_plugins()
    others = (*others, *NOT_IN_RUNS)
    present = [
        name for name in (*COLUMNS, *_by_pattern(frame)) if name in frame.columns and name not in others
    ]
    left_out = [word for word, twin in _TWINS.items() if word in present and twin in present]
    chosen = tuple(name for name in present if name not in left_out)
    if not chosen:
        raise RegressionError(
            "the runs hold none of the indicators that imine knows (imine indicators lists them); name the terms. "
            f"Columns: {', '.join(frame.columns)}"
        )
    pairs = [f"{word} left out in favour of {_TWINS[word]}" for word in left_out]
    notes = (f"The same in two units: {', '.join(pairs)}.",) if pairs else ()
    return Candidates(chosen, chosen, ChoiceRecord(method="all", saw_losses=False), notes)


def _by_pattern(frame: pl.DataFrame) -> list[str]:
    names = [name for name in frame.columns if name not in COLUMNS and is_number(frame.schema[name])]
    return [name for name in names if find_column(name) is not None]


def eligible(frame: pl.DataFrame, candidates: Candidates, settings: ChoiceSettings) -> Candidates:
    """The candidates that a search may take, before incomplete runs are looked for: none that is forced out, and none
    that has one value in all runs that have it.

    Raises:
        RegressionError: a forced term is no candidate, or none is left.
    """
    forced = (*settings.forced_in, *settings.forced_out)
    if unknown := [name for name in forced if name not in candidates.terms]:
        raise RegressionError(
            f"forced terms that are not among the candidates: {', '.join(unknown)}. "
            f"The candidates are: {', '.join(candidates.terms)}."
        )
    left = [name for name in candidates.terms if name not in settings.forced_out]
    same = [
        name
        for name in left
        if name in frame.columns
        and name not in settings.forced_in
        and frame[name].drop_nulls().n_unique() <= 1
    ]
    if len(same) == len(left):
        raise RegressionError(
            f"no candidate is left to choose among; the same in all runs: {', '.join(same)}"
        )
    notes = (f"The same in all runs, and so no candidates: {', '.join(same)}.",) if same else ()
    kept = tuple(name for name in left if name not in same)
    return replace(candidates, terms=kept, tried=kept, notes=(*candidates.notes, *notes))


def choose_among(
    data: RunData, candidates: Candidates, settings: ChoiceSettings
) -> tuple[RunData, Choice, Candidates]:
    """Choose terms by the losses.

    Candidates that are the same in all runs are set aside first; see :func:`eligible` for those forced out.

    Args:
        data: the runs with every eligible candidate.
        candidates: the candidates and how they were settled.
        settings: how to choose.

    Returns:
        The runs with the candidates that were tried, the choice, and its record.

    Raises:
        RegressionError: what :func:`imine.regression.choosing.choose_terms` raises, or no term was chosen.
    """
    constant = _constant(data, settings)
    tried = [name for name in data.names if name not in constant]
    if not tried:
        raise RegressionError(
            f"no candidate is left to choose among; the same in all runs: {', '.join(constant)}"
        )
    notes = [f"The same in all runs, and so no candidates: {', '.join(constant)}."] if constant else []
    given, data = data.names, data.only(tried)
    choice = choose_terms(data.X, data.y, tried, replace(settings, forced_out=()))
    if not choice.terms:
        raise RegressionError(_none_chosen(choice))
    record = choice_record(choice, settings)
    # All that were given: which runs are complete was settled by them, and a refit must find the same runs.
    return data, choice, Candidates(choice.terms, tuple(given), record, (*candidates.notes, *notes))


def _constant(data: RunData, settings: ChoiceSettings) -> list[str]:
    same = np.ptp(data.X, axis=0) == 0
    aside = {*settings.forced_in, *settings.forced_out}
    return [name for name, alone in zip(data.names, same, strict=True) if alone and name not in aside]


def _none_chosen(choice: Choice) -> str:
    last = choice.trace.steps[-1].candidates if choice.trace.steps else ()
    known = [candidate for candidate in last if candidate.term and not math.isnan(candidate.p)]
    nearest = min(known, key=lambda candidate: candidate.p, default=None)
    near = "" if nearest is None else f" The nearest was {nearest.term} (p {format_p(nearest.p)})."
    return (
        f"no term was chosen ({choice.settings.method}, by {choice.settings.criterion}) among "
        f"{len(choice.names)} candidates, so there is no rule: {choice.trace.why}.{near} Add runs, or name the terms "
        "or force some in, to see how little they predict."
    )


def choice_record(choice: Choice, settings: ChoiceSettings) -> ChoiceRecord:
    """What a rule's document says of a choice by the losses.

    Args:
        choice: the choice.
        settings: as they were asked for.

    Examples:
        >>> X = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 1.0], [4.0, 0.0], [5.0, 1.0]]
        >>> choice = choose_terms(X, [0.1, 1.0, 2.2, 2.9, 4.1, 4.8], ["a", "b"])
        >>> record = choice_record(choice, choice.settings)
        >>> [(step.action, step.term) for step in record.steps], record.stopped
        ([('start', None), ('add', 'a')], 'no change improves AIC -3.17041')
    """
    return ChoiceRecord(
        method=settings.method,
        criterion=settings.criterion,
        saw_losses=True,
        forced=settings.forced_in,
        settings=_told(settings),
        steps=tuple(_steps(choice.trace, choice.terms)),
        stopped=choice.trace.why,
    )


def _told(settings: ChoiceSettings) -> dict[str, str | bool | int | float]:
    """The settings that had a say."""
    told: dict[str, str | bool | int | float] = {}
    if settings.criterion == "p" and settings.method != "backward":
        told["p_enter"] = settings.p_enter
    if settings.criterion == "p" and settings.removes:
        told["p_remove"] = settings.p_remove
    if settings.method == "both":
        told["start"] = settings.start
    if settings.criterion == "cv":
        told["folds"] = "one run at a time" if settings.folds is None else settings.folds
    if settings.criterion == "cv" and settings.folds is not None:
        told["fold_seed"] = settings.fold_seed
    if settings.max_terms is not None:
        told["max_terms"] = settings.max_terms
    if settings.forced_out:
        told["forced_out"] = ", ".join(settings.forced_out)
    return told


def _steps(trace: Trace, terms: Sequence[str]) -> list[ChoiceStep]:
    if not trace.steps:
        return []
    first = next((c for c in trace.steps[0].candidates if c.action == "stay"), None)
    steps = [ChoiceStep(action="start", value=None if first is None else _number(first.value))]
    for step in trace.steps:
        made = _made(step, terms)
        steps += [
            ChoiceStep(action=c.action, term=c.term, value=_number(c.value))
            for c in made
            if c.action != "stay"
        ]
    return steps


def _made(step: Step, terms: Sequence[str]) -> list[Candidate]:
    """The changes that a step made: one, or for ``keep`` every term that stays."""
    if step.action == "stay":
        return []
    if step.action == "keep":
        return [candidate for candidate in step.candidates if candidate.term in terms]
    return [c for c in step.candidates if (c.action, c.term) == (step.action, step.term)]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
