"""Choose terms and say how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imine.errors import RegressionError
from imine.regression.choosing.best_subset import best_subset
from imine.regression.choosing.models import Models
from imine.regression.choosing.paper import highest_r2_then_significant
from imine.regression.choosing.problem import Problem, make_problem
from imine.regression.choosing.settings import ChoiceSettings
from imine.regression.choosing.stepwise import stepwise
from imine.regression.choosing.trace import Trace
from imine.regression.ols import fit_ols
from imine.regression.results import OlsResults


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The terms that were chosen, their fit, and how they were found.

    Attributes:
        names: all candidates.
        terms: the chosen ones, in the order of the candidates.
        columns: their column indices.
        results: the fit of the chosen terms. Its p-values and intervals take no account of the choice.
        trace: every candidate of every step.
        settings: how the terms were chosen.
    """

    names: tuple[str, ...]
    terms: tuple[str, ...]
    columns: tuple[int, ...]
    results: OlsResults
    trace: Trace
    settings: ChoiceSettings

    def table(self) -> str:
        """The trace as text, then the chosen terms.

        Examples:
            >>> X = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 1.0], [4.0, 0.0], [5.0, 1.0]]
            >>> choice = choose_terms(X, [0.1, 1.0, 2.2, 2.9, 4.1, 4.8], ["a", "b"])
            >>> print(choice.table())
            step 1: no terms
              candidate           AIC           RSS          p
              stay            26.9527       16.1083
              + a            -3.17041     0.0761905    8.4e-06
              + b             28.9515        16.105     0.9784
              -> + a: AIC 26.9527 becomes -3.17041
            step 2: a
              candidate           AIC           RSS          p
              stay           -3.17041     0.0761905
              + b            -1.43882     0.0728571     0.7356
              -> stay: no change improves AIC -3.17041
            ended: no change improves AIC -3.17041
            chosen: a
        """
        return f"{self.trace.table()}\nchosen: {', '.join(self.terms) or 'no terms'}"


def choose_terms(
    X: npt.ArrayLike, y: npt.ArrayLike, names: Sequence[str], settings: ChoiceSettings | None = None
) -> Choice:
    """Choose which columns of ``X`` to regress ``y`` on; an intercept is always fitted.

    Models are fitted by QR of the centred and scaled columns. Two whose criteria differ by less than one part
    in 10**9 of the residual variance are equal; of equal changes the first is taken, removals before additions
    and then in the order of ``names``. The rows are sorted first. So neither the order of the runs nor the
    linear algebra library decides anything. A candidate that the terms of a model determine is skipped, with
    the reason in the trace.

    Args:
        X: shape (runs, candidates), finite.
        y: shape (runs,), finite.
        names: one name a column.
        settings: by default forward by AIC.

    Returns:
        The chosen terms with their fit and the whole trace.

    Raises:
        ValueError: shapes or names that do not fit each other.
        RegressionError: values that are not finite, forced terms that are unknown or determine each other, or
            too few runs for the first model or the final fit.

    References:
        Miller (2002), Subset Selection in Regression, 2nd edition.

    Examples:
        >>> X = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 1.0], [4.0, 0.0], [5.0, 1.0]]
        >>> choice = choose_terms(X, [0.1, 1.0, 2.2, 2.9, 4.1, 4.8], ["a", "b"])
        >>> choice.terms, choice.trace.path
        (('a',), ('+ a',))
    """
    settings = settings or ChoiceSettings()
    problem = make_problem(X, y, names)
    columns, trace = search(problem, settings)
    chosen = np.array(X, dtype=np.float64, ndmin=2)[:, list(columns)]
    terms = tuple(problem.names[c] for c in columns)
    return Choice(problem.names, terms, columns, fit_ols(chosen, y, terms), trace, settings)


def search(problem: Problem, settings: ChoiceSettings) -> tuple[tuple[int, ...], Trace]:
    """The chosen columns and the trace, without the final fit."""
    models = Models(problem, settings)
    if settings.folds is not None and settings.folds > models.runs:
        raise RegressionError(f"{settings.folds} folds are too many for {models.runs} runs: use fewer.")
    if settings.method == "best":
        return best_subset(models)
    if settings.method == "paper":
        return highest_r2_then_significant(models)
    return stepwise(models)


def choosing_procedure(
    names: Sequence[str], settings: ChoiceSettings | None = None
) -> Callable[[npt.ArrayLike, npt.ArrayLike], tuple[int, ...]]:
    """A function of ``X`` and ``y`` that gives the chosen column indices, for whatever repeats a choice.

    Examples:
        >>> choose = choosing_procedure(["a", "b"])
        >>> X = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 1.0], [4.0, 0.0], [5.0, 1.0]]
        >>> choose(X, [0.1, 1.0, 2.2, 2.9, 4.1, 4.8])
        (0,)
    """
    settings, names = settings or ChoiceSettings(), tuple(names)

    def choose(X: npt.ArrayLike, y: npt.ArrayLike) -> tuple[int, ...]:
        return search(make_problem(X, y, names), settings)[0]

    return choose
