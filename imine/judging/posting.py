"""One HTTP request to a judge's endpoint, whatever comes of it; the key never leaves the header."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from imine.errors import SettingsError

_MOST_BYTES = 8_000_000
_SHOWN = "[key]"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one request.

    Attributes:
        status: HTTP status; ``None`` where no reply came.
        body: text of the reply; empty where none came.
        error: what went wrong below HTTP; empty where nothing did.
        seconds: time it took.
        retry_after: value of the header ``Retry-After``.
    """

    status: int | None
    body: str
    error: str
    seconds: float
    retry_after: str | None = None

    def record(self) -> dict[str, Any]:
        """The attempt for the transcript, without what is empty."""
        kept = {"status": self.status, "error": self.error or None, "body": self.body or None}
        return {name: value for name, value in kept.items() if value is not None} | {
            "seconds": round(self.seconds, 3)
        }


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: followed, it would carry the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def chat_url(base: str) -> str:
    """Address of the chat completions below a base address.

    Raises:
        SettingsError: it is no address of HTTP, or has a user name or a query, which would end up in the transcripts.

    Examples:
        >>> chat_url("http://localhost:8000/v1/")
        'http://localhost:8000/v1/chat/completions'
    """
    try:
        parts = urlsplit(base)
        told = parts.hostname
    except ValueError:
        parts, told = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not told:
        raise SettingsError("the judge's URL must be like https://host/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(
            "the judge's URL must have no user name, password or query; a key comes from an environment variable"
        )
    path = base.rstrip("/")
    return path if path.endswith("/chat/completions") else f"{path}/chat/completions"


def check_key(key: str, variable: str) -> str:
    """The key as it goes into the header.

    Raises:
        SettingsError: it has characters that a header cannot have; the message does not show it.
    """
    key = key.strip()
    if not all(33 <= ord(character) <= 126 for character in key):
        raise SettingsError(f"the key in {variable} has blanks or characters that are not ASCII")
    return key


def post_json(url: str, body: Mapping[str, Any], key: str, timeout: float) -> Attempt:
    """Send a request; every failure is told, none is raised.

    Args:
        url: where to.
        body: what is sent, as JSON.
        key: goes into the header ``Authorization``; none where empty. Where a reply repeats it, it is blotted out.
        timeout: seconds that the endpoint may be silent.
    """
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "imine"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    began = time.monotonic()
    status, text, error, wait = None, "", "", None
    try:
        with _OPENER.open(request, timeout=timeout) as reply:
            status, text = reply.status, _read(reply)
    except urllib.error.HTTPError as refused:
        with refused:
            status, wait, text = refused.code, refused.headers.get("Retry-After"), _read_refusal(refused)
    except (OSError, http.client.HTTPException, ValueError) as failure:
        reason = getattr(failure, "reason", None) or failure
        error = f"{type(reason).__name__}: {reason}" if isinstance(reason, Exception) else str(reason)
    return Attempt(status, _blot(text, key), _blot(error, key), time.monotonic() - began, wait)


def _read(reply: Any) -> str:
    data = reply.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"the reply has more than {_MOST_BYTES:,} bytes")
    return str(data.decode("utf-8", errors="replace"))


def _read_refusal(refused: urllib.error.HTTPError) -> str:
    try:
        return _read(refused)
    except (OSError, http.client.HTTPException, ValueError) as failure:
        return f"(the body could not be read: {type(failure).__name__})"


def _blot(text: str, key: str) -> str:
    return text.replace(key, _SHOWN) if key else text
