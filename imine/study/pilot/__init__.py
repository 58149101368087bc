"""A pilot: which training recipe tells pools apart best, against the noise of a run."""

from __future__ import annotations

from imine.study.pilot.report import PilotReport, RecipeResult, judge_pilot
from imine.study.pilot.run import Recipe, run_pilot
from imine.study.pilot.signal import PoolNoise, SignalToNoise, signal_to_noise

__all__ = [
    "PilotReport",
    "PoolNoise",
    "Recipe",
    "RecipeResult",
    "SignalToNoise",
    "judge_pilot",
    "run_pilot",
    "signal_to_noise",
]
