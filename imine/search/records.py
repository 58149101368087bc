"""The ledger of a search: what it was started with, what it holds, and what another one can lend it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imine.errors import SearchError, StudyChangedError, StudyError
from imine.progress import Progress
from imine.search.candidates import ARMS, Candidates, run_name
from imine.study.config import recipe_sha256
from imine.study.design import rows_sha256
from imine.study.ledger import Ledger, read_ledger
from imine.study.sweep import Job


def open_ledger(folder: Path, candidates: Candidates, say: Progress) -> Ledger:
    """The ledger of a folder, its first record written, or found to be that of this search.

    Strategy, sizes, trials, seeds and the sets that are searched on may change; whatever a finetune depends on may
    not.

    Args:
        folder: of the results.
        candidates: for the recipe.
        say: told of a record that was cut off.

    Raises:
        StudyChangedError: the ledger was started with another recipe; names the keys that differ.
        StudyError: the ledger is damaged.
    """
    ledger = read_ledger(folder / "ledger.jsonl")
    if ledger.torn:
        say.note(f"{ledger.path}: a last line of {ledger.torn} bytes was cut off; that record is made again")
    recipe = dict(candidates.recipe)
    if ledger.started:
        if ledger.study is None:
            raise StudyError(
                f"{ledger.path}: the record of the search is missing, so nobody can tell which recipe its "
                "finetunes were made with; put the file back from a copy, or name another folder with out or -o"
            )
        _check_recipe(ledger, recipe)
    now = {
        "kind": "study",
        **candidates.about,
        "recipe_sha256": recipe_sha256(recipe),
        "recipe": recipe,
        "subsets": 0,
    }
    if ledger.study != now:
        ledger.append(now)
    return ledger


def _check_recipe(ledger: Ledger, recipe: Mapping[str, Any]) -> None:
    assert ledger.study is not None
    old = ledger.study["recipe"]
    keys = [key for key in {**old, **recipe} if _show(old, key) != _show(recipe, key)]
    if keys:
        lines = [f"{key}: {_show(old, key)} when it was started, now {_show(recipe, key)}" for key in keys]
        raise StudyChangedError(
            "\n  ".join([f"this is not the search that {ledger.path} was started with:", *lines])
            + "\nPut the old values back, or name another folder with out or -o. What may change: everything in "
            "[search], micro_tokens, zero_stage, threads, and where files and models lie."
        )


def _show(recipe: Mapping[str, Any], key: str) -> str:
    return json.dumps(recipe[key]) if key in recipe else "absent"


def borrow(folder: Path, ledger: Ledger, say: Progress) -> None:
    """Take over the finetunes of another search with the same recipe.

    Args:
        folder: results of the other search.
        ledger: takes the records that it does not have.
        say: told how many those are.

    Raises:
        SearchError: there is no such search, or its recipe is another.
    """
    if folder.resolve() == ledger.path.parent.resolve():
        raise SearchError(f"{folder} is this search's own folder, whose finetunes are used anyway")
    other = read_ledger(folder / "ledger.jsonl")
    if other.study is None or ledger.study is None:
        raise SearchError(f"there is no search in {folder}; name the folder of its results")
    theirs, ours = other.study["recipe"], ledger.study["recipe"]
    if differ := [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]:
        raise SearchError(
            f"the search in {folder} was made with another {', '.join(sorted(differ))}: its losses are no losses of "
            "this one"
        )
    known = ledger.runs
    fresh = [record for run, record in other.runs.items() if run not in known]
    if ledger.baseline is None and other.baseline is not None:
        ledger.append(other.baseline)
    for record in fresh:
        ledger.append(record)
    say.note(f"{len(fresh)} finetunes of {folder} are taken over, {len(other.runs) - len(fresh)} were there")


def whole_sizes(ledger: Ledger, seeds: int) -> tuple[int, ...]:
    """Sizes of which the ledger has every arm with every seed, ascending."""
    runs = ledger.runs
    sizes = {record["size"] for record in runs.values()}
    return tuple(sorted(size for size in sizes if not _absent(runs, size, seeds)))


def _absent(runs: Mapping[Any, Any], size: int, seeds: int) -> list[str]:
    names = [run_name(arm, size, k) for arm in ARMS for k in range(seeds)]
    return [name for name in names if name not in runs]


def check_rows(ledger: Ledger, jobs: Sequence[Job]) -> None:
    """Refuse records of finetunes that were trained on other rows than are chosen now.

    Raises:
        StudyError: names the first such finetune.
    """
    runs: Mapping[Any, dict[str, Any]] = ledger.runs
    for job in jobs:
        record = runs.get(job.run)
        if record is not None and record["rows_sha256"] != rows_sha256(job.ids):
            raise StudyError(
                f"{ledger.path}: {job.run} was trained on other rows than are chosen for it now, although rule and "
                "data are the same; the ledger was edited, or another numpy draws other rows. Name another folder "
                "with out or -o"
            )
