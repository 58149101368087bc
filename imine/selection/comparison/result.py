"""What a comparison found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from imine.files import replace_file
from imine.selection.comparison.contrast import Contrast
from imine.selection.comparison.foretold import Foretold

SCHEMA = "imine.comparison/1"


@dataclass(frozen=True, slots=True)
class Arm:
    """The finetunes of one selector at one budget.

    Attributes:
        pool, size, selector: whose.
        budget: the budget for people.
        rows, steps, tokens, response_tokens: of each seed; tokens of all epochs, prompts included or not.
        losses: of each seed by evaluation set, in nats a token.
        distinct: rows that any seed chose.
    """

    pool: str
    size: int
    selector: str
    budget: str
    rows: tuple[int, ...]
    steps: tuple[int, ...]
    tokens: tuple[int, ...]
    response_tokens: tuple[int, ...]
    losses: dict[str, tuple[float, ...]]
    distinct: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A selector against random choice, at one budget on one evaluation set.

    Attributes:
        pool, size, selector, set: what is compared.
        contrast: loss minus that of random, below 0 better, with interval, p-value and examples won.
        p_holm: the p-value after Holm's correction for all differences on sets of this kind.
        information: whether the set is shown for information only.
        outcome: ``better``, ``worse`` or ``cannot tell``, by ``p_holm``.
    """

    pool: str
    size: int
    selector: str
    set: str
    contrast: Contrast
    p_holm: float
    information: bool
    outcome: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence on one budget and evaluation set.

    Attributes:
        pool, size, set: what it is about.
        information: whether the set is shown for information only.
        text: the sentence.
    """

    pool: str
    size: int
    set: str
    information: bool
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonResult:
    """Selectors compared with random choice.

    Attributes:
        name: of the comparison.
        arms: the finetunes.
        differences: every selector against random.
        verdicts: a sentence for every pool, budget and set; those for information last.
        baseline: loss of the base model by set, in nats a token.
        level: confidence level of the intervals; outcomes go by corrected p-values below 1 minus it.
        tie: largest difference of an example's loss that counts as a tie, in nats a token.
        repeats: bootstrap resamples.
        about: base model, recipe, rule and hashes of the data.
        notes: what a reader should know.
        table: one row a run and example: ``pool, size, selector, seed, set, example`` (its id), ``loss_sum``,
            ``tokens``, ``baseline_sum``; sums in nats.
        foretold: what the rule foretells of every selector's rows; none without a rule.
    """

    name: str
    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]
    verdicts: tuple[Verdict, ...]
    baseline: dict[str, float]
    level: float
    tie: float
    repeats: int
    about: dict[str, Any]
    notes: tuple[str, ...]
    table: pl.DataFrame
    foretold: tuple[Foretold, ...] = ()

    def summary(self) -> str:
        """The comparison as a page of Markdown: verdicts, tables, notes, and how it was computed."""
        from imine.selection.comparison.report import comparison_page

        return comparison_page(self)

    def to_json(self) -> str:
        """Everything but the table, as JSON; the same result gives the same text."""
        document = {
            "schema": SCHEMA,
            "name": self.name,
            "level": self.level,
            "tie": self.tie,
            "repeats": self.repeats,
            "about": self.about,
            "baseline": self.baseline,
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "differences": [asdict(difference) for difference in self.differences],
            "arms": [asdict(arm) for arm in self.arms],
            "foretold": [asdict(part) for part in self.foretold],
            "notes": list(self.notes),
        }
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, folder: str | Path) -> None:
        """Write ``results.parquet``, ``comparison.json`` and ``comparison.md``, each whole or not at all.

        Args:
            folder: is made if it is missing.
        """
        folder = Path(folder)
        replace_file(folder / "results.parquet", self.table.write_parquet)
        for name, text in (("comparison.json", self.to_json()), ("comparison.md", self.summary())):
            replace_file(folder / name, partial(_write_text, text))


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")
