"""Worker processes that do tasks: a crash, a hang or an error costs one attempt at one task."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from time import monotonic
from types import TracebackType
from typing import Any

from imine.errors import StudyError
from imine.study.sweep.jobs import Task
from imine.study.sweep.process import Slot, WorkerProcess

# Loading the largest model from a slow disk takes less; a process that hangs takes more.
_START_LIMIT = 1800.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A worker is ready.

    Attributes:
        device: what it runs on.
        seconds: from its start.
    """

    device: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """A task is done.

    Attributes:
        task: which.
        record: the ledger's record.
        attempts: how many it took.
        lost: seconds of those before the last.
    """

    task: Task
    record: dict[str, Any]
    attempts: int
    lost: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A task failed, and is not tried again.

    Attributes:
        task: which.
        reason: of the last attempt.
        attempts: how many there were.
        lost: seconds of all of them.
    """

    task: Task
    reason: str
    attempts: int
    lost: float


Event = Loaded | Done | Failed


@dataclass(slots=True)
class Pool:
    """A fixed number of places, each with a process while there is work for it.

    Attributes:
        payload: the pickled trainer.
        slots: the places.
        attempts: most attempts at a task.
        limit: seconds after which a task counts as hanging; ``None`` for never.
        changed: told of the workers whenever one begins or ends something.
        note: told of every attempt that fails and is made again.
    """

    payload: bytes
    slots: Sequence[Slot]
    attempts: int
    limit: Callable[[Task], float | None]
    changed: Callable[[Sequence[WorkerProcess]], None]
    note: Callable[[str], None]
    _workers: list[WorkerProcess] = field(default_factory=list)
    _queue: deque[Task] = field(default_factory=deque)
    _tried: Counter[int | str | None] = field(default_factory=Counter)
    _lost: dict[int | str | None, float] = field(default_factory=dict)
    _failed_starts: int = 0

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def work(self, tasks: Sequence[Task], spare: int = 0) -> Iterator[Event]:
        """Do tasks, and yield what happens as it happens.

        Args:
            tasks: begun in their order.
            spare: so many further processes are started already, for tasks that come later.

        Raises:
            StudyError: processes cannot be started.
        """
        self._queue.extend(tasks)
        self._fill(len(tasks) + spare)
        while self._queue or any(worker.task for worker in self._workers):
            self._hand_out()
            yield from self._next_events()
            self._fill(len(self._queue) + spare)

    def _fill(self, wanted: int) -> None:
        """Start processes in free places, as many as there is work for; a second attempt is for a fresh one."""
        for worker in [w for w in self._workers if w.ready and not w.task and w.process.poll() is not None]:
            self._drop(worker)
        idle = [worker for worker in self._workers if worker.task is None]
        again = sum(self._tried[task.run] > 0 for task in self._queue)
        lacking = max(wanted - len(idle), again - sum(not worker.used for worker in idle), 0)
        taken = {worker.slot.number for worker in self._workers}
        free = [slot for slot in self.slots if slot.number not in taken]
        for slot in free[:lacking]:
            self._workers.append(WorkerProcess.start(slot, self.payload, _START_LIMIT))

    def _hand_out(self) -> None:
        for worker in self._workers:
            if worker.ready and worker.task is None:
                task = next((t for t in self._queue if not (worker.used and self._tried[t.run])), None)
                if task is not None:
                    self._queue.remove(task)
                    self._tried[task.run] += 1
                    worker.begin(task, self.limit(task))
        self.changed(self._workers)

    def _next_events(self) -> Iterator[Event]:
        silent = {worker.connection: worker for worker in self._workers}
        deadlines = [worker.deadline for worker in self._workers if worker.deadline is not None]
        for connection in wait(list(silent), max(0.0, min(deadlines) - monotonic()) if deadlines else None):
            worker = silent.pop(connection)  # type: ignore[call-overload]
            yield from self._answer(worker, *worker.receive())
        for worker in silent.values():
            if worker.deadline is not None and monotonic() > worker.deadline:
                yield from self._answer(worker, "failed", f"no result after {worker.seconds():.0f} s")

    def _answer(self, worker: WorkerProcess, kind: str, content: Any) -> Iterator[Event]:
        """What a message, or the end of a process, means."""
        task = worker.task
        if kind == "ready":
            worker.ready, worker.deadline, self._failed_starts = True, None, 0
            yield Loaded(worker.slot.device, worker.seconds())
        elif task is None:
            self._drop(worker)
            if not worker.ready:
                self._start_failed(kind, content)
        elif kind == "done":
            worker.task = worker.deadline = None
            yield Done(task, content, self._tried[task.run], self._lost.get(task.run, 0.0))
        else:
            self._lost[task.run] = self._lost.get(task.run, 0.0) + worker.seconds()
            worker.task = worker.deadline = None
            if kind == "failed":
                self._drop(worker)
            yield from self._attempt_failed(task, content, final=kind == "refused")

    def _attempt_failed(self, task: Task, reason: str, *, final: bool) -> Iterator[Event]:
        tried = self._tried[task.run]
        if final or tried >= self.attempts:
            yield Failed(task, reason, tried, self._lost[task.run])
        else:
            self.note(f"{task.name}: {reason}; it is tried again in a fresh process")
            self._queue.appendleft(task)

    def _start_failed(self, kind: str, reason: str) -> None:
        self._failed_starts += 1
        if kind == "refused":
            raise StudyError(reason)
        if self._failed_starts >= self.attempts:
            raise StudyError(
                f"a worker process cannot be started: {reason}. What is finished is in the ledger; workers = 0 "
                "works without such processes"
            )
        self.note(f"a worker process did not start: {reason}; another is started")

    def _drop(self, worker: WorkerProcess) -> None:
        self._workers.remove(worker)
        worker.end()
