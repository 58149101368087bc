"""What is told of an exported data set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class About:
    """Name of a data set, and what its card tells.

    Attributes:
        name: of the data set; the file's or folder's by default.
        license: identifier of a licence, such as ``apache-2.0``; none is stated where it is empty.
        lines: sentences on how the rows were chosen.
    """

    name: str = ""
    license: str = ""
    lines: tuple[str, ...] = ()
