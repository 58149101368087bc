"""Columns of the stage ``neighbors``."""

from __future__ import annotations

import re

from imine.columns.spec import ColumnSpec


def knn_column(rank: int) -> ColumnSpec:
    """The column of the distance to the ``rank``-th nearest neighbour.

    Examples:
        >>> knn_column(3).doc
        'distance to the 3rd nearest neighbour among the reference set'
    """
    nth = _ordinal(rank)
    return ColumnSpec(
        name=f"knn_{rank}",
        group="neighbors",
        doc=f"distance to the {nth} nearest neighbour among the reference set",
        unit="Euclidean distance",
        direction="further from other examples",
        definition=f"Euclidean distance between unit-length sentence embeddings of the whole example and of its {nth} "
        "nearest neighbour in the reference set. Among the pool itself, only the row itself is left out, so that a "
        "duplicate counts; a reference set made for a rule holds each content once, and what has the same content "
        "as the row is left out.",
        null_when=f"the example has no text, or the reference set has fewer than {rank} other examples",
        reference="InstructMining, arXiv 2307.06290, section 3.1",
        high=2.0,
    )


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


NEIGHBORS = (knn_column(6),)


def find_neighbor_column(name: str) -> ColumnSpec | None:
    """The column of ``knn_<i>`` for any i from 1.

    Examples:
        >>> find_neighbor_column("knn_10").name, find_neighbor_column("knn_0")
        ('knn_10', None)
    """
    found = re.fullmatch(r"knn_([1-9][0-9]{0,5})", name)
    return knn_column(int(found[1])) if found else None
