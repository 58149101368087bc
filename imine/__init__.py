"""Instruction mining: score instruction data, fit a rule for its quality, choose what to train on.

The public names are loaded on first use: importing ``imine`` loads neither numba nor torch nor polars, to which
it adds the expressions ``pl.col(...).imine`` when a program imports that.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from imine._with_polars import register_with_polars

if TYPE_CHECKING:
    from imine.exports import export
    from imine.indicators.plugins import Missing, indicator
    from imine.indicators.score import Scores, score
    from imine.records import read, write
    from imine.regression import fit
    from imine.rules import Rule, RuleCheck, RuleComparison, check_rule, compare_rules, load_rule
    from imine.selection import Selection, select
    from imine.selection.comparison import ComparisonResult, compare

__version__ = "0.1.0"

register_with_polars()

_HOMES = {
    "read": "imine.records",
    "write": "imine.records",
    "score": "imine.indicators.score",
    "Scores": "imine.indicators.score",
    "indicator": "imine.indicators.plugins",
    "Missing": "imine.indicators.plugins",
    "fit": "imine.regression",
    "load_rule": "imine.rules",
    "Rule": "imine.rules",
    "check_rule": "imine.rules",
    "RuleCheck": "imine.rules",
    "compare_rules": "imine.rules",
    "RuleComparison": "imine.rules",
    "select": "imine.selection",
    "export": "imine.exports",
    "Selection": "imine.selection",
    "compare": "imine.selection.comparison",
    "ComparisonResult": "imine.selection.comparison",
}

__all__ = [
    "ComparisonResult",
    "Missing",
    "Rule",
    "RuleCheck",
    "RuleComparison",
    "Scores",
    "Selection",
    "__version__",
    "check_rule",
    "compare",
    "compare_rules",
    "export",
    "fit",
    "indicator",
    "load_rule",
    "read",
    "score",
    "select",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'imine' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
