"""The procedures that are repeated on other runs: choosing terms again, or keeping those that were fixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt

from imine.regression.after_choosing import ForwardStepwise
from imine.regression.after_choosing.forward import Criterion
from imine.regression.choosing.choice import search
from imine.regression.choosing.problem import make_problem
from imine.regression.choosing.settings import ChoiceSettings

# Criteria by their names here and there; cross-validation does not follow from sums of squares.
_SAME: dict[str, Criterion] = {
    "p": "p_value",
    "aic": "aic",
    "aicc": "aicc",
    "bic": "bic",
    "adjusted_r2": "adjusted_r2",
}


@dataclass(frozen=True, slots=True)
class ChooseAgain:
    """Choosing terms as a procedure that other processes can be sent: ``(X, y) -> column indices``.

    Attributes:
        names: the candidates.
        settings: how to choose.

    Examples:
        >>> X = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 1.0], [4.0, 0.0], [5.0, 1.0]]
        >>> ChooseAgain(("a", "b"), ChoiceSettings())(X, [0.1, 1.0, 2.2, 2.9, 4.1, 4.8])
        (0,)
    """

    names: tuple[str, ...]
    settings: ChoiceSettings

    def __call__(self, X: npt.ArrayLike, y: npt.ArrayLike) -> tuple[int, ...]:
        """The chosen columns of ``X`` (runs, candidates) for ``y`` (runs,)."""
        return search(make_problem(X, y, self.names), self.settings)[0]


def as_forward(names: tuple[str, ...], settings: ChoiceSettings) -> ForwardStepwise | None:
    """The same choice as inference after it knows it: forward, by a criterion that follows from sums of squares.

    Args:
        names: the candidates; none of them forced out.
        settings: how terms were chosen.

    Returns:
        ``None`` for another method, or for cross-validation as the criterion.

    Examples:
        >>> as_forward(("a", "b"), ChoiceSettings("forward", "bic", forced_in=("b",), max_terms=2))
        ForwardStepwise(steps=None, criterion='bic', enter=0.05, max_steps=1, forced=(1,))
        >>> as_forward(("a", "b"), ChoiceSettings("backward", "bic")) is None
        True
    """
    criterion = _SAME.get(settings.criterion or "")
    if settings.method != "forward" or criterion is None:
        return None
    forced = tuple(i for i, name in enumerate(names) if name in settings.forced_in)
    most = None if settings.max_terms is None else settings.max_terms - len(forced)
    return ForwardStepwise(criterion=criterion, enter=settings.p_enter, max_steps=most, forced=forced)
