"""From finished runs to a rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import ValidationError

from imine.columns import COLUMNS, NOT_IN_RUNS
from imine.errors import RegressionError
from imine.indicators.plugins import load_plugins
from imine.regression.ols import fit_ols
from imine.regression.recording import Candidates, record_rule
from imine.regression.results import OlsResults
from imine.rules.choice import ChoiceRecord
from imine.rules.load import explain_faults
from imine.rules.reference import remember_reference
from imine.rules.rule import Rule

# Columns that say the same in another unit, e.g. a length in words and in tokens: together they would only blur
# each other's coefficients. With both there, the second is fitted.
_TWINS = {
    "input_words": "input_length",
    "output_words": "output_length",
    "perplexity": "log_perplexity",
    "perplexity_alone": "log_perplexity_alone",
}


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
        The rule, with standard errors, intervals, covariance, fitted ranges, leave-one-out error, and the hashes of
        runs, recipe, pools, base model and evaluation sets as far as the runs know them. Where a
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
    candidates = _candidates(frame, terms)
    chosen = candidates.terms
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
        rule = record_rule(
            frame, results, candidates, target=target, name=name, level=level, facts=facts, notes=dropped
        )
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
    # The reader panics on some damaged files, with an exception of no other kind.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise RegressionError(f"{path}: cannot be read as runs: {error}") from None
    return frame, facts if isinstance(facts, dict) else {}


def _candidates(frame: pl.DataFrame, terms: Sequence[str] | None) -> Candidates:
    if terms is not None:
        if not terms or isinstance(terms, str):
            raise RegressionError(f"terms must be a list of at least one indicator; got {terms!r}")
        return Candidates(tuple(terms), tuple(terms), ChoiceRecord(method="named"))
    load_plugins()
    present = [name for name in COLUMNS if name in frame.columns and name not in NOT_IN_RUNS]
    left_out = [word for word, twin in _TWINS.items() if word in present and twin in present]
    chosen = tuple(name for name in present if name not in left_out)
    if not chosen:
        raise RegressionError(
            f"the runs hold none of the indicators {', '.join(COLUMNS)}; name the terms. "
            f"Columns: {', '.join(frame.columns)}"
        )
    pairs = [f"{word} left out in favour of {_TWINS[word]}" for word in left_out]
    notes = (f"The same in two units: {', '.join(pairs)}.",) if pairs else ()
    return Candidates(chosen, chosen, ChoiceRecord(method="all", saw_losses=False), notes)


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
