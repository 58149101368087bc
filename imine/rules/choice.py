"""What a rule's document says on how its terms were chosen, and on what that does to its numbers."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from imine.rules.parts import Part, Share, Spread


class ChoiceStep(Part):
    """One step of a choice of terms.

    Attributes:
        action: ``start`` for the model that the choice began with.
        term: the term that came in, went out, or was kept among those of the whole model; absent for ``start``.
        value: the criterion after the step, where it has a number.
    """

    action: Literal["start", "add", "remove", "keep"]
    term: str | None = None
    value: float | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.term is None) != (self.action == "start"):
            raise ValueError(f"term: must be there, but for the action start; action is {self.action!r}")
        return self


class ChoiceRecord(Part):
    """How the terms came to be those of the rule; the candidates are the rule's ``terms_tried``.

    Attributes:
        method: ``named`` (by the user), ``all`` (every indicator of the runs), or a search, e.g. ``forward``.
        criterion: what a search went by, e.g. ``bic``.
        saw_losses: whether the losses had a say; absent where that is not known, as for terms that a user
            named.
        forced: terms that had to be in.
        settings: of the search, e.g. a level, folds, a seed.
        steps: the path that a search took, in order; none where it has no path.
        stopped: why it ended there.
    """

    method: str = Field(min_length=1)
    criterion: str | None = None
    saw_losses: bool | None = None
    forced: tuple[str, ...] = ()
    settings: dict[str, str | bool | int | float] = Field(default_factory=dict)
    steps: tuple[ChoiceStep, ...] = ()
    stopped: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every term that the record speaks of."""
        return (*self.forced, *(step.term for step in self.steps if step.term is not None))

    def __str__(self) -> str:
        return self.method if self.criterion is None else f"{self.method}, by {self.criterion}"


class TermStability(Part):
    """What became of one candidate when the whole procedure was repeated on resampled runs.

    Attributes:
        name: the candidate.
        chosen: share of the repeats that chose it.
        same_sign: share of those in which its coefficient had the commoner one of its signs; absent if none
            chose it.
    """

    name: str = Field(min_length=1)
    chosen: Share
    same_sign: float | None = Field(default=None, ge=0.5, le=1.0)


class Stability(Part):
    """How steady the choice is when runs are drawn anew.

    Attributes:
        method: what was resampled, e.g. ``cases`` or ``residuals``.
        repeats: how often.
        failed: repeats that gave no model; they count in no share.
        seed: of the resampling.
        terms: one entry a candidate.
    """

    method: str = Field(min_length=1)
    repeats: int = Field(ge=1)
    failed: int = Field(default=0, ge=0)
    seed: int | None = None
    terms: tuple[TermStability, ...] = Field(min_length=1)


class TermInterval(Part):
    """One coefficient's interval by another method than that of the table.

    Attributes:
        name: ``intercept`` or a term.
        std_error, p: by that method, where it has them.
        ci: the interval; an end that is not bounded is null. It need not hold the estimate.
        why: why an end is not bounded.
    """

    name: str = Field(min_length=1)
    std_error: Spread | None = None
    p: Share | None = None
    ci: tuple[float | None, float | None] | None = None
    why: str | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.ci or (None, None)
        if low is not None and high is not None and not low <= high:
            raise ValueError(f"ci: [{low:g}, {high:g}] must be ordered")
        return self


class OtherIntervals(Part):
    """Intervals of the coefficients by another method, beside those of the table.

    Attributes:
        method: e.g. ``HC3``, ``BCa bootstrap of the whole procedure``, ``conditional on the choice``.
        level: confidence level.
        about: what they are right for, in a sentence.
        estimates: one entry a coefficient.
    """

    method: str = Field(min_length=1)
    level: float = Field(gt=0.0, lt=1.0)
    about: str = ""
    estimates: tuple[TermInterval, ...] = Field(min_length=1)


class Validation(Part):
    """Error on runs that were held out by a further scheme, beside leave-one-out.

    Attributes:
        scheme: how runs were held out, e.g. ``10-fold, 20 times`` or ``leave one model out``.
        n_runs: runs predicted.
        r2: share of the variance of the log loss predicted; below 0 is worse than the mean.
        rmse, bias: root mean squared error, and mean of prediction less truth, of the log loss.
        spearman, kendall: rank correlations of predictions and truth.
        calibration_slope, calibration_intercept: of truth on predictions; 1 and 0 are right, a slope below 1
            means predictions too far apart.
        coverage, coverage_level: share of runs inside their prediction intervals, and the level of these.
        interval_width: mean width of these intervals, in log loss.
        permutation_p: share of permutations of the losses that were predicted at least as well.
        chose_anew: whether the terms were chosen anew without the held-out runs.
    """

    scheme: str = Field(min_length=1)
    n_runs: int = Field(ge=1)
    r2: float | None = Field(default=None, le=1.0)
    rmse: Spread | None = None
    bias: float | None = None
    spearman: float | None = Field(default=None, ge=-1.0, le=1.0)
    kendall: float | None = Field(default=None, ge=-1.0, le=1.0)
    calibration_slope: float | None = None
    calibration_intercept: float | None = None
    coverage: Share | None = None
    coverage_level: float | None = Field(default=None, gt=0.0, lt=1.0)
    interval_width: Spread | None = None
    permutation_p: Share | None = None
    chose_anew: bool | None = None

    @model_validator(mode="after")
    def _levelled(self) -> Self:
        if (self.coverage is None) != (self.coverage_level is None):
            raise ValueError("coverage: must stand beside coverage_level, and the other way round")
        return self
