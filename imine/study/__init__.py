"""Studies: finetune on many designed subsets, evaluate each, and keep a table of runs to fit a rule on."""

from __future__ import annotations

from imine.study.config import Study, StudyConfig, load_study
from imine.study.run import StudyStatus, run_study, study_status

__all__ = ["Study", "StudyConfig", "StudyStatus", "load_study", "run_study", "study_status"]
