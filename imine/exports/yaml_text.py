"""The little YAML that exports need, without a library: keys, lists and texts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

# Text that no reader of YAML takes for anything else. Everything else is written as JSON, which YAML holds.
_PLAIN = re.compile(r"^[A-Za-z][A-Za-z0-9_./-]*$")
_NOT_PRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def yaml_lines(value: Mapping[str, Any], indent: str = "") -> list[str]:
    """A mapping as lines of block style.

    Examples:
        >>> print("\\n".join(yaml_lines({"datasets": [{"path": "a b.jsonl", "type": "x"}], "tags": ["no", "c"]})))
        datasets:
          - path: "a b.jsonl"
            type: x
        tags:
          - "no"
          - c
    """
    lines = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            lines += [f"{indent}{_text(key)}:", *yaml_lines(item, indent + "  ")]
        elif isinstance(item, Sequence) and not isinstance(item, str):
            lines += [f"{indent}{_text(key)}:", *_items(item, indent + "  ")]
        else:
            lines.append(f"{indent}{_text(key)}: {_text(item)}")
    return lines


def _items(items: Sequence[Any], indent: str) -> list[str]:
    lines = []
    for item in items:
        if isinstance(item, Mapping):
            first, *rest = yaml_lines(item, indent + "  ")
            lines += [f"{indent}- {first.lstrip()}", *rest]
        else:
            lines.append(f"{indent}- {_text(item)}")
    return lines


def _text(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _WORDS:
        return value
    # Not in ASCII: JSON writes a character beyond 16 bits as two halves, which YAML does not join.
    text = json.dumps(value, ensure_ascii=False)
    return _NOT_PRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
