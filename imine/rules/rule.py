"""The rule: a log-linear model of the loss after finetuning, as a frozen, validated document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from imine.errors import RuleError
from imine.files import replace_file, sha256_of
from imine.rules.checks import check_covariance, check_std_error
from imine.rules.choice import ChoiceRecord, OtherIntervals, Stability, Validation
from imine.rules.formula import formula_text
from imine.rules.parts import (
    Estimate,
    FitStatistics,
    FittedRange,
    HeldOut,
    Part,
    Provenance,
    ReferenceFile,
    Spread,
    Term,
)

if TYPE_CHECKING:
    import polars as pl

    from imine.rules.predict import MeanPrediction

SCHEMA: Literal["imine.rule/2"] = "imine.rule/2"

INTERCEPT = "intercept"
"""Name of the constant among the coefficients."""


class Rule(Part):
    """A rule ``log loss = intercept + sum of coefficient * indicator`` (InstructMining, arXiv 2307.06290).

    Fitted on subset means, it predicts the log loss of a model finetuned on a set with these means. Applied
    to a single example's values it gives a score to rank by: the order carries over, the level does not.

    Attributes:
        schema_version: ``schema`` in the file; versions that are not known are refused. A rule read from a
            file of version 1, which has no more than a part of the keys, is one of version 2 from then on.
        name, title, description: for people, and to load it by.
        target: the column of the runs whose natural logarithm is predicted.
        formula: the rule as one line, coefficients to six digits; made from them where it is not given.
        level: confidence level of the stored intervals.
        intercept, terms: the coefficients.
        covariance: of the coefficients, intercept first, then the terms in order; row by row.
        set_size: fewest and most examples of the sets that were fitted.
        df_resid, sigma, n_runs: residual degrees of freedom and standard deviation, and the number of runs.
        fit, held_out: in-sample statistics and leave-one-out error.
        validation: error by further schemes of holding out.
        terms_tried: every indicator that was a candidate.
        choice, stability: how the terms were chosen among them, and how steady that is.
        other_intervals: intervals by other methods than least squares with equal errors.
        fingerprints: by indicator, how the scores were made.
        reference: file of neighbour embeddings beside the rule.
        provenance, notes: where it comes from, and what a user should know.
    """

    schema_version: Literal["imine.rule/1", "imine.rule/2"] = Field(default=SCHEMA, alias="schema")
    name: str = Field(min_length=1)
    title: str = ""
    description: str = ""
    target: str = "loss"
    formula: str = ""
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
    validation: tuple[Validation, ...] = ()
    terms_tried: tuple[str, ...] = ()
    choice: ChoiceRecord | None = None
    stability: Stability | None = None
    other_intervals: tuple[OtherIntervals, ...] = ()
    fingerprints: dict[str, dict[str, Any]] = Field(default_factory=dict)
    reference: ReferenceFile | None = None
    provenance: Provenance = Field(default_factory=Provenance)
    notes: tuple[str, ...] = ()

    _path: Path | None = PrivateAttr(default=None)
    _reference_source: Path | None = PrivateAttr(default=None)

    @field_validator("schema_version")
    @classmethod
    def _of_today(cls, stated: str) -> str:
        return SCHEMA

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.indicators)) != len(self.terms):
            raise ValueError(f"terms: each may stand once; got {list(self.indicators)}")
        if INTERCEPT in self.indicators:
            raise ValueError(f"terms: {INTERCEPT!r} is the name of the constant")
        stray = set(self.fingerprints) - set(self.indicators)
        if stray:
            raise ValueError(f"fingerprints: not terms of the rule: {sorted(stray)}")
        if self.covariance is not None:
            self._check_covariance(self.covariance)
        self._check_names()
        derived = self._derive_formula()
        if self.formula not in ("", derived):
            raise ValueError(f"formula: the coefficients make it {derived!r}")
        # The model is frozen for its users; validation is where a field that follows from others is filled.
        self.__dict__["formula"] = derived
        return self

    def _derive_formula(self) -> str:
        terms = [(term.name, term.coefficient) for term in self.terms]
        return formula_text(self.target, self.intercept.coefficient, terms)

    def _check_names(self) -> None:
        """What is said of the choice and of single coefficients must be of this rule's candidates and terms."""
        candidates = {*self.terms_tried, *self.indicators}
        if self.choice is not None:
            _check_known("choice", set(self.choice.names), candidates)
        if self.stability is not None:
            _check_known("stability.terms", [term.name for term in self.stability.terms], candidates)
        for i, intervals in enumerate(self.other_intervals):
            named = [estimate.name for estimate in intervals.estimates]
            _check_known(f"other_intervals.{i}.estimates", named, {INTERCEPT, *self.indicators})

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
    def coefficients(self) -> dict[str, Estimate]:
        """The estimates by name, ``intercept`` first, then the terms in order.

        Examples:
            >>> from imine.rules import load_rule
            >>> {name: e.coefficient for name, e in load_rule("instructmining-v1").coefficients.items()}
            {'intercept': 1.0694, 'reward': -0.1498, 'output_length': 8.257e-05, 'knn_6': -0.935}
        """
        return {INTERCEPT: self.intercept} | {term.name: term for term in self.terms}

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

    def card(self) -> str:
        """The rule's card in Markdown: what it is, how it was made, how far it can be trusted, how to use it.

        Examples:
            >>> from imine.rules import load_rule
            >>> print(load_rule("instructmining-v1").card().splitlines()[0])
            # Rule instructmining-v1
        """
        from imine.rules.card import rule_card

        return rule_card(self)

    def to_json(self) -> str:
        """The rule's file: JSON that :func:`imine.load_rule` reads back without loss.

        Raises:
            RuleError: a fingerprint holds something that JSON cannot.
        """
        # A copy with changes (model_copy) is not validated, so its formula may still be that of the original.
        document = self.model_dump(by_alias=True) | {"formula": self._derive_formula()}
        try:
            # Not pydantic's own JSON mode: it would turn a NaN in a fingerprint into null.
            return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
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


def _check_known(where: str, named: Collection[str], known: set[str]) -> None:
    strangers = [name for name in named if name not in known]
    if strangers:
        raise ValueError(f"{where}: not of this rule: {strangers}; it has {sorted(known)}")
    if len(set(named)) != len(named):
        raise ValueError(f"{where}: each may stand once; got {list(named)}")
