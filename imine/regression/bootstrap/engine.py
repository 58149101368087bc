"""Choosing terms anew in many resamples: by a compiled kernel, or one by one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError
from imine.regression.choosing.choice import search
from imine.regression.choosing.criteria import TIE
from imine.regression.choosing.linear import away_from, dependence, orthogonal
from imine.regression.choosing.problem import Array, Problem, make_problem
from imine.regression.choosing.settings import ChoiceSettings, scope

Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
_CODES = {"aic": 0, "aicc": 1, "bic": 2, "adjusted_r2": 3, "p": 4}


@dataclass(frozen=True, slots=True, eq=False)
class Refits:
    """What was chosen and fitted in each resample.

    Attributes:
        coefficients: shape (repeats, k + 1), the intercept first, in the units of the data; 0 for a term that
            was not chosen, not a number where the choice failed.
        chosen: shape (repeats, k).
        dependent: shape (repeats, k), candidates that those before them determine.
        exact: shape (repeats,), resamples that the chosen model fits without any residual.
    """

    coefficients: Array
    chosen: Bools
    dependent: Bools
    exact: Bools


def has_kernel(settings: ChoiceSettings) -> bool:
    """Whether these settings run in the compiled kernel.

    Examples:
        >>> has_kernel(ChoiceSettings()), has_kernel(ChoiceSettings(method="best"))
        (True, False)
    """
    if settings.method == "paper":
        return settings.max_terms is None
    return settings.method != "best" and settings.criterion != "cv"


def refit(
    problem: Problem, settings: ChoiceSettings, rows: Indices, responses: Array, *, kernel: bool
) -> Refits:
    """Choose terms in each resample.

    Args:
        problem: the data.
        settings: how terms are chosen.
        rows: shape (repeats, m), rows of ``problem`` in each resample.
        responses: shape (repeats, m), about the mean of the data's response.
        kernel: whether to use the compiled kernel.
    """
    return (
        _by_kernel(problem, settings, rows, responses)
        if kernel
        else _one_by_one(problem, settings, rows, responses)
    )


def run_blocks(blocks: int, work: Callable[[int], Refits], threads: int) -> Refits:
    """Join what ``work`` gives for each block, in the order of the blocks."""
    if threads == 1:
        parts = [work(block) for block in range(blocks)]
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(work, range(blocks)))
    return Refits(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("coefficients", "chosen", "dependent", "exact")
        )
    )


def _by_kernel(problem: Problem, settings: ChoiceSettings, rows: Indices, responses: Array) -> Refits:
    from imine_kernels.stepwise import choose_in_resamples

    forced, _ = scope(problem.names, settings)
    repeats, k = len(rows), len(problem.names)
    # Of dependent columns the kernel drops the later one: forced terms come first, so that they stay.
    order = np.array([*forced, *(c for c in range(k) if c not in forced)], dtype=np.int64)
    scaled, exact = np.empty((repeats, k + 1)), np.empty(repeats, np.bool_)
    chosen, dependent = np.empty((repeats, k), np.bool_), np.empty((repeats, k), np.bool_)
    rules = _rules(problem, settings, order, rows.shape[1])
    choose_in_resamples(
        np.ascontiguousarray(problem.Z[:, order]), rows, responses, rules, scaled, chosen, dependent, exact
    )
    back = np.argsort(order)
    slopes = scaled[:, 1:][:, back] / np.where(problem.lengths > 0, problem.lengths, 1.0)
    intercept = scaled[:, 0] + problem.level - slopes @ problem.centre
    coefficients, dependent = np.column_stack([intercept, slopes]), dependent[:, back]
    # A resample that does not tell a forced term from the others has no fit: it failed, and is no zero.
    undetermined = np.asarray(dependent[:, list(forced)].any(axis=1))
    coefficients[undetermined] = np.nan
    return Refits(coefficients, chosen[:, back] & ~undetermined[:, None], dependent, exact)


def _rules(problem: Problem, settings: ChoiceSettings, order: Indices, m: int) -> Any:
    from imine_kernels.stepwise import PAPER, STEPS, Rules

    forced, allowed = scope(problem.names, settings)
    assert settings.criterion is not None
    return Rules(
        method=PAPER if settings.method == "paper" else STEPS,
        criterion=_CODES[settings.criterion],
        adds=settings.adds,
        removes=settings.removes or settings.method == "paper",
        max_terms=len(order) if settings.max_terms is None else settings.max_terms,
        start=np.isin(order, allowed if settings.starts_full else forced),
        forced=np.isin(order, forced),
        allowed=np.isin(order, allowed),
        f_enter=_critical(settings.p_enter, m, np.inf),
        f_remove=_critical(settings.p_remove, m, 0.0),
        noise=problem.noise[order],
        tolerance=settings.tolerance,
        exact=problem.exact,
        tie=TIE,
    )


def _critical(p: float, m: int, none: float) -> Array:
    """Critical values of F with one and 0 to ``m`` degrees of freedom; ``none`` for 0."""
    from scipy.special import stdtrit

    values = np.full(m + 1, none)
    values[1:] = stdtrit(np.arange(1.0, m + 1.0), p / 2.0) ** 2
    return values


def _one_by_one(problem: Problem, settings: ChoiceSettings, rows: Indices, responses: Array) -> Refits:
    repeats, k = len(rows), len(problem.names)
    out = Refits(
        np.full((repeats, k + 1), np.nan),
        np.zeros((repeats, k), np.bool_),
        np.zeros((repeats, k), np.bool_),
        np.zeros(repeats, np.bool_),
    )
    scale = np.where(problem.lengths > 0, problem.lengths, 1.0)
    X = problem.Z * scale + problem.centre
    for b in range(repeats):
        resample = make_problem(X[rows[b]], responses[b] + problem.level, problem.names)
        out.dependent[b] = _determined(resample, settings)
        try:
            columns, _ = search(resample, settings)
        except RegressionError:
            # Counted by the caller: a resample can lack what the settings ask for, such as a forced term.
            continue
        out.chosen[b, list(columns)] = True
        out.coefficients[b], out.exact[b] = _coefficients(resample, list(columns), settings.tolerance)
    return out


def _determined(problem: Problem, settings: ChoiceSettings) -> Bools:
    forced, allowed = scope(problem.names, settings)
    left, found = [*forced, *(c for c in allowed if c not in forced)], np.zeros(len(problem.names), np.bool_)
    while (fault := dependence(problem, left, settings.tolerance)) is not None:
        found[fault[0]] = True
        left.remove(fault[0])
    return found


def _coefficients(problem: Problem, columns: list[int], tolerance: float) -> tuple[Array, bool]:
    from scipy.linalg import solve_triangular

    out = np.zeros(len(problem.names) + 1)
    Q, R, _ = orthogonal(problem.Z[:, columns], problem.noise[columns], tolerance)
    if columns:
        out[1:][columns] = solve_triangular(R, Q.T @ problem.y) / problem.lengths[columns]
    out[0] = problem.level - out[1:] @ problem.centre
    residuals = away_from(problem.y, Q)
    return out, bool(residuals @ residuals <= problem.exact)
