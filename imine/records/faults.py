"""Text that cannot be kept as Unicode: how it is found, and how it is shown."""

from __future__ import annotations

import json
import re
from typing import Any

# Bytes that are not UTF-8, as the error handler "surrogateescape" leaves them.
_BYTE_ESCAPES = re.compile("[\udc80-\udcff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def printable(text: str) -> str:
    """Text with the bytes that are not UTF-8 as ``\\xNN`` and lone surrogates as ``\\uNNNN``."""
    shown = _BYTE_ESCAPES.sub(lambda m: f"\\x{ord(m[0]) - 0xDC00:02x}", text)
    return shown.encode("utf-8", "backslashreplace").decode()


def encoding_fault(raw: str, parsed: Any = None) -> str | None:
    """What keeps a row from being Unicode text; ``None`` if nothing does.

    Args:
        raw: the row, decoded with the error handler "surrogateescape".
        parsed: its JSON value, which may hold escaped halves of surrogate pairs.

    Examples:
        >>> encoding_fault(b"caf\\xe9".decode("utf-8", "surrogateescape"))
        'invalid UTF-8: byte 0xe9 at character 4 of the row'
    """
    if not raw.isascii():
        try:
            raw.encode()
        except UnicodeEncodeError as error:
            byte = ord(raw[error.start]) - 0xDC00
            return f"invalid UTF-8: byte 0x{byte:02x} at character {error.start + 1} of the row"
    if parsed is not None and _ESCAPED_SURROGATE.search(raw):
        try:
            json.dumps(parsed, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return "half of a surrogate pair (\\ud800 to \\udfff), which is no Unicode text"
    return None
