"""Forward, backward and both: one term at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from imine.errors import RegressionError
from imine.regression.choosing.criteria import LABELS, TIE
from imine.regression.choosing.linear import dependence
from imine.regression.choosing.models import Model, Models
from imine.regression.choosing.settings import ChoiceSettings, scope
from imine.regression.choosing.trace import Action, Candidate, Step, Trace, partial_p

EXACT = "the model fits without any residual: nothing is left to explain"


@dataclass(frozen=True, slots=True)
class _Move:
    """A change of the current model, with what it leads to."""

    action: Action
    column: int
    model: Model
    p: float


def all_terms(models: Models) -> tuple[int, ...]:
    """All candidates in scope but those that others determine."""
    forced, allowed = scope(models.problem.names, models.settings)
    taken_out = _determined(models, allowed, forced)
    return tuple(c for c in allowed if c not in taken_out)


def first_model(models: Models) -> tuple[tuple[int, ...], list[Step]]:
    """The terms to start from, and a step for each that others determine and that is taken out at once.

    Of a dependent set the last term goes, and terms go from the last to the first, as in R's ``step``.

    Raises:
        RegressionError: forced terms that determine each other, or more terms than the runs can carry.
    """
    forced, allowed = scope(models.problem.names, models.settings)
    start = allowed if models.settings.starts_full else forced
    taken_out = _determined(models, start, forced)
    kept = tuple(c for c in start if c not in taken_out)
    if models.runs - len(kept) < 2:
        raise RegressionError(
            f"{models.runs} runs are too few to start from {len(kept)} terms: at least {len(kept) + 2} are "
            "needed. Start from few terms (forward), force terms out, or add runs."
        )
    return kept, _taking_out(models, start, taken_out)


def _determined(models: Models, start: tuple[int, ...], forced: Sequence[int]) -> dict[int, str]:
    """Columns that others determine, forced ones counted as first, each with its reason."""
    left = [*forced, *(c for c in start if c not in forced)]
    found: dict[int, str] = {}
    while (dependent := dependence(models.problem, left, models.settings.tolerance)) is not None:
        column, reason = dependent
        if column in forced:
            raise RegressionError(f"a term that is forced in cannot be fitted: {reason}. Force it out.")
        found[column] = reason
        left.remove(column)
    return found


def _taking_out(models: Models, start: tuple[int, ...], reasons: dict[int, str]) -> list[Step]:
    names, steps, present = models.problem.names, [], list(start)
    rss = models.fit([c for c in start if c not in reasons]).rss
    for column in sorted(reasons, reverse=True):
        before = tuple(names[c] for c in present)
        candidate = Candidate("remove", names[column], math.nan, rss, math.nan)
        steps.append(Step(before, (candidate,), "remove", names[column], reasons[column]))
        present.remove(column)
    return steps


def stepwise(models: Models) -> tuple[tuple[int, ...], Trace]:
    """Add or remove one term at a time until no change is better.

    Returns:
        The chosen columns, and every candidate of every step.
    """
    columns, steps = first_model(models)
    while True:
        here = models.fit(columns)
        if here.fault:
            raise RegressionError(f"the model to start from cannot be judged: {here.fault}.")
        moves = [] if here.rss <= 0.0 else _moves(models, here)
        move, why = _decide(models, here, moves)
        steps.append(_step(models, here, moves, move, why))
        if move is None:
            return columns, Trace(models.criterion, tuple(steps), why)
        columns = move.model.columns


def _moves(models: Models, here: Model) -> list[_Move]:
    """Removals in the order of the candidates, then additions."""
    forced, allowed = scope(models.problem.names, models.settings)
    size, n = len(here.columns), models.runs
    moves = []
    if models.settings.removes or size > _most(models.settings):
        for column in (c for c in here.columns if c not in forced):
            model = models.fit([c for c in here.columns if c != column])
            moves.append(_Move("remove", column, model, partial_p(model.rss, here.rss, n - size - 1)))
    if models.settings.adds and size < _most(models.settings):
        for column in (c for c in allowed if c not in here.columns):
            model = models.fit([*here.columns, column])
            moves.append(_Move("add", column, model, partial_p(here.rss, model.rss, n - size - 2)))
    return moves


def _most(settings: ChoiceSettings) -> float:
    return math.inf if settings.max_terms is None else settings.max_terms


def _first_best(moves: Sequence[_Move]) -> _Move | None:
    """The first of the moves whose key is within ``TIE`` of the smallest."""
    usable = [move for move in moves if not move.model.fault]
    if not usable:
        return None
    least = min(move.model.key for move in usable)
    return next(move for move in usable if move.model.key <= least + TIE)


def _decide(models: Models, here: Model, moves: Sequence[_Move]) -> tuple[_Move | None, str]:
    settings, label = models.settings, LABELS[models.criterion]
    if here.rss <= 0.0:
        return None, EXACT
    if len(here.columns) > _most(settings):
        worst = _first_best([move for move in moves if move.action == "remove"])
        return worst, f"more than {settings.max_terms} terms: the one that costs least goes"
    if models.criterion == "p":
        return _decide_by_p(settings, here, moves)
    best = _first_best(moves)
    if best is None:
        return None, _nothing_left(models, here, moves)
    if best.model.key < here.key - TIE:
        return best, f"{label} {_number(here.value)} becomes {_number(best.model.value)}"
    return None, f"no change improves {label} {_number(here.value)}"


def _decide_by_p(settings: ChoiceSettings, here: Model, moves: Sequence[_Move]) -> tuple[_Move | None, str]:
    removal = _first_best([move for move in moves if move.action == "remove"])
    if removal is not None and removal.p > settings.p_remove:
        return removal, f"p {removal.p:.3g} is above p_remove {settings.p_remove:g}"
    addition = _first_best([move for move in moves if move.action == "add"])
    if addition is not None and addition.p < settings.p_enter:
        return addition, f"p {addition.p:.3g} is below p_enter {settings.p_enter:g}"
    reasons = []
    if settings.adds and len(here.columns) == _most(settings):
        reasons.append(f"max_terms {settings.max_terms} is reached")
    elif settings.adds:
        found = "" if addition is None else f"; the least is {addition.p:.3g}"
        reasons.append(f"no term outside has p below {settings.p_enter:g}{found}")
    if settings.removes:
        found = "" if removal is None else f"; the largest is {removal.p:.3g}"
        reasons.append(f"no term inside has p above {settings.p_remove:g}{found}")
    return None, ", and ".join(reasons)


def _nothing_left(models: Models, here: Model, moves: Sequence[_Move]) -> str:
    if len(here.columns) == _most(models.settings):
        return f"max_terms {models.settings.max_terms} is reached"
    return "every change is skipped" if moves else "no term is left to change"


def _number(value: float) -> str:
    return f"{value:.6g}"


def _step(models: Models, here: Model, moves: Sequence[_Move], move: _Move | None, why: str) -> Step:
    names = models.problem.names
    stay = math.nan if models.criterion == "p" else here.value
    rows = [Candidate("stay", "", stay, here.rss, math.nan)]
    for each in moves:
        value = each.p if models.criterion == "p" else each.model.value
        fault = _fault(models, here, each)
        rows.append(Candidate(each.action, names[each.column], value, each.model.rss, each.p, fault))
    before = tuple(names[c] for c in here.columns)
    if move is None:
        return Step(before, tuple(rows), "stay", "", why)
    return Step(before, tuple(rows), move.action, names[move.column], why)


def _fault(models: Models, here: Model, move: _Move) -> str:
    """Why a move is skipped; of a dependent set, the term that would come is the one that is named."""
    if move.action == "add" and move.model.fault:
        found = dependence(models.problem, [*here.columns, move.column], models.settings.tolerance)
        if found is not None:
            return found[1]
    return move.model.fault
