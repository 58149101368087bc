"""The rule: a log-linear model of the loss after finetuning, as a frozen, validated document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from imine.errors import RuleError
from imine.files import replace_file, sha256_of
from imine.rules.checks import check_covariance, check_std_error

if TYPE_CHECKING:
    import polars as pl

    from imine.rules.predict import MeanPrediction

SCHEMA: Literal["imine.rule/1"] = "imine.rule/1"

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Spread = Annotated[float, Field(ge=0.0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True
    )


class Estimate(_Part):
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


class FittedRange(_Part):
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


class FitStatistics(_Part):
    """The fit as a whole, in sample; definitions as in :class:`imine.regression.OlsResults`."""

    r2: float | None = None
    adjusted_r2: float | None = None
    f: float | None = None
    f_p: Share | None = None
    log_likelihood: float | None = None
    aic: float | None = None
    aicc: float | None = None
    bic: float | None = None


class HeldOut(_Part):
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


class Provenance(_Part):
    """Where a rule comes from.

    Attributes:
        created: ISO 8601, UTC.
        source: a publication, or what else made the rule.
        study: name of the study whose runs were fitted.
        runs_sha256: hash of the content of the runs.
        versions: of the programs that made runs and rule.
    """

    created: str | None = None
    source: str | None = None
    study: str | None = None
    runs_sha256: Sha256 | None = None
    versions: dict[str, str] = Field(default_factory=dict)


class ReferenceFile(_Part):
    """The neighbour reference embeddings that lie beside the rule.

    Attributes:
        file: name in the rule's own folder.
        sha256: of the file's bytes.
        n: embeddings in it.
    """

    file: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
    sha256: Sha256
    n: int = Field(ge=1)


class Rule(_Part):
    """A rule ``log loss = intercept + sum of coefficient * indicator`` (InstructMining, arXiv 2307.06290).

    Fitted on subset means, it predicts the log loss of a model finetuned on a set with these means. Applied
    to a single example's values it gives a score to rank by: the order carries over, the level does not.

    Attributes:
        schema_version: ``schema`` in the file; versions that are not known are refused.
        name, title, description: for people, and to load it by.
        target: the column of the runs whose natural logarithm is predicted.
        level: confidence level of the stored intervals.
        intercept, terms: the coefficients.
        covariance: of the coefficients, intercept first, then the terms in order; row by row.
        set_size: fewest and most examples of the sets that were fitted.
        df_resid, sigma, n_runs: residual degrees of freedom and standard deviation, and the number of runs.
        fit, held_out: in-sample statistics and out-of-sample error.
        terms_tried: every indicator that was a candidate.
        fingerprints: by indicator, how the scores were made.
        reference: file of neighbour embeddings beside the rule.
        provenance, notes: where it comes from, and what a user should know.
    """

    schema_version: Literal["imine.rule/1"] = Field(default=SCHEMA, alias="schema")
    name: str = Field(min_length=1)
    title: str = ""
    description: str = ""
    target: str = "loss"
    level: float = Field(default=0.95, gt=0.0, lt=1.0)
    intercept: Estimate
    terms: tuple[Term, ...] = Field(min_length=1)
    covariance: tuple[tuple[float, ...], ...] | None = None
    df_resid: int | None = Field(default=None, ge=1)
    sigma: Spread | None = None
    n_runs: int | None = Field(default=None, ge=1)
    set_size: tuple[int, int] | None = None
    fit: FitStatistics | None = None
    held_out: HeldOut | None = None
    terms_tried: tuple[str, ...] = ()
    fingerprints: dict[str, dict[str, Any]] = Field(default_factory=dict)
    reference: ReferenceFile | None = None
    provenance: Provenance = Field(default_factory=Provenance)
    notes: tuple[str, ...] = ()

    _path: Path | None = PrivateAttr(default=None)
    _reference_source: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.indicators)) != len(self.terms):
            raise ValueError(f"terms: each may stand once; got {list(self.indicators)}")
        stray = set(self.fingerprints) - set(self.indicators)
        if stray:
            raise ValueError(f"fingerprints: not terms of the rule: {sorted(stray)}")
        if self.covariance is not None:
            self._check_covariance(self.covariance)
        return self

    def _check_covariance(self, rows: tuple[tuple[float, ...], ...]) -> None:
        if self.df_resid is None or self.sigma is None:
            raise ValueError("covariance: needs df_resid and sigma beside it")
        check_covariance(rows, len(self.terms) + 1)
        check_std_error("intercept", self.intercept.std_error, rows[0][0])
        for i, term in enumerate(self.terms):
            check_std_error(f"terms.{i}", term.std_error, rows[i + 1][i + 1])

    @property
    def indicators(self) -> tuple[str, ...]:
        """Names of the score columns that the rule needs, in order.

        Examples:
            >>> from imine.rules import load_rule
            >>> load_rule("instructmining-v1").indicators
            ('reward', 'output_length', 'knn_6')
        """
        return tuple(term.name for term in self.terms)

    @property
    def ranges(self) -> dict[str, FittedRange]:
        """Fitted range by term; terms without one are absent."""
        return {term.name: term.fitted for term in self.terms if term.fitted is not None}

    @property
    def path(self) -> Path | None:
        """The file that the rule was loaded from."""
        return self._path

    @property
    def sha256(self) -> str:
        """Hash of the rule's content as :meth:`to_json` gives it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def predict(self, frame: pl.DataFrame, *, level: float | None = None) -> pl.DataFrame:
        """Predicted log loss of every row, with the contribution of every term.

        Args:
            frame: one column an indicator; a row is a set (subset means) or an example.
            level: confidence level of the intervals, by default the rule's own.

        Returns:
            In the order of ``frame``: ``id`` where ``frame`` has it, ``predicted_log_loss``,
            ``contrib_<term>`` (coefficient times value); where the rule has a covariance also ``mean_low``,
            ``mean_high`` (the expected log loss) and ``obs_low``, ``obs_high`` (a new run). Null where an
            indicator is null or not a finite number. For single examples the intervals are extrapolated.

        Raises:
            RuleError: an indicator is missing from ``frame`` or not numeric.

        Examples:
            >>> import polars as pl
            >>> from imine.rules import load_rule
            >>> frame = pl.DataFrame({"reward": [1.0], "output_length": [100], "knn_6": [0.5]})
            >>> load_rule("instructmining-v1").predict(frame)["predicted_log_loss"].round(6).to_list()
            [0.460357]
        """
        from imine.rules.predict import predict_rows

        return predict_rows(self, frame, self.level if level is None else level)

    def predict_mean(self, means: Mapping[str, float], *, level: float | None = None) -> MeanPrediction:
        """Predicted log loss of a model finetuned on a set with these indicator means.

        Args:
            means: by indicator, the mean over the set, in the indicator's unit.
            level: confidence level of the intervals, by default the rule's own.

        Raises:
            RuleError: an indicator is missing or not finite.

        Examples:
            >>> from imine.rules import load_rule
            >>> rule = load_rule("instructmining-v1")
            >>> round(rule.predict_mean({"reward": 1.0, "output_length": 100, "knn_6": 0.5}).value, 6)
            0.460357
        """
        from imine.rules.predict import predict_set

        return predict_set(self, means, self.level if level is None else level)

    def table(self) -> str:
        """The rule as a plain-text table, ended by a verdict in words; see :func:`imine.rules.rule_table`."""
        from imine.rules.table import rule_table

        return rule_table(self).to_text()

    def to_json(self) -> str:
        """The rule's file: JSON that :func:`imine.load_rule` reads back without loss.

        Raises:
            RuleError: a fingerprint holds something that JSON cannot.
        """
        try:
            # Not pydantic's own JSON mode: it would turn a NaN in a fingerprint into null.
            return json.dumps(self.model_dump(by_alias=True), indent=2, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise RuleError(f"rule {self.name!r} cannot be written: {error}") from None

    def write(self, path: str | Path) -> Rule:
        """Write the rule, whole or not at all, and beside it the reference set of its neighbours, if it has one.

        Args:
            path: the file; its folder is made if it is missing. The reference set becomes
                ``<stem>.reference.npz`` in the same folder.

        Returns:
            The rule as :func:`imine.load_rule` reads it from there.

        Raises:
            RuleError: a fingerprint holds something that JSON cannot, or the reference set is gone or another.

        Examples:
            >>> import tempfile
            >>> from imine.rules import load_rule
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     load_rule("instructmining-v1").write(f"{folder}/mine.json").path.name
            'mine.json'
        """
        from imine.rules.reference import attach_reference

        # A rule that cannot be written must fail before the reference of an older one is replaced.
        self.to_json()
        known = self._path or self._reference_source
        source = self.reference_path() if known else None
        rule = self.model_copy() if source is None else attach_reference(self, source, path)
        text = rule.to_json() + "\n"
        replace_file(path, lambda beside: beside.write_text(text, encoding="utf-8"))
        rule._path, rule._reference_source = Path(path).resolve(), None
        return rule

    def reference_path(self) -> Path | None:
        """The file of neighbour embeddings, checked against its hash; ``None`` for a rule without one.

        It lies beside the rule's file; for a rule not yet written, beside the runs.

        Raises:
            RuleError: the rule was not loaded from a file, or the reference is missing or another one.
        """
        if self.reference is None and self._reference_source is None:
            return None
        path = self._reference_source
        if path is None:
            if self._path is None or self.reference is None:
                raise RuleError(
                    f"rule {self.name!r} was not loaded from a file, so its reference cannot be found"
                )
            path = self._path.parent / self.reference.file
        self._check_reference(path)
        return path

    def _check_reference(self, path: Path) -> None:
        from imine.rules.reference import check_reference

        rule = f"the rule {self._path.name if self._path else self.name!r}"
        if not path.is_file():
            raise RuleError(f"{path}: missing; it must lie beside {rule}")
        if self.reference is None:
            check_reference(self.fingerprints, path)
        elif sha256_of(path) != self.reference.sha256:
            raise RuleError(f"{path}: not the file that {rule} was made with (SHA-256 differs)")
