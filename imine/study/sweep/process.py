"""A worker process as the parent sees it: started, told, waited for, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from imine.study.sweep.jobs import Task

# The process is a program of its own, so that the caller's script is not run again; it is spawned, never forked,
# since neither CUDA nor threads of OpenMP survive a fork.
_PROGRAM = """
import sys
sys.path[:] = {path!r}
from imine.study.sweep.worker import serve
serve({fd}, {life}, {parent})
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a worker.

    Attributes:
        number: from 0.
        device: what it runs on, for people.
        environment: variables that are set for it.
    """

    number: int
    device: str
    environment: Mapping[str, str]


@dataclass(slots=True)
class WorkerProcess:
    """A worker that runs.

    Attributes:
        slot: its place.
        process: the process.
        connection: messages of :func:`imine.study.sweep.worker.serve`.
        life: write end of the pipe that it watches.
        task: what it does now, if anything.
        began: when it began that, or was started (:func:`time.monotonic`).
        deadline: when it counts as hanging.
        ready: whether its trainer is prepared.
        used: whether it was given a task before.
    """

    slot: Slot
    process: subprocess.Popen[bytes]
    connection: Connection
    life: int
    task: Task | None = None
    began: float = 0.0
    deadline: float | None = None
    ready: bool = False
    used: bool = False

    @classmethod
    def start(cls, slot: Slot, payload: bytes, limit: float) -> WorkerProcess:
        """Start a process and send it its trainer.

        Args:
            slot: where.
            payload: the pickled trainer.
            limit: seconds that it may take to be ready.
        """
        ours, theirs = socket.socketpair()
        ends, life = os.pipe()
        try:
            program = _PROGRAM.format(path=sys.path, fd=theirs.fileno(), life=ends, parent=os.getpid())
            process = subprocess.Popen(
                [sys.executable, "-c", program],
                pass_fds=[theirs.fileno(), ends],
                env={**os.environ, **slot.environment},
                stdin=subprocess.DEVNULL,
                process_group=0,  # a terminal's Ctrl-C is for the parent, which ends its workers
            )
        except BaseException:
            ours.close()
            os.close(life)
            raise
        finally:
            theirs.close()
            os.close(ends)
        began = time.monotonic()
        worker = cls(slot, process, Connection(ours.detach()), life, began=began, deadline=began + limit)
        with suppress(BrokenPipeError, ConnectionResetError):  # it ended at once: the next receive says how
            worker.connection.send_bytes(payload)
        return worker

    def begin(self, task: Task, limit: float | None) -> None:
        """Give it a task.

        Args:
            task: what to do.
            limit: seconds after which it counts as hanging.
        """
        self.task, self.began, self.used = task, time.monotonic(), True
        self.deadline = None if limit is None else self.began + limit
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(task)

    def receive(self) -> tuple[str, Any]:
        """The next message; ``("failed", how it ended)`` where the process ended instead."""
        try:
            message: tuple[str, Any] = self.connection.recv()
            return message
        except (EOFError, OSError):
            return "failed", describe_end(self.process.wait())

    def seconds(self) -> float:
        """Since it began what it does."""
        return time.monotonic() - self.began

    def end(self) -> None:
        """Kill it, if it still runs, and wait until it is gone."""
        self.connection.close()
        self.process.kill()
        self.process.wait()
        os.close(self.life)


def describe_end(code: int) -> str:
    """How a process ended, for people.

    Examples:
        >>> describe_end(3), describe_end(-11)
        ('the process ended with exit status 3', 'the process was killed by signal 11 (SIGSEGV)')
        >>> describe_end(-9)
        'the process was killed by signal 9 (SIGKILL; often the system does it, for want of memory)'
    """
    if code >= 0:
        return f"the process ended with exit status {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else "unknown"
    hint = "; often the system does it, for want of memory" if name == "SIGKILL" else ""
    return f"the process was killed by signal {-code} ({name}{hint})"
