"""Selectors compared with random choice: the same budget, finetuned, evaluated on what the rule has not seen."""

from __future__ import annotations

from imine.selection.comparison.config import Comparison, ComparisonConfig, check_comparison, load_comparison
from imine.selection.comparison.contrast import Contrast, contrast
from imine.selection.comparison.plan import ComparisonPlan, plan_comparison
from imine.selection.comparison.result import Arm, ComparisonResult, Difference, Verdict
from imine.selection.comparison.run import compare
from imine.selection.comparison.selectors import ALIASES, SELECTORS, Selector, find_selector

__all__ = [
    "ALIASES",
    "SELECTORS",
    "Arm",
    "Comparison",
    "ComparisonConfig",
    "ComparisonPlan",
    "ComparisonResult",
    "Contrast",
    "Difference",
    "Selector",
    "Verdict",
    "check_comparison",
    "compare",
    "contrast",
    "find_selector",
    "load_comparison",
    "plan_comparison",
]
