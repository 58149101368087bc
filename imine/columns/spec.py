"""What a score column is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSpec:
    """What a score column is; code, ``imine indicators`` and the docs read it.

    Attributes:
        name: column name in ``scores.parquet``.
        group: the stage that computes it, e.g. ``lexical`` or ``likelihood``.
        doc: one line for people.
        unit: unit of the values.
        direction: what a larger value says of the text, not of its quality.
        definition: the exact definition.
        null_when: when the value is null; the reason stands in ``<name>__why``.
        formula: the definition as a formula, where it has one.
        reference: where it comes from.
        low, high: closed bounds of possible values; ``None`` where unbounded.
        dtype: polars dtype name.
        version: raised when the numbers change for the same text.
    """

    name: str
    group: str
    doc: str
    unit: str
    direction: str
    definition: str
    null_when: str
    formula: str = ""
    reference: str = ""
    low: float | None = 0.0
    high: float | None = None
    dtype: Literal["Float64", "Int64"] = "Float64"
    version: int = 1

    @property
    def why(self) -> str:
        """Name of the column that holds the reason of a null.

        Examples:
            >>> from imine.columns import COLUMNS
            >>> COLUMNS["mtld"].why
            'mtld__why'
        """
        return f"{self.name}__why"

    def range(self) -> str:
        """Possible values, for people.

        Examples:
            >>> from imine.columns import COLUMNS
            >>> COLUMNS["knn_6"].range()
            '0 to 2'
        """
        low = "-infinity" if self.low is None else f"{self.low:g}"
        return f"{low} to {'infinity' if self.high is None else format(self.high, 'g')}"
