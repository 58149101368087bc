"""How long a run may take before it counts as hanging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imine.study.sweep.jobs import Task

_TIMES = 20.0
_LEAST = 600.0


@dataclass(slots=True)
class RunTimes:
    """What is known of the time that runs take.

    A fixed limit, or one that follows from the finished runs: twenty times the slowest seconds a trained token times
    the tokens of the run, and twenty times the slowest evaluation; at least ten minutes. Before the first run is
    finished nothing is known, and there is no limit.

    Attributes:
        fixed: seconds; ``None`` to take them from the finished runs.
        epochs: passes of a run over its rows.
        records: finished runs.

    Examples:
        >>> times = RunTimes(None, 2, [{"seconds_train": 50.0, "seconds_evaluate": 10.0, "tokens": 1000}])
        >>> times.limit(Task(1, rows={})), RunTimes(5.0, 1, []).limit(Task(1))
        (600.0, 5.0)
    """

    fixed: float | None
    epochs: int
    records: Sequence[Mapping[str, Any]]
    _a_token: float = 0.0
    _evaluation: float = 0.0

    def __post_init__(self) -> None:
        for record in self.records:
            self.add(record)

    def add(self, record: Mapping[str, Any]) -> None:
        """Learn from a finished run, or from the evaluation of the base model."""
        self._evaluation = max(self._evaluation, record["seconds_evaluate"])
        if record.get("tokens"):
            self._a_token = max(self._a_token, record["seconds_train"] / record["tokens"])

    def limit(self, task: Task) -> float | None:
        """Seconds that a task may take; ``None`` for any."""
        if self.fixed is not None or not self._a_token:
            return self.fixed
        tokens = self.epochs * sum(len(row.prompt) + len(row.response) for row in task.rows.values())
        return max(_LEAST, _TIMES * (self._a_token * tokens + self._evaluation))
