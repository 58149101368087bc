"""What the runs of a study show: coefficients, error held out, pools, signs, spreads, evaluation sets, noise."""

from __future__ import annotations

from imine.study.findings.compute import Findings, FindingsSettings, study_findings
from imine.study.findings.numbers import Estimated, HeldOut, rank_correlation

__all__ = ["Estimated", "Findings", "FindingsSettings", "HeldOut", "rank_correlation", "study_findings"]
