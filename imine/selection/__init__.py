"""Choosing rows by a rule."""

from __future__ import annotations

from imine.selection.from_records import check_available, select
from imine.selection.result import Selection
from imine.selection.selector import Request, select_scored

__all__ = ["Request", "Selection", "check_available", "select", "select_scored"]
