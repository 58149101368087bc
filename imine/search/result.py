"""What a search returns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imine.files import replace_file
from imine.search.shape import Shape

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean loss, or a difference of two, in nats a token.

    Attributes:
        value: mean over the seeds.
        low, high: interval from seeds and evaluation examples together; from the examples alone where there is one
            seed.
        seeds_low, seeds_high: from the seeds alone, the evaluation examples taken as they are; ``None`` where there
            is one seed.
        by_seed: the value of every seed.
    """

    value: float
    low: float
    high: float
    seeds_low: float | None
    seeds_high: float | None
    by_seed: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Arms:
    """Losses of a size on some evaluation sets together.

    Attributes:
        mined: of the rows that the rule ranks best.
        random: of as many random rows.
        difference: mined less random; below 0 the rule did better.
    """

    mined: Estimate
    random: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True)
class SizePoint:
    """A size that was tried.

    Attributes:
        size: rows of a subset.
        trial: number of the trial, from 1; ``None`` for a size that the folder had from another search.
        cost: tokens that all its finetunes were trained on.
        searched: losses on the sets that were searched on.
        reported: losses on the sets that were not; ``None`` where there are none.
    """

    size: int
    trial: int | None
    cost: int
    searched: Arms
    reported: Arms | None


@dataclass(frozen=True, slots=True)
class SizeSearch:
    """The outcome of a search.

    Attributes:
        name: of the search.
        rule: its name.
        strategy: ``blendsearch``, ``optuna`` or ``grid``.
        stopped: why it ended: ``trials``, ``token budget`` or ``nothing new``.
        seeds: finetunes of every size and arm.
        level: confidence level of the intervals.
        search_on, report_on: evaluation sets.
        lattice: sizes that could be tried.
        points: sizes that were tried, ascending.
        chosen: the size of the lowest mean loss on the sets that were searched on.
        alike: sizes whose loss cannot be told from that of the chosen one, itself included; all pairs of sizes
            together hold the level. Empty where one seed tells nothing of noise.
        shapes: of the curves of the mined and of the random subsets, on the sets that were searched on.
        baseline_searched, baseline_reported: loss of the base model.
        versions: of the packages that decide which sizes a strategy proposes.
        notes: what a reader should know.
    """

    name: str
    rule: str
    strategy: str
    stopped: str
    seeds: int
    level: float
    search_on: tuple[str, ...]
    report_on: tuple[str, ...]
    lattice: tuple[int, ...]
    points: tuple[SizePoint, ...]
    chosen: int
    alike: tuple[int, ...]
    shapes: Mapping[str, Shape]
    baseline_searched: float
    baseline_reported: float | None
    versions: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def best(self) -> SizePoint:
        """The point of the chosen size."""
        return next(point for point in self.points if point.size == self.chosen)

    @property
    def cost(self) -> int:
        """Tokens that the trials of this search were trained on."""
        return sum(point.cost for point in self.points if point.trial is not None)

    def to_json(self) -> str:
        """The whole outcome as JSON; the same for the same finetunes."""
        facts: dict[str, Any] = {"format": "imine size search", "version": 1, **asdict(self)}
        return json.dumps(facts | {"cost": self.cost}, indent=1, ensure_ascii=False) + "\n"

    def table(self) -> pl.DataFrame:
        """The curve as a table, one row a size: ``size, trial, cost`` and, for each arm and the difference, the loss
        and its intervals on the sets that were searched on (``search_``) and on the others (``report_``)."""
        import polars as pl

        return pl.DataFrame([_row(point) for point in self.points], infer_schema_length=None)

    def summary(self) -> str:
        """The outcome in plain text."""
        from imine.search.summary import summarise

        return summarise(self)

    def write(self, folder: str | Path, finetunes: pl.DataFrame | None = None) -> dict[str, Path]:
        """Write ``search.json``, ``curve.parquet`` and ``curve.svg``, each whole or not at all.

        Args:
            folder: of the results.
            finetunes: written as ``trials.parquet``.

        Returns:
            What was written, by what it is.
        """
        from imine.search.drawing import draw

        folder = Path(folder)
        files = {
            "outcome": folder / "search.json",
            "curve": folder / "curve.svg",
            "curve as a table": folder / "curve.parquet",
        }
        replace_file(files["outcome"], lambda beside: beside.write_text(self.to_json(), encoding="utf-8"))
        replace_file(files["curve"], lambda beside: beside.write_text(draw(self), encoding="utf-8"))
        replace_file(files["curve as a table"], self.table().write_parquet)
        if finetunes is not None:
            files["finetunes"] = folder / "trials.parquet"
            replace_file(files["finetunes"], finetunes.write_parquet)
        return files


def _row(point: SizePoint) -> dict[str, Any]:
    row: dict[str, Any] = {"size": point.size, "trial": point.trial, "cost": point.cost}
    for where, arms in (("search", point.searched), ("report", point.reported)):
        for name in ("mined", "random", "difference"):
            if arms is None:
                continue
            estimate: Estimate = getattr(arms, name)
            row[f"{where}_{name}"] = estimate.value
            for end in ("low", "high", "seeds_low", "seeds_high"):
                row[f"{where}_{name}_{end}"] = getattr(estimate, end)
    return row
