"""Regression: least squares, its results and diagnostics, and the fit of a rule."""

from __future__ import annotations

from imine.regression.diagnostics import Diagnostics, InfluentialRun, diagnose
from imine.regression.fitting import fit, runs_sha256
from imine.regression.heldout import leave_one_out
from imine.regression.ols import fit_ols
from imine.regression.results import OlsResults, Prediction

__all__ = [
    "Diagnostics",
    "InfluentialRun",
    "OlsResults",
    "Prediction",
    "diagnose",
    "fit",
    "fit_ols",
    "leave_one_out",
    "runs_sha256",
]
