"""How often and how fast an endpoint is asked: rate, pauses that it asks for, waits between attempts."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class Pacer:
    """Spaces the requests of several threads, and stops them all where an endpoint asks for a pause.

    Args:
        per_minute: most requests a minute, evenly spaced; 0 for no limit.
    """

    def __init__(self, per_minute: float = 0.0) -> None:
        self._gap = 60.0 / per_minute if per_minute > 0 else 0.0
        self._next = self._resume = 0.0
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def wait(self) -> bool:
        """Wait for one's turn; ``False`` where the work was stopped meanwhile."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._gap
        # A pause can begin while a thread waits for its turn.
        while (left := max(turn, self._resume) - time.monotonic()) > 0:
            if self.stopped.wait(left):
                return False
        return not self.stopped.is_set()

    def pause(self, seconds: float) -> None:
        """Let no request start in the next so many seconds."""
        with self._lock:
            self._resume = max(self._resume, time.monotonic() + seconds)


def backoff(attempt: int, first: float, longest: float) -> float:
    """Seconds to wait after a failed attempt: doubled each time, half of it by chance so that threads part ways.

    Args:
        attempt: number of the attempt that failed, from 0.
        first: seconds after the first one.
        longest: most seconds.

    Examples:
        >>> 2.0 <= backoff(2, first=1.0, longest=60.0) <= 4.0
        True
    """
    # 2.0 ** 64 is longer than anybody waits, and larger powers would overflow.
    whole = min(longest, first * 2.0 ** min(attempt, 64))
    return whole * (0.5 + random.random() / 2)


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds that the header ``Retry-After`` asks for, given as seconds or as a date (RFC 9110, 10.2.3).

    Args:
        header: its value; ``None`` where there is none.
        now: the time; by default that of the clock.

    Returns:
        Seconds, never negative; ``None`` where the header is absent or says neither.

    Examples:
        >>> retry_after("7"), retry_after("soon"), retry_after(None)
        (7.0, None, None)
        >>> retry_after("Wed, 21 Oct 2015 07:28:00 GMT", datetime(2015, 10, 21, 7, 27, tzinfo=UTC))
        60.0
    """
    if not header:
        return None
    if header.isascii() and header.strip().isdigit():
        return float(header)
    try:
        then = parsedate_to_datetime(header)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - (now or datetime.now(UTC))).total_seconds())
