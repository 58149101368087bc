"""What decides which terms are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from imine.errors import RegressionError

Method = Literal["forward", "backward", "both", "best", "paper"]
Criterion = Literal["p", "aic", "aicc", "bic", "adjusted_r2", "cv"]

MOST_FOR_BEST = 20


@dataclass(frozen=True, slots=True)
class ChoiceSettings:
    """How terms are chosen.

    Attributes:
        method: ``forward`` adds one term at a time, ``backward`` removes one at a time from all of them,
            ``both`` does either at each step, ``best`` tries every subset (up to 20 candidates), ``paper`` is
            the procedure of the InstructMining paper (arXiv 2307.06290) as read in ``docs/choosing.md``.
        criterion: ``p`` (of the partial t test), ``aic``, ``aicc``, ``bic``, ``adjusted_r2``, or ``cv`` (mean
            squared error out of sample). By default ``aic``, and ``p`` for the method ``paper``, which knows
            no other.
        p_enter: a term enters, and stays with ``paper``, when its p-value is below.
        p_remove: a term leaves when its p-value is above; not below ``p_enter`` where both are used.
        start: what ``both`` starts from: the forced terms alone (``null``), or all terms (``full``).
        forced_in: names of terms in every model.
        forced_out: names of terms in no model.
        max_terms: largest number of terms, the forced ones counted.
        folds: number of folds of ``cv``; ``None`` leaves out one run at a time.
        fold_seed: seed of the folds.
        tolerance: a column is determined by others when they leave at most this share of its length
            unexplained; R's ``lm`` has the same default.

    Raises:
        ValueError: a setting that is not allowed or does not go with another.

    Examples:
        >>> ChoiceSettings(method="both", criterion="bic").criterion
        'bic'
        >>> ChoiceSettings(method="paper").criterion
        'p'
    """

    method: Method = "forward"
    criterion: Criterion | None = None
    p_enter: float = 0.05
    p_remove: float = 0.10
    start: Literal["null", "full"] = "null"
    forced_in: tuple[str, ...] = ()
    forced_out: tuple[str, ...] = ()
    max_terms: int | None = None
    folds: int | None = None
    fold_seed: int = 0
    tolerance: float = 1e-7

    def __post_init__(self) -> None:
        if self.criterion is None:
            object.__setattr__(self, "criterion", "p" if self.method == "paper" else "aic")
        for field in ("forced_in", "forced_out"):
            object.__setattr__(self, field, _name_tuple(field, getattr(self, field)))
        _one_of("method", self.method, get_args(Method))
        _one_of("criterion", self.criterion, get_args(Criterion))
        _one_of("start", self.start, ("null", "full"))
        self._check_p()
        self._check_numbers()

    def _check_p(self) -> None:
        for name, value in (("p_enter", self.p_enter), ("p_remove", self.p_remove)):
            if not 0.0 < value < 1.0:
                raise ValueError(f"{name} must lie between 0 and 1; got {value!r}")
        if self.method == "paper" and self.criterion != "p":
            raise ValueError(f"method 'paper' goes by p-values alone; got criterion {self.criterion!r}")
        if self.method == "best" and self.criterion == "p":
            raise ValueError("method 'best' compares whole models: criterion 'p' says nothing of them")
        if self.method == "both" and self.criterion == "p" and self.p_remove < self.p_enter:
            raise ValueError(
                "p_remove must not be below p_enter, or a term could enter and leave without end; "
                f"got p_enter {self.p_enter}, p_remove {self.p_remove}"
            )

    def _check_numbers(self) -> None:
        if self.max_terms is not None and self.max_terms < 0:
            raise ValueError(f"max_terms must not be negative; got {self.max_terms}")
        if self.max_terms is not None and self.max_terms < len(self.forced_in):
            raise ValueError(
                f"max_terms must leave room for the forced terms {list(self.forced_in)}; got {self.max_terms}"
            )
        if self.folds is not None and self.folds < 2:
            raise ValueError(f"folds must be at least 2, or None to leave out one run; got {self.folds}")
        if not 0.0 < self.tolerance < 1.0:
            raise ValueError(f"tolerance must lie between 0 and 1; got {self.tolerance!r}")
        both = sorted(set(self.forced_in) & set(self.forced_out))
        if both:
            raise ValueError(f"forced in and forced out at once: {', '.join(both)}")

    @property
    def adds(self) -> bool:
        """Whether a step may add a term."""
        return self.method in ("forward", "both")

    @property
    def removes(self) -> bool:
        """Whether a step may remove a term."""
        return self.method in ("backward", "both")

    @property
    def starts_full(self) -> bool:
        """Whether all terms are in the first model."""
        return self.method in ("backward", "paper") or (self.method == "both" and self.start == "full")


def scope(names: Sequence[str], settings: ChoiceSettings) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Column indices of the forced terms, and of all terms that are not forced out.

    Raises:
        RegressionError: a forced name that no column has.

    Examples:
        >>> scope(["a", "b", "c"], ChoiceSettings(forced_in=("b",), forced_out=("c",)))
        ((1,), (0, 1))
    """
    unknown = [name for name in (*settings.forced_in, *settings.forced_out) if name not in names]
    if unknown:
        raise RegressionError(
            f"forced terms that are not among the candidates: {', '.join(unknown)}. "
            f"The candidates are: {', '.join(names)}."
        )
    forced = tuple(i for i, name in enumerate(names) if name in settings.forced_in)
    allowed = tuple(i for i, name in enumerate(names) if name not in settings.forced_out)
    return forced, allowed


def _name_tuple(field: str, value: Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(f"{field} must be a sequence of names; got the single string {value!r}")
    return tuple(value)


def _one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
