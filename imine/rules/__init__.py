"""The rule, its file, and the rules that are known by name."""

from __future__ import annotations

from imine.rules.fingerprints import Difference, compare_fingerprints, describe_differences
from imine.rules.load import DEFAULT_RULE, RuleEntry, list_rules, load_rule
from imine.rules.predict import MeanPrediction
from imine.rules.reference import attach_reference
from imine.rules.rule import (
    Estimate,
    FitStatistics,
    FittedRange,
    HeldOut,
    Provenance,
    ReferenceFile,
    Rule,
    Term,
)
from imine.rules.table import RuleTable, rule_table, verdict

__all__ = [
    "DEFAULT_RULE",
    "Difference",
    "Estimate",
    "FitStatistics",
    "FittedRange",
    "HeldOut",
    "MeanPrediction",
    "Provenance",
    "ReferenceFile",
    "Rule",
    "RuleEntry",
    "RuleTable",
    "Term",
    "attach_reference",
    "compare_fingerprints",
    "describe_differences",
    "list_rules",
    "load_rule",
    "rule_table",
    "verdict",
]
