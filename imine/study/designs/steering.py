"""Indicators of all candidates on one scale, for designs that look at them before they draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imine.errors import StudyConfigError, StudyError
from imine.study.designs.candidates import Rows

Array = NDArray[np.float64]

CUT = 0.005
"""Share of the candidates beyond which a value counts as the one at the cut, at either end."""


@dataclass(frozen=True, slots=True, eq=False)
class Steering:
    """Standardised indicators.

    Attributes:
        names: the indicators.
        values: as they were computed, NaN where there is none, shape (candidates, indicators).
        z: cut at their 0.5 % and 99.5 % quantiles, then with mean 0 and standard deviation 1 over the candidates
            that have them; 0 where there is none, shape (candidates, indicators).
        present: 1 where there is a value, else 0, shape (candidates, indicators).
    """

    names: tuple[str, ...]
    values: Array
    z: Array
    present: Array

    @classmethod
    def from_scores(cls, scores: pl.DataFrame, ids: Sequence[str], names: Sequence[str]) -> Steering:
        """The indicators of the candidates, in their order.

        Values are cut because a few of them, such as the perplexity of a row of noise, are so far from all others
        that a design would be about these rows alone.

        Args:
            scores: ``id`` and the indicators, one row an id.
            ids: of the candidates.
            names: of the indicators.

        Raises:
            StudyError: a candidate has no row of scores.
            StudyConfigError: an indicator is the same in all candidates, or missing in all.

        Examples:
            >>> scores = pl.DataFrame({"id": ["a", "b", "c"], "mtld": [1.0, 3.0, None]})
            >>> Steering.from_scores(scores, ["b", "a", "c"], ["mtld"]).z.ravel().round(6).tolist()
            [1.0, -1.0, 0.0]
        """
        wanted = pl.DataFrame({"id": list(ids)}, schema={"id": pl.String}).with_columns(pl.lit(1).alias("_"))
        found = wanted.join(scores, on="id", how="left", maintain_order="left", coalesce=True)
        if lost := set(ids) - set(scores["id"]):
            raise StudyError(f"{len(lost):,} candidates have no scores; the first: {min(lost)}")
        values = found.select(
            pl.col(name).cast(pl.Float64).fill_null(float("nan")) for name in names
        ).to_numpy()
        values = np.where(np.isfinite(values), values, np.nan)
        z = np.column_stack([_standardised(values[:, j], name) for j, name in enumerate(names)])
        return cls(tuple(names), values, z, np.isfinite(values).astype(np.float64))

    def column(self, name: str) -> int:
        """Number of an indicator."""
        return self.names.index(name)

    def means(self, rows: Rows) -> Array:
        """Mean of each standardised indicator over the rows that have it; 0 where none has.

        Args:
            rows: of a subset, or of several of one size, shape (..., rows).

        Returns:
            Shape (..., indicators).
        """
        sums, counts = self.z[rows].sum(axis=-2), self.present[rows].sum(axis=-2)
        return sums / np.maximum(counts, 1.0)

    def weighted_mean(self, shares: Array) -> Array:
        """Expected mean of each standardised indicator of a row drawn with these probabilities.

        Args:
            shares: shape (candidates,); they sum to 1.
        """
        return (shares @ self.z) / np.maximum(shares @ self.present, np.finfo(float).tiny)


def _standardised(values: Array, name: str) -> Array:
    known = values[np.isfinite(values)]
    cut = np.clip(known, *np.quantile(known, [CUT, 1.0 - CUT])) if len(known) else known
    spread = cut.std() if len(cut) else 0.0
    if not spread > 1e-12 * max(1.0, float(np.abs(cut).max(initial=0.0))):
        raise StudyConfigError(
            f"design.indicators: {name} is the same in nearly all candidates, or missing, so no subsets can differ "
            "in it; allowed is an indicator that varies"
        )
    z = np.zeros(len(values))
    z[np.isfinite(values)] = (cut - cut.mean()) / spread
    return z
