"""Error of a whole procedure on runs that it did not see, as a rule records it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imine.errors import RegressionError
from imine.progress import Progress
from imine.regression.after_choosing import Procedure
from imine.regression.fit_settings import FitSettings
from imine.regression.held_out_by import SchemeAsked, scheme_of
from imine.regression.run_data import RunData
from imine.regression.validation import (
    CrossValidation,
    KFold,
    PermutationTest,
    Score,
    cross_validate,
    permutation_test,
)
from imine.rules.choice import Validation

_FOLDS = 10


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutRuns:
    """A procedure judged by one scheme.

    Attributes:
        title: what the scheme is called.
        found: every fold and score.
    """

    title: str
    found: CrossValidation

    def record(self, n_runs: int, *, chose: bool) -> Validation:
        """For a rule's document: means over the repeats.

        Args:
            n_runs: number of runs.
            chose: whether the procedure chose terms.
        """
        return Validation(
            scheme=self.title,
            n_runs=n_runs,
            r2=self._mean(lambda s: s.level.r2),
            rmse=self._mean(lambda s: s.level.rmse),
            bias=self._mean(lambda s: s.level.bias),
            spearman=self._mean(lambda s: s.rank.spearman),
            kendall=self._mean(lambda s: s.rank.kendall),
            calibration_slope=self._mean(lambda s: s.level.slope),
            calibration_intercept=self._mean(lambda s: s.level.intercept),
            coverage=self._mean(lambda s: s.intervals.coverage),
            coverage_level=self.found.repeats[0].intervals.level,
            interval_width=self._mean(lambda s: s.intervals.mean_width),
            chose_anew=True if chose else None,
        )

    def _mean(self, quantity: Callable[[Score], float | None]) -> float | None:
        return self.found.spread(quantity).mean


def hold_out(
    data: RunData, procedure: Procedure | None, settings: FitSettings, progress: Progress
) -> tuple[tuple[HeldOutRuns, ...], tuple[str, ...]]:
    """Judge a procedure by every scheme that was asked for.

    Args:
        data: the runs with the candidates.
        procedure: chooses terms; ``None`` keeps all candidates.
        settings: schemes, seed, level, workers.
        progress: told of each scheme.

    Returns:
        One entry a scheme, and notes: a scheme that nobody asked for and that cannot be made is only noted.

    Raises:
        RegressionError: a scheme that was asked for cannot be made on these runs.
    """
    judged, notes = [], []
    for asked in settings.schemes(len(data.y)):
        try:
            judged.append(_judge(data, procedure, asked, settings, progress))
        except RegressionError as error:
            if settings.validate is not None:
                raise
            notes.append(f"No error out of sample with the choice made anew: {error}")
    return tuple(judged), tuple(notes)


def _judge(
    data: RunData, procedure: Procedure | None, asked: SchemeAsked, settings: FitSettings, progress: Progress
) -> HeldOutRuns:
    title, scheme = scheme_of(asked, data, settings.seed)
    progress.note(f"holding out: {title}")
    found = cross_validate(
        data.X,
        data.y,
        data.names,
        procedure,
        scheme=scheme,
        level=settings.level,
        workers=settings.workers or 1,
    )
    return HeldOutRuns(title, found)


def shuffle(data: RunData, procedure: Procedure | None, settings: FitSettings) -> PermutationTest:
    """The permutation test of the whole procedure, judged by runs held out in ten parts.

    Args:
        data: the runs with the candidates.
        procedure: chooses terms; ``None`` keeps all candidates.
        settings: number of shuffles, seed, workers.

    Raises:
        RegressionError: see :func:`imine.regression.validation.permutation_test`.
    """
    return permutation_test(
        data.X,
        data.y,
        procedure,
        scheme=_folds(data, settings),
        permutations=settings.permutations,
        seed=settings.seed,
        workers=settings.workers or 1,
    )


def shuffled_record(
    test: PermutationTest, data: RunData, settings: FitSettings, *, chose: bool
) -> Validation:
    """A permutation test for a rule's document.

    Args:
        test: the test.
        data, settings: as for :func:`shuffle`.
        chose: whether the procedure chose terms.
    """
    return Validation(
        scheme=f"{_folds(data, settings).k}-fold, against {len(test.permuted):,} shuffles of the losses",
        n_runs=len(data.y),
        r2=test.observed,
        permutation_p=test.p,
        chose_anew=True if chose else None,
    )


def _folds(data: RunData, settings: FitSettings) -> KFold:
    return KFold(min(_FOLDS, len(data.y)), seed=settings.seed)
