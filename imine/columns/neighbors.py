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


def density_column(rank: int) -> ColumnSpec:
    """The column of the mean distance of the first ``rank`` neighbours.

    Examples:
        >>> density_column(6).doc
        'mean distance of the 6 nearest neighbours among the reference set'
    """
    many = "nearest neighbour" if rank == 1 else f"{rank} nearest neighbours"
    return ColumnSpec(
        name=f"density_{rank}",
        group="neighbors",
        doc=f"mean distance of the {many} among the reference set",
        unit="Euclidean distance",
        direction="sparser surroundings",
        definition=f"Mean of knn_1 to knn_{rank}, over the same reference set.",
        null_when=f"the example has no text, or the reference set has fewer than {rank} other examples",
        formula=f"(knn_1 + ... + knn_{rank}) / {rank}",
        high=2.0,
    )


_PATTERNS = {"knn": knn_column, "density": density_column}

NEIGHBORS = (knn_column(6), density_column(6))


def find_neighbor_column(name: str) -> ColumnSpec | None:
    """The column of ``knn_<i>`` or ``density_<i>`` for any i from 1.

    Examples:
        >>> find_neighbor_column("knn_10").name, find_neighbor_column("density_3").name
        ('knn_10', 'density_3')
        >>> find_neighbor_column("knn_0") is None
        True
    """
    found = _parts(name)
    return _PATTERNS[found[1]](int(found[2])) if found else None


def neighbor_rank(name: str) -> int:
    """How many neighbours a column of this group needs.

    Examples:
        >>> neighbor_rank("knn_6"), neighbor_rank("density_12")
        (6, 12)
    """
    found = _parts(name)
    if not found:
        raise ValueError(f"name must be knn_<i> or density_<i>, not {name!r}")
    return int(found[2])


def _parts(name: str) -> re.Match[str] | None:
    return re.fullmatch(r"(knn|density)_([1-9][0-9]{0,5})", name)
