"""Regression: least squares and its diagnostics, choosing terms, what is right after it, and the fit of a rule."""

from __future__ import annotations

from imine.regression.after_choosing import (
    ChosenResults,
    ForwardStepwise,
    MultiSplitResults,
    SplitResults,
    infer_after_forward,
    infer_fixed,
    multi_split,
    split_inference,
)
from imine.regression.bootstrap import BootstrapChoice, bootstrap_choice
from imine.regression.choosing import Choice, ChoiceSettings, choose_terms, choosing_procedure, univariate
from imine.regression.diagnostics import Diagnostics, InfluentialRun, diagnose
from imine.regression.fit_settings import FitSettings
from imine.regression.fitting import fit, fit_runs, prepare_runs, refit
from imine.regression.heldout import leave_one_out
from imine.regression.ols import fit_ols
from imine.regression.planning import Pilot, Plan, power_curve, runs_needed
from imine.regression.results import OlsResults, Prediction
from imine.regression.run_data import RunData, runs_sha256
from imine.regression.runs_fit import RunsFit
from imine.regression.validation import (
    CrossValidation,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    PermutationTest,
    cross_validate,
    permutation_test,
)

__all__ = [
    "BootstrapChoice",
    "Choice",
    "ChoiceSettings",
    "ChosenResults",
    "CrossValidation",
    "Diagnostics",
    "FitSettings",
    "ForwardStepwise",
    "InfluentialRun",
    "KFold",
    "LeaveOneGroupOut",
    "LeaveOneOut",
    "MultiSplitResults",
    "OlsResults",
    "PermutationTest",
    "Pilot",
    "Plan",
    "Prediction",
    "RunData",
    "RunsFit",
    "SplitResults",
    "bootstrap_choice",
    "choose_terms",
    "choosing_procedure",
    "cross_validate",
    "diagnose",
    "fit",
    "fit_ols",
    "fit_runs",
    "infer_after_forward",
    "infer_fixed",
    "leave_one_out",
    "multi_split",
    "permutation_test",
    "power_curve",
    "prepare_runs",
    "refit",
    "runs_needed",
    "runs_sha256",
    "split_inference",
    "univariate",
]
