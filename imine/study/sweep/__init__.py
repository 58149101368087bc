"""Many finetunes, each recorded in a ledger as soon as it is done: in worker processes, or in this one."""

from __future__ import annotations

from imine.study.sweep.finished import check_finished
from imine.study.sweep.jobs import Job
from imine.study.sweep.run import run_jobs

__all__ = ["Job", "check_finished", "run_jobs"]
