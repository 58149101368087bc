"""What a selection returns."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from imine.files import replace_file
from imine.rules import MeanPrediction

if TYPE_CHECKING:
    from imine.indicators.score import Scores


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Which rows were kept, and why.

    Attributes:
        table: one row an example, in rank order, those without a prediction last; columns ``id``, ``kept``,
            ``rank`` (1 is the lowest predicted log loss; null without a prediction), ``predicted_log_loss``,
            ``contrib_<term>``, ``out_of_range`` (terms outside the fitted range, joined by a comma; null if
            none), ``reason`` (why a row was rejected; null for a kept one).
        request: the threshold, number or fraction asked for, in words.
        cut: the highest predicted log loss that is kept; the threshold itself if one was asked for; ``None``
            when nothing is kept.
        kept_mean, all_mean: predicted log loss at the indicator means of the kept rows and of all rows with a
            prediction, with intervals where the rule has a covariance; ``None`` when there are no such rows.
        out_of_range: rows with a prediction outside the fitted range, by term; empty if no range is known.
        spread_ratio: by term, how much wider single examples spread than the subset means that were fitted.
        rule_name, rule_sha256: the rule.
        fingerprints: how the scores were made, by indicator.
        notes: what a reader should know, warnings included.
        scores: the scores that were chosen by; ``None`` when only a frame of them was given.
        kept, rejected: the records themselves in rank order, ``rejected`` with the column ``imine_reason``;
            ``None`` when only scores were given.
    """

    table: pl.DataFrame
    request: str
    cut: float | None
    kept_mean: MeanPrediction | None
    all_mean: MeanPrediction | None
    out_of_range: dict[str, int]
    spread_ratio: dict[str, float]
    rule_name: str
    rule_sha256: str
    fingerprints: dict[str, dict[str, Any]]
    notes: tuple[str, ...]
    scores: Scores | None = None
    kept: pl.DataFrame | None = None
    rejected: pl.DataFrame | None = None

    @property
    def kept_ids(self) -> list[str]:
        """Ids of the kept rows, lowest predicted log loss first."""
        return self.table.filter("kept")["id"].to_list()

    @property
    def rejected_ids(self) -> list[str]:
        """Ids of the rejected rows, in rank order, those without a prediction last."""
        return self.table.filter(~pl.col("kept"))["id"].to_list()

    def write_table(self, path: str | Path) -> None:
        """Write :attr:`table` as parquet, whole or not at all.

        The key-value metadata ``imine`` holds JSON: the rule's name and hash, the request, the cut, the
        fingerprints of the scores and the notes.

        Args:
            path: the file; its folder is made if it is missing.
        """
        facts = {
            "rule": {"name": self.rule_name, "sha256": self.rule_sha256},
            "request": self.request,
            "cut": self.cut,
            "fingerprints": self.fingerprints,
            "notes": list(self.notes),
        }
        metadata = {"imine": json.dumps(facts, ensure_ascii=False)}
        replace_file(path, lambda beside: self.table.write_parquet(beside, metadata=metadata))
