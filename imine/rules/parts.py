"""The parts of a rule's document: frozen, strict, closed to keys that they do not know."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Spread = Annotated[float, Field(ge=0.0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
ContentHash = Annotated[str, Field(pattern="^[0-9a-f]{16,64}$")]


class Part(BaseModel):
    """Base of every part: unknown keys, other types and numbers that are not finite are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True
    )


class Estimate(Part):
    """A coefficient (log loss per unit of the indicator) with what is known of its error.

    Attributes:
        coefficient: the estimate.
        std_error, t, p: standard error, t statistic and two-sided p-value, where they are known.
        ci: confidence interval at the rule's ``level``.
    """

    coefficient: float
    std_error: Spread | None = None
    t: float | None = None
    p: Share | None = None
    ci: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.ci is not None and not self.ci[0] <= self.coefficient <= self.ci[1]:
            low, high = self.ci
            raise ValueError(f"ci: [{low:g}, {high:g}] must be ordered and hold {self.coefficient:g}")
        return self


class FittedRange(Part):
    """Where the runs lay that a term was fitted on, in the indicator's unit.

    Attributes:
        min, max, mean, sd: over the subset means of the runs.
        example_sd: mean over the runs of the standard deviation of single examples within a subset.
        spread_ratio: ``example_sd / sd``: how much wider single examples spread than what was fitted.
    """

    min: float
    max: float
    mean: float
    sd: Spread
    example_sd: Spread | None = None
    spread_ratio: Spread | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        # A mean of equal values may be rounded to one beside them.
        slack = 1e-12 * max(abs(self.min), abs(self.max))
        if not self.min <= self.max or not self.min - slack <= self.mean <= self.max + slack:
            raise ValueError(
                f"min, mean, max: must be in this order; got {self.min:g}, {self.mean:g}, {self.max:g}"
            )
        return self


class Term(Estimate):
    """One indicator of a rule.

    Attributes:
        name: score column.
        vif: variance inflation factor among the terms of the fit.
        fitted: range of the runs; absent where it was not published.
    """

    name: str = Field(min_length=1)
    vif: float | None = None
    fitted: FittedRange | None = None


class FitStatistics(Part):
    """The fit as a whole, in sample; definitions as in :class:`imine.regression.OlsResults`."""

    r2: float | None = None
    adjusted_r2: float | None = None
    f: float | None = None
    f_p: Share | None = None
    log_likelihood: float | None = None
    aic: float | None = None
    aicc: float | None = None
    bic: float | None = None


class HeldOut(Part):
    """How well runs were predicted that the coefficients had not seen.

    Attributes:
        method: how runs were held out, e.g. ``leave-one-out``.
        n_runs: runs predicted.
        press_r2: share of the variance of the log loss predicted, ``1 - PRESS / SST``; below 0 is worse than
            the mean.
        press_rmse: root mean squared error of the log loss.
        spearman: rank correlation of predictions and truth; absent where the predictions do not vary.
    """

    method: str
    n_runs: int = Field(ge=1)
    press_r2: float = Field(le=1.0)
    press_rmse: Spread
    spearman: float | None = None


class Provenance(Part):
    """Where a rule comes from.

    Attributes:
        created: ISO 8601, UTC.
        source: a publication, or what else made the rule.
        study: name of the study whose runs were fitted.
        runs_sha256: hash of the content of the runs.
        data: hashes of what the study was made from, whole or their first 16 digits, by name: ``recipe`` (the
            settings, the seed and all the others; with them the design is known), base model, pools,
            evaluation sets.
        versions: of the programs that made runs and rule.
    """

    created: str | None = None
    source: str | None = None
    study: str | None = None
    runs_sha256: Sha256 | None = None
    data: dict[str, ContentHash] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)


class ReferenceFile(Part):
    """The neighbour reference embeddings that lie beside the rule.

    Attributes:
        file: name in the rule's own folder.
        sha256: of the file's bytes.
        n: embeddings in it.
    """

    file: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
    sha256: Sha256
    n: int = Field(ge=1)
