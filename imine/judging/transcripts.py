"""Every question to a judge and what came back, a JSON line each, appended as they come: what is there is not asked."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from imine.errors import JudgingError
from imine.judging.judges import Reply

_FIELDS = ("key", "verdict", "why", "answered")
_VERDICTS = ("first", "second", "tie", None)


class Transcripts:
    """The replies of a folder, by their question's key; made by :func:`open_transcripts`.

    Attributes:
        replies: the last reply to each question.
    """

    def __init__(self, file: BinaryIO, replies: dict[str, Reply]) -> None:
        self._file = file
        self.replies = replies

    def add(self, reply: Reply, about: dict[str, Any]) -> None:
        """Append a reply; when this returns it is on the disk.

        Args:
            reply: what came of a question.
            about: what else the line says of the question, such as its row.
        """
        own = {name: getattr(reply, name) for name in _FIELDS}
        line = json.dumps({**about, **own, **reply.transcript}, ensure_ascii=False) + "\n"
        # A lone half of a surrogate pair, which JSON can hold and UTF-8 cannot, is written as a question mark.
        self._file.write(line.encode("utf-8", errors="replace"))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.replies[reply.key] = reply


@contextmanager
def open_transcripts(path: Path) -> Iterator[Transcripts]:
    """Read the transcripts and hold the file for appending; a last line that was cut off is removed.

    Args:
        path: ``transcripts.jsonl``; it is made where it is missing.

    Raises:
        JudgingError: another process holds it, or a line before the last cannot be read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise JudgingError(f"another process judges into {path.parent}; wait for it or end it") from None
        file.seek(0)
        *lines, rest = file.read().split(b"\n")
        replies = {}
        for number, line in enumerate(lines, 1):
            reply = _reply(line, f"{path}, line {number}")
            replies[reply.key] = reply
        if rest:
            file.truncate(file.tell() - len(rest))
        yield Transcripts(file, replies)


def _reply(line: bytes, place: str) -> Reply:
    """A reply of an earlier run, without its transcript, which stays on the disk."""
    try:
        record = json.loads(line)
        key, verdict, why, answered = (record[name] for name in _FIELDS)
    except (ValueError, KeyError, TypeError) as error:
        raise JudgingError(
            f"{place}: no transcript ({error!r}); remove this line and its question is asked again"
        ) from error
    if verdict not in _VERDICTS or not isinstance(key, str) or not isinstance(answered, bool):
        raise JudgingError(f"{place}: no transcript; remove this line and its question is asked again")
    return Reply(key, verdict, why, answered)
