"""Names of benchmarks for people."""

from __future__ import annotations

from pathlib import PurePosixPath


def display_name(nodeid: str) -> str:
    """File and function of a benchmark, without what all of them share.

    Args:
        nodeid: pytest's name.

    Examples:
        >>> display_name("bench_lexical.py::bench_panel[1 thread]")
        'lexical/panel[1 thread]'
    """
    file, _, function = nodeid.partition("::")
    return f"{PurePosixPath(file).stem.removeprefix('bench_')}/{function.removeprefix('bench_')}"
