"""The wheel gets a copy of the benchmarks, so that ``imine bench`` runs wherever imine is installed.

A table ``force-include`` in pyproject.toml would copy them into editable installs as well, where they would grow
stale: those find ``benchmarks/`` in the source tree (imine/bench/locate.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BenchmarksHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds ``benchmarks/*.py`` to a wheel as ``imine/bench/suite``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files; ``version`` is ``editable`` for an editable install, which needs none."""
        if version == "editable":
            return
        for path in sorted((Path(self.root) / "benchmarks").glob("*.py")):
            build_data["force_include"][str(path)] = f"imine/bench/suite/{path.name}"
