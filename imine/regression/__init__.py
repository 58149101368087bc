"""Regression: ordinary least squares, its results, and the fit of a rule."""

from __future__ import annotations

from imine.regression.ols import fit_ols
from imine.regression.results import OlsResults, Prediction

__all__ = ["OlsResults", "Prediction", "fit_ols"]
