"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Protocol


class Progress(Protocol):
    """What long-running functions tell of their progress."""

    def start(self, stage: str, total: int, unit: str = "rows", done: int = 0) -> None:
        """Begin a stage of ``total`` units, ``done`` of which were there already."""

    def advance(self, count: int) -> None:
        """``count`` further units are done."""

    def finish(self) -> None:
        """The stage is over."""

    def note(self, text: str) -> None:
        """A line for the reader."""


class SilentProgress:
    """Says nothing: the default of the Python API."""

    def start(self, stage: str, total: int, unit: str = "rows", done: int = 0) -> None:
        """Say nothing."""

    def advance(self, count: int) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


class LineProgress:
    """Writes a line to standard error every ``every`` seconds (twice a second, in place, on a terminal)."""

    def __init__(self, every: float = 30.0) -> None:
        self._tty = sys.stderr.isatty()
        self._every = 0.5 if self._tty else every

    def start(self, stage: str, total: int, unit: str = "rows", done: int = 0) -> None:
        """Begin a stage."""
        self._stage, self._total, self._unit = stage, total, unit
        self._done = self._first = done
        self._began = self._last = time.monotonic()
        if done:
            self.note(f"{stage}: {done:,} of {total:,} {unit} were there already")

    def advance(self, count: int) -> None:
        """Count, and say so when it is time."""
        self._done += count
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            self._say(now)

    def _say(self, now: float) -> None:
        fresh, seconds = self._done - self._first, now - self._began
        rate = fresh / seconds if seconds > 0 else 0.0
        left = (
            f"{format_seconds((self._total - self._done) / rate)} left" if rate > 0 else "time left unknown"
        )
        speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        line = f"{self._stage}: {self._done:,}/{self._total:,} {self._unit}, {speed} a second, {left}"
        sys.stderr.write(f"\r\x1b[2K{line}" if self._tty else f"{line}\n")
        sys.stderr.flush()

    def finish(self) -> None:
        """End the line in place."""
        if self._tty:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

    def note(self, text: str) -> None:
        """Write a line of its own."""
        sys.stderr.write(f"\r\x1b[2K{text}\n" if self._tty else f"{text}\n")
        sys.stderr.flush()


def format_seconds(seconds: float) -> str:
    """A duration for people.

    Examples:
        >>> format_seconds(0.25), format_seconds(75), format_seconds(7300)
        ('0.25 s', '1 min 15 s', '2 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
