"""Selectors: by which score, and in which direction, rows are put in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from imine.columns import find_column
from imine.errors import SelectionError

Direction = Literal["low", "high", "middle"]


@dataclass(frozen=True, slots=True)
class Selector:
    """An order of candidates; rows without a score are never chosen, ties go by id.

    Attributes:
        name: canonical name.
        column: score column; ``None`` for ``random`` and ``rule``.
        direction: ``low``: smallest first; ``high``: largest first; ``middle``: nearest to the middle rank first.
        below: rows with a score of this or more are not chosen.
        doc: one line for people.
        source: where it comes from.
    """

    name: str
    column: str | None
    direction: Direction
    doc: str
    below: float | None = None
    source: str = ""

    def order(self, scores: pl.DataFrame) -> list[str]:
        """Ids in the order in which they are chosen, best first.

        Args:
            scores: ``id`` and a number column ``score``, as the selector's ``column`` has it.

        Examples:
            >>> scores = pl.DataFrame({"id": ["a", "b", "c"], "score": [0.9, 1.2, None]})
            >>> SELECTORS["ifd"].order(scores), SELECTORS["perplexity_high"].order(scores)
            (['a'], ['b', 'a'])
        """
        score = pl.col("score").cast(pl.Float64)
        usable = scores.filter(score.is_finite())
        if self.below is not None:
            usable = usable.filter(score < self.below)
        if self.direction == "middle":
            # From the middle rank outwards: rank r of n lies |2r - n - 1| half steps from it.
            usable = usable.sort("score", "id").with_row_index("rank", offset=1)
            away = (2 * pl.col("rank").cast(pl.Int64) - usable.height - 1).abs()
            return usable.sort(away, "id")["id"].to_list()
        return usable.sort("score", "id", descending=[self.direction == "high", False])["id"].to_list()


_LONG = "Zhao et al. 2024, arXiv 2402.04833"
_CHERRY = "Li et al. 2024, arXiv 2308.12032"
_PRUNING = "Marion et al. 2023, arXiv 2309.04564"

SELECTORS = {
    s.name: s
    for s in (
        Selector("rule", None, "low", "lowest predicted log loss first", source="arXiv 2307.06290"),
        Selector("random", None, "low", "a random order, another one for every seed"),
        Selector("length_high", "output_length", "high", "longest response first, before any cutting", None, _LONG),
        Selector("length_low", "output_length", "low", "shortest response first"),
        Selector("perplexity_low", "log_perplexity", "low", "least surprising response first",
                 source="Wenzek et al. 2020, arXiv 1911.00359"),
        Selector("perplexity_high", "log_perplexity", "high", "most surprising response first", None, _PRUNING),
        Selector("perplexity_middle", "log_perplexity", "middle", "median perplexity first, then outwards", None,
                 _PRUNING),
        Selector("ifd", "ifd", "high", "highest instruction-following difficulty below 1 first", 1.0, _CHERRY),
        Selector("knn_high", "knn_6", "high", "furthest from its 6th nearest neighbour in the pool first"),
        Selector("knn_low", "knn_6", "low", "nearest to its 6th nearest neighbour in the pool first"),
        Selector("reward_high", "reward", "high", "response that the reward model prefers first"),
    )
}  # fmt: skip
"""The selectors by canonical name."""

ALIASES = {
    "length": "length_high",
    "perplexity": "perplexity_low",
    "knn": "knn_high",
    "reward": "reward_high",
}
"""Short names, for the direction that published selectors of this kind take."""


def find_selector(name: str) -> Selector:
    """The selector of a name; ``<column>:high``, ``:low`` and ``:middle`` make one of any score column,
    and are another name of the selector that has this order already.

    Raises:
        SelectionError: no such selector.

    Examples:
        >>> find_selector("length").name, find_selector("mtld:high").doc
        ('length_high', 'by mtld, high first')
    """
    name = ALIASES.get(name, name)
    if name in SELECTORS:
        return SELECTORS[name]
    column, _, direction = name.partition(":")
    order = (column, direction, None)
    if own := next((s for s in SELECTORS.values() if (s.column, s.direction, s.below) == order), None):
        return own
    if direction in ("low", "high", "middle") and find_column(column):
        return Selector(name, column, direction, f"by {column}, {direction} first")  # type: ignore[arg-type]
    raise SelectionError(
        f"no selector {name!r}; there are {', '.join([*SELECTORS, *ALIASES])}, and COLUMN:high, COLUMN:low, "
        "COLUMN:middle of any column that imine indicators lists"
    )
