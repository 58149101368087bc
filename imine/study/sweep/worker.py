"""What a worker process does: prepare the trainer once, then one task after another."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from imine.errors import ImineError
from imine.study.sweep.jobs import Task

_PR_SET_PDEATHSIG = 1  # of prctl(2)
_LONGEST = 600  # characters of an error that go into the ledger


def serve(connection_fd: int, life_fd: int, parent: int) -> None:
    """Work for another process until it says that there is no more. Not for use by hand.

    Messages to it: ``("ready", seconds)``, ``("done", record)``, ``("refused", text)`` for an error that another
    attempt would meet again, ``("failed", text)`` for any other, after which the process ends.

    Args:
        connection_fd: socket over which the pickled trainer comes, then tasks, then ``None``.
        life_fd: pipe whose other end the parent holds as long as it lives.
        parent: process id of the parent.
    """
    die_with_parent(life_fd, parent)
    faulthandler.enable()
    connection = Connection(connection_fd)
    try:
        began = time.monotonic()
        trainer = pickle.loads(connection.recv_bytes())
        trainer.prepare()
        connection.send(("ready", time.monotonic() - began))
        while (task := connection.recv()) is not None:
            connection.send(_answer(trainer, task))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone
    except ImineError as error:
        connection.send(("refused", _line(error)))
    except BaseException as error:  # whatever it is, the parent tells it
        connection.send(("failed", _line(error)))
        traceback.print_exc()
        sys.exit(1)


def _answer(trainer: Any, task: Task) -> tuple[str, Any]:
    try:
        return "done", task.do(replace(trainer, train=task.rows))
    except ImineError as error:
        return "refused", _line(error)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:_LONGEST]
    if isinstance(error, ImineError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def die_with_parent(life_fd: int, parent: int) -> None:
    """End this process when its parent ends, however that happens and whatever this one is doing.

    Linux sends the signal itself; everywhere a thread waits for the end of the pipe.

    Args:
        life_fd: pipe whose other end the parent holds.
        parent: its process id.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before it could be watched
            os._exit(1)

    def watch() -> None:
        os.read(life_fd, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
