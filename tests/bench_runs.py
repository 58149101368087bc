"""Made-up runs for the tests of ``imine bench``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from imine.bench import Baseline, BenchRun, Figure, Measured, Outcome, Spread, Target
from imine.bench.machine import Machine

HERE = Machine("Some CPU", 4, 2, 16, ("avx2",), (), "Linux x86_64")
THERE = replace(HERE, cpu="Another CPU")


def narrow(median: float, width: float = 0.02, rounds: int = 9) -> Spread:
    return Spread(median, median * (1 - width), median * (1 + width), rounds)


def against(ratio: Spread, name: str = "wc -w") -> Baseline:
    return Baseline(name, ratio, ratio, narrow(2.0), in_turn=True)


def measured(name: str, seconds: Spread, baseline: Baseline | None = None, **more: Any) -> Measured:
    given = {"rows": 1_000, "bytes": 5_000_000, "target": None, "peer": None} | more
    return Measured(name, seconds, seconds, baseline=baseline, **given)


def figure(value: Spread, unit: str = "s", what: str = "import") -> Figure:
    return Figure("start/import", what, unit, value, Target("<=", 0.3), None, None)


def run(*found: Measured | Figure, **more: Any) -> BenchRun:
    given: dict[str, Any] = {
        "date": "2030-01-02T03:04:05+00:00",
        "quick": False,
        "selected": "",
        "machine": HERE,
        "versions": {"python": "3.11.7", "imine": "0.1.0", "numba": "0.68.1"},
        "commit": "0123456789ab",
        "load": 0.1,
        "notes": ("corpus: made up",),
        "outcomes": (Outcome("peers/x", "skipped", "x is not installed"),),
    }
    return BenchRun(
        measured=tuple(one for one in found if isinstance(one, Measured)),
        figures=tuple(one for one in found if isinstance(one, Figure)),
        **(given | more),
    )
