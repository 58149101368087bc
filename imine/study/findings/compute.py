"""All findings of a study from its table of runs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from imine.errors import RegressionError
from imine.progress import Progress, SilentProgress
from imine.regression.after_choosing import Procedure
from imine.regression.choosing.settings import ChoiceSettings
from imine.regression.fit_settings import FitSettings
from imine.regression.fitting import fit_runs
from imine.regression.procedures import ChooseAgain
from imine.regression.run_data import RunData
from imine.regression.runs_fit import RunsFit
from imine.regression.validation import cross_validate
from imine.study.findings.evaluations import TwoSets, compare_sets
from imine.study.findings.noise import (
    NoiseByPool,
    Repeats,
    noise_by_pool,
    noise_of_repeats,
    repeat_column,
    repeat_labels,
)
from imine.study.findings.numbers import HeldOut, WholeGroups, held_out
from imine.study.findings.pools import (
    LeftOutPools,
    PoolsOrIndicators,
    Shares,
    leave_pools_out,
    pool_shares,
    pools_or_indicators,
)
from imine.study.findings.signs import Sign, compare_signs
from imine.study.findings.spreads import SpreadOf, compare_spreads

FIXED, CHOSEN = "all, fixed", "chosen anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingsSettings:
    """What is asked of :func:`study_findings`.

    Attributes:
        terms: the indicators; by default every one in the runs, as :func:`imine.fit` takes them.
        target: column of positive losses.
        choose: how terms are chosen for the part after selection.
        folds, repeats: of the cross-validation.
        shares: shares of a pool from which on a run counts as one of it, when pools are left out.
        replicates: column that labels runs that repeat a subset; by default ``subset`` of a study with repeats, else
            the design or the same means of the indicators tell them.
        bootstrap: resamples of the choice; 0 for none.
        permutations: shuffles of the losses; 0 for no test.
        level: confidence level; seed: of folds, resamples and shuffles.
    """

    terms: Sequence[str] | None = None
    target: str = "loss"
    choose: ChoiceSettings = field(default_factory=lambda: ChoiceSettings("forward", "bic"))
    folds: int = 10
    repeats: int = 5
    shares: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5)
    replicates: str | None = None
    bootstrap: int = 2000
    permutations: int = 0
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2 or self.repeats < 1:
            raise ValueError(
                f"folds must be at least 2 and repeats at least 1; got {self.folds} and {self.repeats}"
            )
        if not all(0 <= share < 1 for share in self.shares):
            raise ValueError(f"shares must lie from 0 to below 1; got {self.shares}")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Findings:
    """What the runs of a study show.

    Attributes:
        settings: what was asked for.
        before: the fit of all indicators, fixed in advance.
        after: the fit of chosen terms, with what takes the choice into account; ``None`` where none was chosen.
        why_not: why none was chosen.
        held_out: cross-validation of both; runs that repeat a subset are held out together.
        left_out: pools left out in turn, for every share, with all terms fixed; none where pools are not known.
        left_out_chosen: the same with the terms chosen anew.
        pools: shares of the pools against indicators; ``None`` where pools are not known or determine them.
        signs: beside those of the published rules.
        spreads: of subset means and examples.
        sets: every two evaluation sets.
        repeats: noise between runs of one subset; ``None`` where no subset was repeated.
        noise: residuals by dominant pool; ``None`` where pools are not known.
        notes: what could not be computed, and why.
    """

    settings: FindingsSettings
    before: RunsFit
    after: RunsFit | None
    why_not: str | None
    held_out: tuple[HeldOut, ...]
    left_out: tuple[LeftOutPools, ...]
    left_out_chosen: tuple[LeftOutPools, ...]
    pools: PoolsOrIndicators | None
    signs: tuple[Sign, ...]
    spreads: tuple[SpreadOf, ...]
    sets: tuple[TwoSets, ...]
    repeats: Repeats | None
    noise: NoiseByPool | None
    notes: tuple[str, ...]

    def markdown(self) -> str:
        """The findings as Markdown: numbers and how they were computed, no judgement."""
        from imine.study.findings.text import findings_markdown

        return findings_markdown(self)


def study_findings(
    runs: pl.DataFrame | str | Path,
    settings: FindingsSettings | None = None,
    *,
    design: pl.DataFrame | None = None,
    progress: Progress | None = None,
) -> Findings:
    """Compute what the runs of a study show.

    Args:
        runs: a ``runs.parquet``, or its frame.
        settings: what is asked for.
        design: the study's design (``run, id``), by which runs that repeat a subset are told exactly.
        progress: told of what takes time.

    Raises:
        RegressionError: the runs cannot be fitted; the message says why.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> mtld, knn = rng.normal(60, 4, 40), rng.normal(1, 0.1, 40)
        >>> loss = np.exp(0.01 * mtld + rng.normal(0, 0.01, 40))
        >>> frame = pl.DataFrame({"mtld": mtld, "knn_6": knn, "loss": loss})
        >>> found = study_findings(frame, FindingsSettings(bootstrap=0))
        >>> found.after.rule.indicators, round(found.held_out[0].r2.value, 2)
        (('mtld',), 0.92)
        >>> found.notes[-1]
        'The runs do not say which pools they hold rows of (columns rows_<pool>).'
    """
    wanted, say = settings or FindingsSettings(), progress or SilentProgress()
    before = _before(runs, wanted, say)
    data, results = before.data, before.results
    labels = repeat_labels(data.frame, data.names, wanted.replicates, design)
    scheme = WholeGroups(tuple(labels), wanted.folds, wanted.repeats, wanted.seed)
    title = f"{min(wanted.folds, len(set(labels)))}-fold, {wanted.repeats} times"
    after, why_not = _after(runs, wanted, say)
    shares = pool_shares(data.frame)
    notes = [] if shares else ["The runs do not say which pools they hold rows of (columns rows_<pool>)."]
    pools, why = _pools(before, shares, scheme, labels, title, wanted)
    notes += [why] if why else []
    say.note("holding out pools")
    procedure = ChooseAgain(data.names, wanted.choose)
    return Findings(
        settings=wanted,
        before=before,
        after=after,
        why_not=why_not,
        held_out=_held_out(data, procedure if after else None, scheme, title, wanted),
        left_out=_left_out(before, shares, None, wanted),
        left_out_chosen=_left_out(before, shares, procedure, wanted) if after else (),
        pools=pools,
        signs=compare_signs(data, results, wanted.level),
        spreads=compare_spreads(data.frame, data.names, wanted.level, labels),
        sets=compare_sets(data, wanted.level),
        repeats=noise_of_repeats(data, results, labels, wanted.level),
        noise=noise_by_pool(data, results, shares.dominant) if shares else None,
        notes=(*before.rule.notes, *notes),
    )


def _before(runs: pl.DataFrame | str | Path, wanted: FindingsSettings, say: Progress) -> RunsFit:
    """The fit of all indicators, and where runs repeat a subset, intervals that take their errors to go together."""
    plain = FitSettings(
        terms=wanted.terms, target=wanted.target, level=wanted.level, seed=wanted.seed, drop_incomplete=True
    )
    found = fit_runs(runs, plain, progress=say)
    column = repeat_column(found.data.frame, wanted.replicates)
    if column is None or found.data.frame[column].is_unique().all():
        return found
    return fit_runs(runs, replace(plain, covariance="cluster", groups=column), progress=say)


def _after(
    runs: pl.DataFrame | str | Path, wanted: FindingsSettings, say: Progress
) -> tuple[RunsFit | None, str | None]:
    settings = FitSettings(
        terms=wanted.terms,
        choose=wanted.choose,
        target=wanted.target,
        validate=(),
        bootstrap=wanted.bootstrap,
        permutations=wanted.permutations,
        level=wanted.level,
        seed=wanted.seed,
        drop_incomplete=True,
    )
    try:
        return fit_runs(runs, settings, progress=say), None
    except RegressionError as error:
        return None, str(error)


def _held_out(
    data: RunData, procedure: Procedure | None, scheme: WholeGroups, title: str, wanted: FindingsSettings
) -> tuple[HeldOut, ...]:
    judged = []
    asked = [(FIXED, None), *([(CHOSEN, procedure)] if procedure else [])]
    for terms, chooses in asked:
        found = cross_validate(data.X, data.y, data.names, chooses, scheme=scheme, level=wanted.level)
        judged.append(held_out(found, title, terms, level=wanted.level, seed=wanted.seed))
    return tuple(judged)


def _left_out(
    before: RunsFit, shares: Shares | None, procedure: Procedure | None, wanted: FindingsSettings
) -> tuple[LeftOutPools, ...]:
    if shares is None:
        return ()
    terms = FIXED if procedure is None else CHOSEN
    return tuple(
        leave_pools_out(
            before.data, shares, share, procedure, terms=terms, level=wanted.level, seed=wanted.seed
        )
        for share in wanted.shares
    )


def _pools(
    before: RunsFit,
    shares: Shares | None,
    scheme: WholeGroups,
    labels: Sequence[Hashable],
    title: str,
    wanted: FindingsSettings,
) -> tuple[PoolsOrIndicators | None, str | None]:
    if shares is None:
        return None, None
    try:
        found = pools_or_indicators(
            before.data,
            shares,
            scheme,
            title=title,
            level=wanted.level,
            seed=wanted.seed,
            subsets=labels,
        )
    except RegressionError as error:
        return None, f"No comparison of pools and indicators: {error}"
    return found, None
