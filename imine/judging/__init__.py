"""Pairwise judging: two models answer the same prompts, and a judge compares their answers in both orders."""

from __future__ import annotations

from imine.judging.answers import Answers, read_answers
from imine.judging.completing import Decoding
from imine.judging.endpoint import EndpointJudge, EndpointSettings
from imine.judging.generation import GenerateSettings, check_writer, generate_answers
from imine.judging.judges import Judge, Question, Reply
from imine.judging.local import LocalJudge, LocalSettings
from imine.judging.result import Judging
from imine.judging.run import judge_answers
from imine.judging.win_rate import Interval, WinRate

__all__ = [
    "Answers",
    "Decoding",
    "EndpointJudge",
    "EndpointSettings",
    "GenerateSettings",
    "Interval",
    "Judge",
    "Judging",
    "LocalJudge",
    "LocalSettings",
    "Question",
    "Reply",
    "WinRate",
    "check_writer",
    "generate_answers",
    "judge_answers",
    "read_answers",
]
