"""Reports in HTML: one file each, which shows the same without a network."""

from __future__ import annotations

from imine.report.study import study_report

__all__ = ["study_report"]
