"""Inference after choosing terms: conditional on the choice, or on data that had no part in it."""

from __future__ import annotations

from imine.regression.after_choosing.conditional import (
    ChosenResults,
    Interval,
    infer_after_forward,
    infer_fixed,
)
from imine.regression.after_choosing.forward import ForwardStepwise
from imine.regression.after_choosing.multisplit import MultiSplitResults, aggregate, multi_split
from imine.regression.after_choosing.splitting import Procedure, SplitResults, split_inference

__all__ = [
    "ChosenResults",
    "ForwardStepwise",
    "Interval",
    "MultiSplitResults",
    "Procedure",
    "SplitResults",
    "aggregate",
    "infer_after_forward",
    "infer_fixed",
    "multi_split",
    "split_inference",
]
