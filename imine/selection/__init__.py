"""Choosing rows by a rule."""

from __future__ import annotations

from imine.selection.codes import Code
from imine.selection.diversity import Diversity
from imine.selection.from_records import check_available, select
from imine.selection.quotas import Quota, parse_quota
from imine.selection.requests import Request
from imine.selection.result import Selection
from imine.selection.selector import select_scored
from imine.selection.stability import Stability, selection_stability
from imine.selection.thresholds import threshold_table

__all__ = [
    "Code",
    "Diversity",
    "Quota",
    "Request",
    "Selection",
    "Stability",
    "check_available",
    "parse_quota",
    "select",
    "select_scored",
    "selection_stability",
    "threshold_table",
]
