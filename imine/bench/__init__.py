"""Measuring imine on the user's machine: what ``imine bench`` runs, stores and compares.

The benchmarks themselves are in ``benchmarks/`` of the source tree, and in ``imine/bench/suite`` of a wheel.
"""

from __future__ import annotations

from imine.bench.comparing import TOLERANCE, Change, Comparison, compare
from imine.bench.results import Baseline, BenchRun, Figure, Measured, Outcome, load_run
from imine.bench.runner import BenchSettings, run_benchmarks
from imine.bench.spread import Spread, Target
from imine.bench.table import comparison_text, run_text

__all__ = [
    "TOLERANCE",
    "Baseline",
    "BenchRun",
    "BenchSettings",
    "Change",
    "Comparison",
    "Figure",
    "Measured",
    "Outcome",
    "Spread",
    "Target",
    "compare",
    "comparison_text",
    "load_run",
    "run_benchmarks",
    "run_text",
]
