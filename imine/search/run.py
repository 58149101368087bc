"""Running a search: candidates, ledger, trials, outcome."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imine.errors import SearchError
from imine.progress import Progress, SilentProgress
from imine.search.candidates import Candidates, prepare
from imine.search.config import SearchPlan, SearchSettings
from imine.search.driving import Driver
from imine.search.judging import finetunes_frame, judge
from imine.search.records import borrow, open_ledger, whole_sizes
from imine.search.result import SizeSearch
from imine.search.sizes import size_lattice
from imine.search.strategies import check_strategy
from imine.study.ledger import Ledger, locked

if TYPE_CHECKING:
    import polars as pl

    from imine.indicators.score import Scores


def run_search(
    plan: SearchPlan,
    *,
    out: Path | None = None,
    known: Path | None = None,
    lm: Any = None,
    scores: Scores | pl.DataFrame | None = None,
    progress: Progress | None = None,
    after_job: Callable[[dict[str, Any]], None] | None = None,
) -> SizeSearch:
    """Search for the number of best rows to finetune on, or go on where a search was stopped.

    Writes into the folder of the results ``ledger.jsonl``, and at the end ``search.json``, ``trials.parquet``,
    ``curve.parquet`` and ``curve.svg``. The same search with more trials, more seeds or another strategy uses the
    finetunes that are there.

    Args:
        plan: the search, from :func:`imine.search.load_search` or :func:`imine.search.make_plan`.
        out: folder of the results; that of the plan by default.
        known: folder of another search with the same recipe, whose finetunes are taken over and whose sizes the
            strategy knows before it begins.
        lm: base model, as ``load_causal_lm`` gives it; by default the one that the recipe names.
        scores: of the pools' rows; by default those of the plan, or computed in the rule's way.
        progress: told of every step.
        after_job: called with a finetune's record once it is in the ledger.

    Raises:
        SearchError: the sizes, the sets or the known search do not fit.
        StudyChangedError: the folder holds another search.
        StudyError: another process works in the folder, the ledger is damaged, or training fails.
        MissingExtraError: the package of the strategy, torch or DeepSpeed is not installed; nothing was read.
        ModelNotFoundError: a model is not at hand; nothing was read.
    """
    folder, say = out or plan.study.out, progress or SilentProgress()
    check_strategy(plan.settings.strategy)
    with locked(folder):
        candidates = prepare(plan, folder, say, lm=lm, scores=scores)
        return search_sizes(
            candidates,
            plan.settings,
            folder,
            search_on=plan.search_on,
            report_on=plan.report_on,
            known=known,
            progress=say,
            after_job=after_job,
        )


def search_sizes(
    candidates: Candidates,
    settings: SearchSettings,
    folder: Path,
    *,
    search_on: tuple[str, ...],
    report_on: tuple[str, ...] = (),
    known: Path | None = None,
    progress: Progress | None = None,
    after_job: Callable[[dict[str, Any]], None] | None = None,
) -> SizeSearch:
    """Search for a size among rows that are ranked and tokenised already.

    Args:
        candidates: rows and trainer.
        settings: how sizes are searched.
        folder: of the results.
        search_on: evaluation sets whose loss is to become small.
        report_on: evaluation sets that the loss is told on besides.
        known: folder of another search with the same recipe.
        progress: told of every finetune.
        after_job: called with a finetune's record once it is in the ledger.

    Raises:
        SearchError: the sizes do not fit the rows, or the known search is another one.
        StudyChangedError: the folder holds another search.
        StudyError: the ledger is damaged, or training fails.
    """
    say = progress or SilentProgress()
    lattice = _lattice(settings, candidates)
    ledger = open_ledger(folder, candidates, say)
    warm: tuple[int, ...] = ()
    if known is not None:
        warm = _warm(known, ledger, settings, candidates, say)
        lattice = tuple(sorted({*lattice, *warm}))
    driver = Driver(candidates, settings, search_on, ledger, say, after_job)
    tried = driver.search(lattice, warm)
    if not whole_sizes(ledger, settings.seeds):
        raise SearchError(
            f"no size was tried: the smallest costs {driver.cost(lattice[0]):,} tokens, and token_budget is "
            f"{settings.token_budget:,}"
        )
    search = judge(driver, tried, lattice, report_on)
    search.write(folder, finetunes_frame(driver, tried))
    return search


def _warm(
    known: Path, ledger: Ledger, settings: SearchSettings, candidates: Candidates, say: Progress
) -> tuple[int, ...]:
    from imine.study.ledger import read_ledger

    borrow(known, ledger, say)
    sizes = whole_sizes(read_ledger(known / "ledger.jsonl"), settings.seeds)
    warm = tuple(size for size in sizes if size <= len(candidates.ranked))
    if not warm:
        say.note(
            f"no size of {known} has all its finetunes with {settings.seeds} seeds: nothing is known before"
        )
    return warm


def _lattice(settings: SearchSettings, candidates: Candidates) -> tuple[int, ...]:
    most = len(candidates.ranked)
    for key in ("min", "max"):
        if (size := getattr(settings, key)) and size > most and settings.sizes is None:
            raise SearchError(f"{key} is {size:,}, and {most:,} rows have a prediction; name a smaller one")
    wanted = (*(settings.sizes or ()), *settings.start)
    if large := [size for size in wanted if size > most]:
        raise SearchError(f"{most:,} rows have a prediction: there is no subset of the best {large[0]:,}")
    if settings.sizes is not None:
        return tuple(sorted({*settings.sizes, *settings.start}))
    low, high = settings.min, settings.max or most
    if outside := [size for size in settings.start if not low <= size <= high]:
        raise SearchError(
            f"start: {outside[0]:,} is not between the smallest size, {low:,}, and the largest, {high:,}"
        )
    return size_lattice(low, high, settings.steps, settings.start)
