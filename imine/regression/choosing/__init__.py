"""Choosing terms: stepwise, exhaustive, and as the InstructMining paper does."""

from __future__ import annotations

from imine.regression.choosing.choice import Choice, choose_terms, choosing_procedure
from imine.regression.choosing.settings import ChoiceSettings
from imine.regression.choosing.subsets import SubsetTable
from imine.regression.choosing.trace import Candidate, Step, Trace
from imine.regression.choosing.univariate import UnivariateFit, UnivariateListing, univariate

__all__ = [
    "Candidate",
    "Choice",
    "ChoiceSettings",
    "Step",
    "SubsetTable",
    "Trace",
    "UnivariateFit",
    "UnivariateListing",
    "choose_terms",
    "choosing_procedure",
    "univariate",
]
