"""Whether all of a sweep is done, for whoever needs every run of it."""

from __future__ import annotations

from collections.abc import Sequence

from imine.errors import StudyError
from imine.study.ledger import Ledger
from imine.study.sweep.jobs import Job


def check_finished(jobs: Sequence[Job], ledger: Ledger, who: str) -> None:
    """Refuse to go on without runs that failed in their worker process.

    Args:
        jobs: of the sweep.
        ledger: after it.
        who: what needs the runs, for the message.

    Raises:
        StudyError: names the first run that is not finished, with its reason.
    """
    runs, failed = ledger.runs, ledger.failed
    absent = [job.run for job in jobs if job.run not in runs]
    if not absent:
        return
    why = f" ({failed[absent[0]]['reason']})" if absent[0] in failed else ""
    raise StudyError(
        f"{ledger.path}: {len(absent):,} of {len(jobs):,} runs are not finished, {absent[0]}{why} among them; {who} "
        "needs them all. Give the same command again, and they are tried again"
    )
