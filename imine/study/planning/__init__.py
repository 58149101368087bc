"""What a study will take: runs, tokens, time, memory and disk, said before anything starts."""

from __future__ import annotations

from imine.study.planning.estimate import plan_study
from imine.study.planning.parts import Amount, EvaluationPlan, PoolPlan, Speed, Stage, StudyPlan, Tokens
from imine.study.planning.speed import measure_speed

__all__ = [
    "Amount",
    "EvaluationPlan",
    "PoolPlan",
    "Speed",
    "Stage",
    "StudyPlan",
    "Tokens",
    "measure_speed",
    "plan_study",
]
