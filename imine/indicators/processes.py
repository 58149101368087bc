"""One process a device: work is handed out piece by piece, results come back as they are made.

The processes are started as programs of their own that are told what to import. Unlike multiprocessing's, they do not
run the caller's script again, so that a script needs no guard; and they are spawned, never forked, since neither CUDA
nor threads of OpenMP survive a fork.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from imine.errors import WorkerError
from imine.progress import Progress, SilentProgress

# What a process makes of its device: a function from a piece of work to its results.
Work = Callable[[Any, Progress], Iterator[Any]]

_PROGRAM = "import sys; sys.path[:] = {path!r}; from imine.indicators.processes import serve; serve({fd})"


@dataclass(slots=True)
class _Worker:
    device: str
    process: subprocess.Popen[bytes]
    connection: Connection


def run_in_processes(
    prepare: Callable[[str], Work], pieces: Sequence[Any], devices: Sequence[str], progress: Progress
) -> Iterator[tuple[int, Any]]:
    """Run pieces of work, one process a device.

    Args:
        prepare: called in each process with its device, once; a function of a module, or a partial of one.
        pieces: what the function that ``prepare`` gives is called with, in the order in which they are begun.
        devices: as torch names them; ``cpu`` twice is two processes that share the cores.
        progress: told of the notes of all processes.

    Yields:
        Position of a piece and one of its results, in the order in which they come.

    Raises:
        WorkerError: a process failed; the message holds its error.
    """
    workers: list[_Worker] = []
    try:
        workers += [_start(device, prepare, len(devices)) for device in devices[: len(pieces)]]
        yield from _collect(workers, pieces, progress)
    finally:
        for worker in workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in workers:
            worker.process.wait()


def _start(device: str, prepare: Callable[[str], Work], count: int) -> _Worker:
    ours, theirs = socket.socketpair()
    environment = dict(os.environ)
    if device == "cpu":
        environment["OMP_NUM_THREADS"] = str(max(1, _cores() // count))
    program = _PROGRAM.format(path=sys.path, fd=theirs.fileno())
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    worker = _Worker(device, process, Connection(ours.detach()))
    with suppress(BrokenPipeError):  # it ended at once: the next read says how
        worker.connection.send((pickle.dumps(prepare), device))
    return worker


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _collect(workers: list[_Worker], pieces: Sequence[Any], progress: Progress) -> Iterator[tuple[int, Any]]:
    """Give every process that is idle the next piece; a process says ``idle`` when it is ready and after each."""
    left = iter(range(len(pieces)))
    busy = {worker.connection: worker for worker in workers}
    while busy:
        for ready in wait(list(busy)):
            worker = busy[ready]  # type: ignore[index]
            kind, content = _receive(worker)
            if kind == "result":
                yield content
            elif kind == "note":
                progress.note(f"{worker.device}: {content}")
            elif kind == "failed":
                raise WorkerError(f"the process on {worker.device} failed; what was done is kept.\n{content}")
            elif (i := next(left, None)) is not None:
                worker.connection.send((i, pieces[i]))
            else:
                worker.connection.send(None)
                del busy[worker.connection]


def _receive(worker: _Worker) -> Any:
    try:
        return worker.connection.recv()
    except (EOFError, ConnectionResetError):
        code = worker.process.wait()
        how = f"killed by signal {-code}" if code < 0 else f"with exit status {code}"
        hint = " (signal 9 is often the system's, for want of memory)" if code == -9 else ""
        raise WorkerError(
            f"the process on {worker.device} ended {how}{hint}. What was done is kept: run it again"
        ) from None


class _NoteProgress(SilentProgress):
    """Sends notes to the process that asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def note(self, text: str) -> None:
        """Send it."""
        self._connection.send(("note", text))


def serve(fd: int) -> None:
    """What a process does: prepare, then work until there is no more. Not for use by hand."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    connection = Connection(fd)
    try:
        pickled, device = connection.recv()
        work = pickle.loads(pickled)(device)
        connection.send(("idle", None))
        while (task := connection.recv()) is not None:
            i, piece = task
            for result in work(piece, _NoteProgress(connection)):
                connection.send(("result", (i, result)))
            connection.send(("idle", None))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone
    except Exception:  # whatever it is, the parent tells it
        connection.send(("failed", traceback.format_exc()))
