"""The ledger of a comparison: opened where it is of the same data, recipe and choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imine.errors import StudyChangedError, StudyError
from imine.progress import Progress
from imine.selection.comparison.config import Comparison
from imine.selection.comparison.draws import Choice
from imine.study.config import recipe_sha256
from imine.study.ledger import Ledger, read_ledger
from imine.study.pools import StudyData


def open_ledger(
    comparison: Comparison, folder: Path, data: StudyData, lm: Any, choices: Sequence[Choice], say: Progress
) -> Ledger:
    """Open a comparison's ledger and note in it what is compared.

    Args:
        comparison: the comparison.
        folder: of the results.
        data: as it was read.
        lm: the base model.
        choices: the rows of every run.
        say: told of a record that was cut off.

    Raises:
        StudyChangedError: the ledger is of other data or another recipe.
        StudyError: a finished run was trained on other rows than are chosen for it now.
    """
    ledger = read_ledger(folder / "ledger.jsonl")
    recipe = comparison.recipe() | {f"{key} (content)": value for key, value in data.content.items()}
    recipe["finetune.model (content)"] = lm.sha256
    if ledger.started:
        _check_same(ledger, recipe, comparison.path)
        _check_rows(ledger, choices)
    if ledger.torn:
        say.note(f"{ledger.path}: a last line of {ledger.torn} bytes was cut off; that record is made again")
    now = {
        "kind": "study",
        "name": comparison.config.name,
        "model": Path(lm.name).name,
        "recipe_sha256": recipe_sha256(recipe),
        "recipe": recipe,
        "subsets": len(choices),
    }
    if ledger.study != now:
        ledger.append(now)
    return ledger


def _check_same(ledger: Ledger, recipe: Mapping[str, Any], where: Path) -> None:
    old = ledger.study["recipe"] if ledger.study else {}
    # What has been through JSON has lists for tuples.
    keys = [k for k in sorted({*old, *recipe}) if k not in old or k not in recipe or old[k] != recipe[k]]
    if keys:
        lines = [
            f"{k}: {old.get(k, 'absent')} when it was started, now {recipe.get(k, 'absent')}" for k in keys
        ]
        raise StudyChangedError(
            "\n  ".join([f"{where} is not the comparison that {ledger.path} was started with:", *lines])
            + "\nPut the old values back, or name another folder with out or --out. What may change: more selectors, "
            "sizes and (unless pools are split into parts) seeds, the statistics, micro_tokens, threads."
        )


def _check_rows(ledger: Ledger, choices: Sequence[Choice]) -> None:
    runs: Mapping[Any, Mapping[str, Any]] = ledger.runs
    for choice in choices:
        record = runs.get(choice.run)
        if record is not None and (record["rows_sha256"], record["seed"]) != (choice.sha256, choice.seed):
            raise StudyError(
                f"{ledger.path}: run {choice.run} was trained on other rows than are chosen for it now: the rule, the "
                "scores or the way they are made is another one than then. Go on with what the runs were made with, "
                "or name another folder with out or --out"
            )
