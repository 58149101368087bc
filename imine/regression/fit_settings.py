"""What a fit of runs is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imine.regression.choosing.settings import ChoiceSettings
from imine.regression.held_out_by import SchemeAsked, check_asked
from imine.regression.results import COVARIANCES, CovarianceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """The settings of :func:`imine.fit`, whose arguments they are.

    Attributes:
        terms: indicators to regress on, or, with ``choose``, to choose among; by default every one in the runs.
        choose: how terms are chosen by the losses; by default they are not.
        target: column of positive losses.
        weights: column of positive weights of the runs.
        covariance: kind of standard errors shown beside the classical ones.
        groups: for ``cluster``, the column that says which runs belong together.
        validate: schemes of holding out; ``None`` for ten folds five times where terms are chosen, else none.
        permutations: number of shuffles of the losses, 0 for no test.
        bootstrap: number of resamples of the runs, 0 for none.
        seed: of folds, splits, resamples and shuffles.
        workers: processes and threads; no result depends on it.
        name, level, drop_incomplete: as in :func:`imine.fit`.

    Raises:
        ValueError: a setting that is not allowed or does not go with another.

    Examples:
        >>> FitSettings(choose=ChoiceSettings("forward", "bic"), bootstrap=2000).schemes(100)
        ('kfold',)
        >>> FitSettings(weights="n_examples", bootstrap=200)
        Traceback (most recent call last):
        ...
        ValueError: weights go with named terms and least squares alone; they cannot stand beside bootstrap
    """

    terms: Sequence[str] | None = None
    choose: ChoiceSettings | None = None
    target: str = "loss"
    weights: str | None = None
    covariance: CovarianceKind = "classical"
    groups: str | None = None
    validate: SchemeAsked | Sequence[SchemeAsked] | None = None
    permutations: int = 0
    bootstrap: int = 0
    seed: int = 0
    workers: int | None = None
    name: str | None = None
    level: float = 0.95
    drop_incomplete: bool = False

    def __post_init__(self) -> None:
        if self.covariance not in COVARIANCES:
            raise ValueError(f"covariance must be one of {', '.join(COVARIANCES)}; got {self.covariance!r}")
        if (self.groups is not None) != (self.covariance == "cluster"):
            raise ValueError("groups, a column of the runs, goes with covariance 'cluster', and only with it")
        for field, least in (("permutations", 0), ("bootstrap", 0), ("seed", 0), ("workers", 1)):
            value = getattr(self, field)
            if value is not None and value < least:
                raise ValueError(f"{field} must be at least {least}; got {value}")
        if self.bootstrap == 1:
            raise ValueError("bootstrap must be 0, for none, or at least 2; got 1")
        if not 0.0 < self.level < 1.0:
            raise ValueError(f"level must lie between 0 and 1; got {self.level!r}")
        for asked in self.asked:
            check_asked(asked)
        self._check_weights()

    def _check_weights(self) -> None:
        beside = [name for name in ("choose", "validate", "permutations", "bootstrap") if getattr(self, name)]
        if self.weights is not None and beside:
            raise ValueError(
                f"weights go with named terms and least squares alone; they cannot stand beside {', '.join(beside)}"
            )

    @property
    def asked(self) -> tuple[SchemeAsked, ...]:
        """The schemes that were asked for by name or as objects."""
        if self.validate is None:
            return ()
        if isinstance(self.validate, Sequence) and not isinstance(self.validate, str):
            return tuple(self.validate)
        return (self.validate,)

    def schemes(self, n_runs: int) -> tuple[SchemeAsked, ...]:
        """The schemes to hold out by: those asked for, or, where terms are chosen, one that chooses them anew."""
        if self.validate is None and self.choose is not None:
            return ("kfold" if n_runs >= 10 else "leave-one-out",)
        return self.asked
