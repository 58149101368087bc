"""From finished runs to a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from imine.progress import Progress, SilentProgress
from imine.regression.candidates import candidates_of, eligible
from imine.regression.choosing.settings import ChoiceSettings
from imine.regression.fit_settings import FitSettings
from imine.regression.held_out_by import SchemeAsked
from imine.regression.results import CovarianceKind
from imine.regression.run_data import RunData, load_runs, prepare, runs_sha256
from imine.regression.runs_fit import RunsFit, compute
from imine.rules.reference import remember_reference
from imine.rules.rule import Rule


def fit(
    runs: pl.DataFrame | str | Path,
    *,
    terms: Sequence[str] | None = None,
    choose: ChoiceSettings | None = None,
    target: str = "loss",
    weights: str | None = None,
    covariance: CovarianceKind = "classical",
    groups: str | None = None,
    validate: SchemeAsked | Sequence[SchemeAsked] | None = None,
    permutations: int = 0,
    bootstrap: int = 0,
    seed: int = 0,
    workers: int | None = None,
    name: str | None = None,
    level: float = 0.95,
    drop_incomplete: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Rule:
    """Regress the log of the loss on indicator means by ordinary or weighted least squares.

    ``log loss = b0 + b1 I1 + ... + bn In + e`` over finished runs (InstructMining, arXiv 2307.06290). With
    ``choose`` the terms are chosen by the losses, and the rule records how, and what takes the choice into account:
    its intervals beside those of the table, and the error on runs held out with the terms chosen anew.

    Args:
        runs: one row a run: subset means of the indicators, ``<indicator>__sd``, losses; or the path of such
            a ``runs.parquet``, with the ``reference.npz`` of its neighbours beside it.
        terms: indicators to regress on, or to choose among; by default every indicator in ``runs``, where a length
            is there in words and in tokens the one in tokens, and of perplexity and its logarithm the logarithm.
        choose: how to choose among them by the losses; by default all are fitted.
        target: column of positive losses.
        weights: column of positive weights: inverse variances of the runs' errors up to a common factor. With
            named terms and least squares alone.
        covariance: ``HC0`` to ``HC3`` or ``cluster`` puts intervals from robust standard errors beside the
            classical ones, which stay in the table.
        groups: for ``cluster``, the column that says which runs belong together.
        validate: how to hold runs out: ``kfold`` (ten parts, five times), ``kfold:K``, ``kfold:KxREPEATS``,
            ``leave-one-out``, ``source`` (all runs with rows of a pool, pool by pool), ``column:NAME``, a scheme of
            :mod:`imine.regression.validation`, or several. By default ``kfold`` with ``choose``, else none.
        permutations: shuffles of the losses to test the whole procedure by, each with ten folds; 0 for no test.
        bootstrap: resamples of the runs, the choice made anew in each; 0 for none.
        seed: of folds, splits, shuffles and resamples.
        workers: processes and threads; results do not depend on it. By default one process, and for the bootstrap
            one thread a core.
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
        RegressionError: a column or value is missing, terms are constant or dependent, runs are too few, or no term
            was chosen; the message names columns and runs.
        RuleError: the ``reference.npz`` beside the runs is not the one that they were made with.
        ValueError: arguments that are not allowed or do not go together.

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
    settings = FitSettings(
        terms=terms,
        choose=choose,
        target=target,
        weights=weights,
        covariance=covariance,
        groups=groups,
        validate=validate,
        permutations=permutations,
        bootstrap=bootstrap,
        seed=seed,
        workers=workers,
        name=name,
        level=level,
        drop_incomplete=drop_incomplete,
    )
    return fit_runs(runs, settings, metadata=metadata).rule


def fit_runs(
    runs: pl.DataFrame | str | Path,
    settings: FitSettings | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    also_complete: Sequence[str] = (),
) -> RunsFit:
    """Fit a rule as :func:`imine.fit` does, and keep what was computed for it.

    Args:
        runs, metadata: as for :func:`imine.fit`.
        settings: its other arguments.
        progress: told of what takes time.
        also_complete: columns beside the candidates in which a run that is kept must have a value, as far as the
            runs have them.

    Raises:
        RegressionError, RuleError: as :func:`imine.fit`.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> mtld, noise = rng.normal(60, 4, 40), rng.normal(0, 0.01, 40)
        >>> frame = pl.DataFrame({"mtld": mtld, "knn_6": rng.normal(1, 0.1, 40), "loss": np.exp(0.01 * mtld + noise)})
        >>> found = fit_runs(frame, FitSettings(choose=ChoiceSettings("forward", "bic")))
        >>> found.choice.terms, found.rule.choice.saw_losses, round(found.rule.validation[0].r2, 2)
        (('mtld',), True, 0.89)
    """
    settings = settings or FitSettings()
    frame, stored = load_runs(runs)
    others = [settings.target, *([settings.weights] if settings.weights else [])]
    candidates = candidates_of(frame, settings.terms, others)
    if settings.choose is not None:
        candidates = eligible(frame, candidates, settings.choose)
    data = prepare(
        frame,
        candidates.terms,
        settings.target,
        weights=settings.weights,
        drop_incomplete=settings.drop_incomplete,
        also_complete=[name for name in also_complete if name in frame.columns],
    )
    candidates = replace(candidates, notes=(*candidates.notes, *_repeats_note(data)))
    facts = {**(stored if metadata is None else metadata), "runs_sha256": runs_sha256(frame)}
    found = compute(data, candidates, settings, facts, progress or SilentProgress())
    beside = None if isinstance(runs, pl.DataFrame) else Path(runs).parent / "reference.npz"
    return replace(found, rule=remember_reference(found.rule, beside))


def _repeats_note(data: RunData) -> tuple[str, ...]:
    import numpy as np

    repeated = len(data.X) - len(np.unique(data.X, axis=0))
    if not repeated:
        return ()
    return (
        f"{repeated} of {len(data.X)} runs repeat the indicator means of another, as other seeds of one subset do: "
        "left-out errors by single runs or folds, shuffles and resamples take them for independent and look too "
        "good. Hold out by a column that names the subset (--validate column:NAME), or fit the means of the repeats.",
    )


def prepare_runs(
    runs: pl.DataFrame | str | Path, terms: Sequence[str] | None = None, target: str = "loss"
) -> RunData:
    """Runs as the arrays that the functions of :mod:`imine.regression` take: ``X``, ``y``, ``names``.

    Args:
        runs, terms, target: as for :func:`imine.fit`, with its default terms.

    Raises:
        RegressionError: a column or value is missing or not allowed; the message names columns and runs.

    Examples:
        >>> frame = pl.DataFrame({"mtld": [40.0, 45.0, 50.0, 60.0], "loss": [2.0, 1.9, 1.8, 1.7]})
        >>> data = prepare_runs(frame)
        >>> data.names, data.X.shape, data.y.round(2).tolist()
        (('mtld',), (4, 1), [0.69, 0.64, 0.59, 0.53])
    """
    frame, _ = load_runs(runs)
    return prepare(frame, candidates_of(frame, terms, [target]).terms, target)


def refit(rule: Rule, runs: pl.DataFrame | str | Path, *, drop_incomplete: bool = False) -> Rule:
    """Fit a rule's own terms again, with its weights and target; terms that were chosen are not chosen anew.

    Args:
        rule: the rule.
        runs: as for :func:`imine.fit`.
        drop_incomplete: leave out runs with a missing value; where terms were chosen, in any candidate, as then.

    Raises:
        RegressionError, RuleError: as :func:`imine.fit`.

    Examples:
        >>> frame = pl.DataFrame({"mtld": [40.0, 45.0, 50.0, 60.0], "loss": [2.0, 1.9, 1.8, 1.7]})
        >>> rule = fit(frame)
        >>> refit(rule, frame).intercept == rule.intercept
        True
    """
    settings = FitSettings(
        terms=rule.indicators,
        target=rule.target,
        weights=rule.weights,
        name=f"{rule.name}, refitted",
        level=rule.level,
        drop_incomplete=drop_incomplete,
    )
    searched = rule.choice is not None and rule.choice.saw_losses and rule.choice.method != "named"
    return fit_runs(
        runs, settings, also_complete=rule.terms_tried if searched and drop_incomplete else ()
    ).rule
