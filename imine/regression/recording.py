"""The document of a fitted rule: what the regression found, and what is known of its runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

import imine
from imine.regression.heldout import leave_one_out
from imine.regression.results import OlsResults
from imine.rules.choice import ChoiceRecord
from imine.rules.parts import Estimate, FitStatistics, FittedRange, Provenance, Term
from imine.rules.rule import Rule


@dataclass(frozen=True, slots=True)
class Candidates:
    """The terms of a rule and how they were settled.

    Attributes:
        terms: the terms, in order.
        tried: every candidate.
        choice: how the terms were chosen among them.
        notes: what a reader should know of it.
    """

    terms: tuple[str, ...]
    tried: tuple[str, ...]
    choice: ChoiceRecord
    notes: tuple[str, ...] = ()


def record_rule(
    frame: pl.DataFrame,
    results: OlsResults,
    candidates: Candidates,
    *,
    target: str,
    name: str | None,
    level: float,
    facts: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> Rule:
    """Put a regression on record as a rule.

    Args:
        frame: the runs that were fitted.
        results: their regression, with an intercept, on ``candidates.terms``.
        candidates: the terms and how they were settled.
        target: column whose logarithm was fitted.
        name: of the rule; by default that of the study.
        level: confidence level of the stored intervals.
        facts: what is known of the runs: ``fingerprints``, ``study``, ``versions``, ``runs_sha256``.
        notes: further notes.

    Raises:
        pydantic.ValidationError: numbers that cannot stand in a rule.

    Examples:
        >>> from imine.regression import fit_ols
        >>> results = fit_ols([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.1, 4.9, 7.0], ["mtld"])
        >>> frame = pl.DataFrame({"mtld": [0.0, 1.0, 2.0, 3.0]})
        >>> named = Candidates(("mtld",), ("mtld",), ChoiceRecord(method="named"))
        >>> facts = {"runs_sha256": "0" * 64}
        >>> record_rule(frame, results, named, target="loss", name=None, level=0.95, facts=facts).formula
        'log(loss) = 1.03 + 1.98 mtld'
    """
    terms = candidates.terms
    study = facts.get("study") or {}
    known = facts.get("fingerprints") or {}
    notes = [*candidates.notes, *notes, *_part_notes(frame, terms), *_study_notes(study)]
    unknown = [term for term in terms if term not in known]
    if unknown:
        notes = [*notes, f"The runs hold no fingerprint of {', '.join(unknown)}: scores cannot be checked."]
    estimates = _estimates(results, level)
    return Rule(
        name=name or str(study.get("name") or "unnamed"),
        description=f"log {target} of {results.n_runs} runs by ordinary least squares.",
        target=target,
        level=level,
        intercept=Estimate(**estimates[0]),
        terms=tuple(
            Term(name=term, vif=_finite(results.vif[i]), fitted=_range(frame, term), **estimates[i + 1])
            for i, term in enumerate(terms)
        ),
        covariance=tuple(tuple(row) for row in results.covariance.tolist()),
        df_resid=results.df_resid,
        sigma=results.sigma,
        n_runs=results.n_runs,
        set_size=_set_size(frame),
        fit=_statistics(results),
        held_out=leave_one_out(results),
        terms_tried=candidates.tried,
        choice=candidates.choice,
        fingerprints={term: known[term] for term in terms if term in known},
        provenance=Provenance(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            study=str(study["name"]) if study.get("name") else None,
            runs_sha256=facts["runs_sha256"],
            data=_data(study),
            versions=_versions(facts),
        ),
        notes=tuple(notes),
    )


def _data(study: Mapping[str, Any]) -> dict[str, str]:
    """Hashes of what the study was made from: its recipe, and the contents that the recipe names."""
    recipe = study.get("recipe") or {}
    mark = " (content)"
    found = {"recipe": study.get("recipe_sha256")}
    found |= {key.removesuffix(mark): recipe[key] for key in sorted(recipe) if key.endswith(mark)}
    return {key: str(value) for key, value in found.items() if value}


def _set_size(frame: pl.DataFrame) -> tuple[int, int] | None:
    if "n_examples" not in frame.columns:
        return None
    sizes = frame["n_examples"].cast(pl.Int64)
    return int(sizes.min()), int(sizes.max())  # type: ignore[arg-type]


def _part_notes(frame: pl.DataFrame, terms: Sequence[str]) -> list[str]:
    """Means that are those of a part of the set: which rows have the indicator may itself tell of the set."""
    notes = []
    for term in terms:
        count = f"{term}__n"
        if count not in frame.columns or "n_examples" not in frame.columns:
            continue
        shares = frame.select(pl.col(count) / pl.col("n_examples")).to_series().drop_nulls().to_list()
        if shares and min(shares) < 1:
            notes.append(
                f"{term}: a set's mean is that of its rows that have it, in these runs {min(shares):.0%} to "
                f"{max(shares):.0%} of them; where that is little, the mean says little of the set."
            )
    return notes


def _study_notes(study: Mapping[str, Any]) -> list[str]:
    finished, planned = study.get("finished"), study.get("subsets")
    if isinstance(finished, int) and isinstance(planned, int) and finished < planned:
        return [f"The study is not finished: {finished} of {planned} runs."]
    return []


def _estimates(results: OlsResults, level: float) -> list[dict[str, Any]]:
    return [
        {
            "coefficient": float(value),
            "std_error": float(error),
            "t": _finite(t),
            "p": _finite(p),
            "ci": (float(low), float(high)),
        }
        for value, error, t, p, (low, high) in zip(
            results.params, results.std_errors, results.t, results.p, results.conf_int(level), strict=True
        )
    ]


def _statistics(results: OlsResults) -> FitStatistics:
    names = FitStatistics.model_fields
    return FitStatistics(**{name: _finite(getattr(results, name)) for name in names})


def _range(frame: pl.DataFrame, term: str) -> FittedRange:
    means = frame[term].cast(pl.Float64).to_numpy()
    sd = float(np.std(means, ddof=1))
    spread = f"{term}__sd"
    example_sd = _mean_or_none(frame[spread]) if spread in frame.columns else None
    return FittedRange(
        min=float(means.min()),
        max=float(means.max()),
        mean=math.fsum(means) / len(means),
        sd=sd,
        example_sd=example_sd,
        spread_ratio=None if example_sd is None else example_sd / sd,
    )


def _mean_or_none(values: pl.Series) -> float | None:
    numbers = values.cast(pl.Float64).drop_nulls().drop_nans().to_list()
    return math.fsum(numbers) / len(numbers) if numbers else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _versions(facts: Mapping[str, Any]) -> dict[str, str]:
    made = {str(key): str(value) for key, value in (facts.get("versions") or {}).items()}
    return {**made, "imine (fit)": imine.__version__}
