"""From finished runs to a rule."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import ValidationError

import imine
from imine.columns import COLUMNS
from imine.errors import RegressionError
from imine.regression.heldout import leave_one_out
from imine.regression.ols import fit_ols
from imine.regression.results import OlsResults
from imine.rules.load import explain_faults
from imine.rules.reference import remember_reference
from imine.rules.rule import Estimate, FitStatistics, FittedRange, Provenance, Rule, Term

# Words and tokens measure the same length: together they would only blur each other's coefficients.
# Columns that say the same in another unit: with both there, the second is fitted.
_TWINS = {"input_words": "input_length", "output_words": "output_length", "perplexity": "log_perplexity"}


def fit(
    runs: pl.DataFrame | str | Path,
    *,
    terms: Sequence[str] | None = None,
    target: str = "loss",
    name: str | None = None,
    level: float = 0.95,
    drop_incomplete: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Rule:
    """Regress the log of the loss on indicator means by ordinary least squares.

    ``log loss = b0 + b1 I1 + ... + bn In + e`` over finished runs (InstructMining, arXiv 2307.06290).

    Args:
        runs: one row a run: subset means of the indicators, ``<indicator>__sd``, losses; or the path of such
            a ``runs.parquet``, with the ``reference.npz`` of its neighbours beside it.
        terms: indicators to regress on; by default every indicator in ``runs``, where a length is there in
            words and in tokens the one in tokens, and of perplexity and its logarithm the logarithm.
        target: column of positive losses.
        name: name of the rule; by default that of the study.
        level: confidence level of the stored intervals, between 0 and 1.
        drop_incomplete: leave out runs with a missing value instead of refusing them; noted in the rule.
        metadata: fingerprints, study and versions of the runs, by default those stored in the file.

    Returns:
        The rule, with standard errors, intervals, covariance, fitted ranges and leave-one-out error. Where a
        term is a distance to neighbours in a reference set, the rule knows the ``reference.npz`` beside the
        runs, and :meth:`imine.Rule.write` copies it; a note says so when it is missing.

    Raises:
        RegressionError: a column or value is missing, terms are constant or dependent, or runs are too few;
            the message names columns and runs.
        RuleError: the ``reference.npz`` beside the runs is not the one that they were made with.

    Examples:
        >>> import polars as pl
        >>> made_up = pl.DataFrame({
        ...     "run_id": list("abcdefgh"),
        ...     "mtld": [40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0],
        ...     "loss": [2.02, 1.97, 1.96, 1.91, 1.88, 1.87, 1.80, 1.79],
        ... })
        >>> rule = fit(made_up, name="made-up")
        >>> round(rule.terms[0].coefficient, 5), round(rule.held_out.press_r2, 3)
        (-0.00346, 0.96)
    """
    frame, stored = _load(runs)
    facts = stored if metadata is None else metadata
    chosen, notes = _terms(frame, terms)
    _check_columns(frame, chosen, target)
    digest = runs_sha256(frame)
    frame, dropped = _complete(frame, [*chosen, target], drop_incomplete)
    if frame.height <= len(chosen) + 2:
        raise RegressionError(
            f"{frame.height} runs are too few for {len(chosen)} terms ({', '.join(chosen)}): "
            f"at least {len(chosen) + 3} are needed. Add runs to the study, or name fewer terms."
        )
    results = _regress(frame, chosen, target)
    facts = {**facts, "runs_sha256": digest}
    try:
        rule = _rule(frame, results, target, name, level, facts, [*notes, *dropped])
    except ValidationError as error:
        raise RegressionError(f"what was fitted cannot stand in a rule: {explain_faults(error)}") from None
    beside = None if isinstance(runs, pl.DataFrame) else Path(runs).parent / "reference.npz"
    return remember_reference(rule, beside)


def _load(runs: pl.DataFrame | str | Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    if isinstance(runs, pl.DataFrame):
        return runs, {}
    path = Path(runs)
    if not path.is_file():
        raise RegressionError(f"{path}: no such file; it should be the runs.parquet of a study")
    try:
        frame, stored = pl.read_parquet(path, glob=False), pl.read_parquet_metadata(path)
        facts = json.loads(stored.get("imine", "{}"))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise RegressionError(f"{path}: cannot be read as runs: {error}") from None
    return frame, facts if isinstance(facts, dict) else {}


def _terms(frame: pl.DataFrame, terms: Sequence[str] | None) -> tuple[tuple[str, ...], list[str]]:
    if terms is not None:
        if not terms or isinstance(terms, str):
            raise RegressionError(f"terms must be a list of at least one indicator; got {terms!r}")
        return tuple(terms), []
    present = [name for name in COLUMNS if name in frame.columns]
    left_out = [word for word, twin in _TWINS.items() if word in present and twin in present]
    chosen = tuple(name for name in present if name not in left_out)
    if not chosen:
        raise RegressionError(
            f"the runs hold none of the indicators {', '.join(COLUMNS)}; name the terms. "
            f"Columns: {', '.join(frame.columns)}"
        )
    pairs = [f"{word} left out in favour of {_TWINS[word]}" for word in left_out]
    return chosen, [f"The same in two units: {', '.join(pairs)}."] if pairs else []


def _check_columns(frame: pl.DataFrame, terms: Sequence[str], target: str) -> None:
    absent = [name for name in (*terms, target) if name not in frame.columns]
    if absent:
        raise RegressionError(
            f"the runs have no column {', '.join(absent)}; they have: {', '.join(frame.columns)}"
        )
    wrong = [name for name in (*terms, target) if not _is_number(frame.schema[name])]
    if wrong:
        raise RegressionError(f"not numbers: {', '.join(f'{n} ({frame.schema[n]})' for n in wrong)}")
    if len(set(terms)) != len(terms) or target in terms:
        raise RegressionError(f"terms must differ from each other and from {target}; got {', '.join(terms)}")
    if "run_id" in frame.columns and frame["run_id"].n_unique() != frame.height:
        twice = frame.filter(pl.col("run_id").is_duplicated())["run_id"].unique().sort().to_list()
        raise RegressionError(f"runs that are there more than once: {_some(twice)}")


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.Null


def _complete(frame: pl.DataFrame, needed: Sequence[str], drop: bool) -> tuple[pl.DataFrame, list[str]]:
    """Runs with a finite value in every needed column, and a note on those dropped."""
    finite = frame.select(pl.col(c).cast(pl.Float64).is_finite().fill_null(False) for c in needed)
    usable = finite.select(pl.all_horizontal(pl.all())).to_series()
    if usable.all():
        return frame, []
    columns = [c for c in needed if not finite[c].all()]
    bad = _labels(frame.with_row_index("imine_row").filter(~usable))
    what = f"{len(bad)} of {frame.height} runs have no value in {', '.join(columns)}: {_some(bad)}"
    if not drop:
        raise RegressionError(f"{what}. Mend them, or leave them out (drop_incomplete).")
    return frame.filter(usable), [f"Left out: {what}."]


def _labels(frame: pl.DataFrame) -> list[str]:
    column = "run_id" if "run_id" in frame.columns else "imine_row"
    return [str(label) for label in frame[column].to_list()]


def _some(labels: Sequence[Any]) -> str:
    more = f" and {len(labels) - 8} more" if len(labels) > 8 else ""
    return ", ".join(str(label) for label in labels[:8]) + more


def _regress(frame: pl.DataFrame, terms: tuple[str, ...], target: str) -> OlsResults:
    losses = frame[target].cast(pl.Float64).to_numpy()
    labelled = frame.with_row_index("imine_row")
    if (losses <= 0).any():
        raise RegressionError(
            f"{target} must be positive to have a logarithm; it is not in: "
            f"{_some(_labels(labelled.filter(pl.Series(losses <= 0))))}"
        )
    if np.ptp(losses) == 0:
        raise RegressionError(f"{target} is {losses[0]} in all runs: there is nothing to explain")
    X = frame.select(pl.col(name).cast(pl.Float64) for name in terms).to_numpy()
    results = fit_ols(X, np.log(losses), terms)
    alone = np.isnan(results.loo_residuals)
    if alone.any():
        raise RegressionError(
            "without one of these runs the rule is not determined, so no error out of sample can be given: "
            f"{_some(_labels(labelled.filter(pl.Series(alone))))}. Leave out a term that only they vary."
        )
    return results


def _rule(
    frame: pl.DataFrame,
    results: OlsResults,
    target: str,
    name: str | None,
    level: float,
    facts: Mapping[str, Any],
    notes: list[str],
) -> Rule:
    terms = results.names[1:]
    study = facts.get("study") or {}
    known = facts.get("fingerprints") or {}
    notes = [*notes, *_part_notes(frame, terms), *_study_notes(study)]
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
        terms_tried=terms,
        fingerprints={term: known[term] for term in terms if term in known},
        provenance=Provenance(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            study=str(study["name"]) if study.get("name") else None,
            runs_sha256=facts["runs_sha256"],
            versions=_versions(facts),
        ),
        notes=tuple(notes),
    )


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


def runs_sha256(frame: pl.DataFrame) -> str:
    """Hash of the content of runs: columns by name, values in the order of the rows.

    The same for the same numbers whatever file or compression they came in.

    Args:
        frame: the runs.

    Examples:
        >>> a = pl.DataFrame({"x": [1.5], "y": ["z"]})
        >>> runs_sha256(a) == runs_sha256(a.select("y", "x"))
        True
    """
    names = sorted(frame.columns)
    content = [names, frame.select(names).rows()]
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()
