"""The rule, its file, and the rules that are known by name."""

from __future__ import annotations

from imine.rules.check import CoefficientCheck, RuleCheck, check_rule, compare_coefficients
from imine.rules.choice import (
    ChoiceRecord,
    ChoiceStep,
    OtherIntervals,
    Stability,
    TermInterval,
    TermStability,
    Validation,
)
from imine.rules.compare import CoefficientDifference, RuleComparison, compare_rules
from imine.rules.fingerprints import Difference, compare_fingerprints, describe_differences
from imine.rules.load import DEFAULT_RULE, RuleEntry, list_rules, load_rule
from imine.rules.parts import (
    Estimate,
    FitStatistics,
    FittedRange,
    HeldOut,
    Provenance,
    ReferenceFile,
    Term,
)
from imine.rules.predict import MeanPrediction
from imine.rules.reference import attach_reference
from imine.rules.rule import Rule
from imine.rules.sets import SetComparison
from imine.rules.table import RuleTable, rule_table, verdict

__all__ = [
    "DEFAULT_RULE",
    "ChoiceRecord",
    "ChoiceStep",
    "CoefficientCheck",
    "CoefficientDifference",
    "Difference",
    "Estimate",
    "FitStatistics",
    "FittedRange",
    "HeldOut",
    "MeanPrediction",
    "OtherIntervals",
    "Provenance",
    "ReferenceFile",
    "Rule",
    "RuleCheck",
    "RuleComparison",
    "RuleEntry",
    "RuleTable",
    "SetComparison",
    "Stability",
    "Term",
    "TermInterval",
    "TermStability",
    "Validation",
    "attach_reference",
    "check_rule",
    "compare_coefficients",
    "compare_fingerprints",
    "compare_rules",
    "describe_differences",
    "list_rules",
    "load_rule",
    "rule_table",
    "verdict",
]
