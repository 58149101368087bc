"""Error out of sample of a whole procedure, and a permutation test of it."""

from __future__ import annotations

from imine.regression.validation.cross import CrossValidation, Fold, Spread, cross_validate
from imine.regression.validation.permutation import PermutationTest, permutation_test
from imine.regression.validation.schemes import Held, KFold, LeaveOneGroupOut, LeaveOneOut, Scheme
from imine.regression.validation.scores import (
    IntervalScore,
    LevelError,
    Predicted,
    RankAgreement,
    Score,
    score,
)

__all__ = [
    "CrossValidation",
    "Fold",
    "Held",
    "IntervalScore",
    "KFold",
    "LeaveOneGroupOut",
    "LeaveOneOut",
    "LevelError",
    "PermutationTest",
    "Predicted",
    "RankAgreement",
    "Scheme",
    "Score",
    "Spread",
    "cross_validate",
    "permutation_test",
    "score",
]
