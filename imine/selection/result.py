"""What a selection returns."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from imine.files import replace_file
from imine.rules import MeanPrediction
from imine.selection.codes import Code
from imine.selection.reasons import Decided
from imine.selection.table import table_parts
from imine.selection.thresholds import threshold_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imine.indicators.score import Scores
    from imine.selection.stability import Stability


@dataclass(frozen=True, eq=False)
class Selection:
    """Which rows were kept, and why.

    Attributes:
        decided: the decision as numbers, from which :attr:`table` is made when it is asked for.
        request: the threshold, number or fraction asked for, in words.
        cut: the highest predicted log loss (or upper end, where rows are ranked by it) that is kept for its rank;
            the threshold itself if one was asked for; ``None`` when nothing is kept.
        kept_mean, all_mean: predicted log loss at the indicator means of the kept rows and of all rows with a
            prediction, with intervals where the rule has a covariance; ``None`` when there are no such rows.
        out_of_range: rows with a prediction outside the fitted range, by term; empty if no range is known.
        outside_share, kept_outside_share: share of the rows with a prediction, and of the kept ones, that lie outside
            the fitted range of at least one term; ``None`` if no range is known or there are no such rows.
        in_band: rows of the band round the threshold, where it cannot be told whether they are below it; ``None``
            without a threshold, or where there are no intervals and no band was given.
        spread_ratio: by term, how much wider single examples spread than the subset means that were fitted.
        rule_name, rule_sha256: the rule.
        fingerprints: how the scores were made, by indicator.
        notes: what a reader should know, warnings included.
        scores: the scores that were chosen by; ``None`` when only a frame of them was given.
        records: the records, in the order of the scores; ``None`` when only scores were given.
        stability: how steady the choice is over refits of the rule, where that was asked for.
    """

    decided: Decided
    request: str
    cut: float | None
    kept_mean: MeanPrediction | None
    all_mean: MeanPrediction | None
    out_of_range: dict[str, int]
    outside_share: float | None
    kept_outside_share: float | None
    in_band: int | None
    spread_ratio: dict[str, float]
    rule_name: str
    rule_sha256: str
    fingerprints: dict[str, dict[str, Any]]
    notes: tuple[str, ...]
    scores: Scores | None = None
    records: pl.DataFrame | None = None
    stability: Stability | None = None

    @cached_property
    def table(self) -> pl.DataFrame:
        """One row an example, in rank order, those without a prediction last.

        Columns: ``id``; ``kept``; ``rank`` (1 is the lowest; null without a prediction); ``predicted_log_loss``;
        where the rule has a covariance ``extrapolated_low`` and ``extrapolated_high``, the interval that a set with
        these means would have, which for a single row is an extrapolation; ``contrib_<term>``; ``out_of_range``
        (terms outside the fitted range, joined by a comma; null if none); with a diversity ``picked`` (the turn in
        which the row was chosen); with a stability ``inclusion`` (share of refits that keep the row); ``reason`` (why
        a row was rejected; null for a kept one).
        """
        inclusion = self.stability.inclusion if self.stability else None
        return pl.concat(table_parts(self.decided, inclusion))

    @property
    def kept_count(self) -> int:
        """Number of kept rows."""
        return int(self.decided.choice.kept.sum())

    @property
    def total(self) -> int:
        """Number of all rows."""
        return len(self.decided.choice.codes)

    @property
    def rejected_by(self) -> dict[Code, int]:
        """Number of rejected rows by kind of reason."""
        counts = pl.Series(self.decided.choice.codes).value_counts().sort("")
        return {Code(code): rows for code, rows in counts.rows() if code != Code.KEPT}

    @property
    def kept_ids(self) -> list[str]:
        """Ids of the kept rows, lowest predicted log loss first."""
        return self._ids(kept=True).to_list()

    @property
    def rejected_ids(self) -> list[str]:
        """Ids of the rejected rows, in rank order, those without a prediction last."""
        return self._ids(kept=False).to_list()

    @property
    def kept(self) -> pl.DataFrame | None:
        """The kept records in rank order; ``None`` when only scores were given."""
        return None if self.records is None else self.records[self._rows(kept=True)]

    @cached_property
    def rejected(self) -> pl.DataFrame | None:
        """The rejected records in rank order, with the column ``imine_reason``; ``None`` as for :attr:`kept`."""
        if self.records is None:
            return None
        reasons = self.table.filter(~pl.col("kept"))["reason"].alias("imine_reason")
        return self.records[self._rows(kept=False)].with_columns(reasons)

    def threshold_table(self, thresholds: Sequence[float] | None = None) -> pl.DataFrame:
        """How many rows each threshold of the prediction alone would keep, see :func:`imine.selection.threshold_table`.

        The upper end of intervals, a band, quotas and near-duplicates are not counted; intervals are at the
        selection's level.
        """
        decided = self.decided
        level = decided.pool.request.level
        return threshold_rows(decided.scores, decided.rule, decided.ranking, thresholds, level)

    def write_table(self, path: str | Path) -> None:
        """Write :attr:`table` as parquet, whole or not at all, in parts: the whole table is never in memory.

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
        replace_file(path, lambda beside: self._write_parts(beside, metadata))

    def _write_parts(self, path: Path, metadata: dict[str, str]) -> None:
        import pyarrow.parquet as pq

        writer = None
        inclusion = self.stability.inclusion if self.stability else None
        try:
            for part in table_parts(self.decided, inclusion):
                arrow = part.to_arrow(compat_level=pl.CompatLevel.oldest())
                if writer is None:
                    schema = arrow.schema.with_metadata(metadata)
                    writer = pq.ParquetWriter(path, schema, compression="zstd")
                writer.write_table(arrow.cast(writer.schema))
        finally:
            if writer is not None:
                writer.close()

    def _rows(self, *, kept: bool) -> Any:
        order, mask = self.decided.ranking.order, self.decided.choice.kept
        return order[mask[order] == kept]

    def _ids(self, *, kept: bool) -> pl.Series:
        return self.decided.scores["id"][self._rows(kept=kept)]
