"""Rules from files and by name. Loading reads JSON against a closed schema; it runs no code."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from imine.errors import RuleError
from imine.rules.rule import SCHEMA, Rule

DEFAULT_RULE = "smollm2-135m"
"""The fitted rule that the package ships."""

READABLE = ("imine.rule/1", SCHEMA)
"""Versions of the schema that are read."""

_NONE = object()
# Keys that version 1 did not know, by their path.
_SINCE_2 = (
    ("formula",), ("validation",), ("choice",), ("stability",), ("other_intervals",), ("provenance", "data")
)  # fmt: skip

_HOME = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """A rule that can be loaded by name.

    Attributes:
        name: what :func:`load_rule` takes.
        path: its file.
        rule: the rule itself.
    """

    name: str
    path: Path
    rule: Rule


def load_rule(rule: str | Path) -> Rule:
    """Load a rule by name or from a file.

    Args:
        rule: a name that :func:`list_rules` gives, or the path of a JSON file or a folder with ``rule.json``.

    Raises:
        RuleError: no such rule, not JSON, or something in it that the schema does not know; the message names
            the file and the key.

    Examples:
        >>> rule = load_rule("instructmining-v2")
        >>> rule.indicators
        ('reward', 'understandability', 'naturalness', 'coherence')
        >>> rule.intercept.coefficient
        0.0274
    """
    if isinstance(rule, str) and not _looks_like_path(rule):
        for path in _shipped():
            found = _read(path)
            if found.name == rule:
                return found
    path = Path(rule)
    if path.is_dir():
        path = path / "rule.json"
    if path.is_file():
        return _read(path)
    known = ", ".join(entry.name for entry in list_rules())
    raise RuleError(f"no rule {str(rule)!r}: neither a file nor one of the rules known by name ({known})")


def list_rules() -> list[RuleEntry]:
    """The rules that can be loaded by name: the published ones, then the fitted ones.

    Examples:
        >>> [entry.name for entry in list_rules()][:2]
        ['instructmining-v1', 'instructmining-v2']
    """
    rules = [(path, _read(path)) for path in _shipped()]
    return [RuleEntry(rule.name, path, rule) for path, rule in rules]


def is_shipped(rule: Rule) -> bool:
    """Whether a rule was loaded from among those that the package ships.

    Examples:
        >>> is_shipped(load_rule("instructmining-v1"))
        True
    """
    return rule.path is not None and rule.path in list(_shipped())


def _shipped() -> Iterator[Path]:
    yield from sorted((_HOME / "data").glob("*.json"))
    yield from sorted(_HOME.glob("*/rule*.json"))


def _looks_like_path(rule: str) -> bool:
    return rule.endswith(".json") or os.sep in rule or (os.altsep is not None and os.altsep in rule)


def _read(path: Path) -> Rule:
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_twice)
    except (OSError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RuleError(f"{path}: cannot be read as a rule: {error}") from None
    if not isinstance(document, dict) or "schema" not in document:
        raise RuleError(f"{path}: not a rule: the key 'schema' is missing (expected {SCHEMA!r})")
    if document["schema"] not in READABLE:
        raise RuleError(
            f"{path}: schema is {document['schema']!r}; this imine reads {' and '.join(map(repr, READABLE))}. "
            "Update imine, or fit the rule again with this version."
        )
    if document["schema"] != SCHEMA:
        _refuse_newer_keys(path, document)
    try:
        rule = Rule.model_validate_json(text)
    except ValidationError as error:
        raise RuleError(f"{path}: {explain_faults(error)}") from None
    rule._path = path.resolve()
    return rule


def _refuse_newer_keys(path: Path, document: dict[str, Any]) -> None:
    for keys in _SINCE_2:
        inner: Any = document
        for key in keys:
            inner = inner.get(key, _NONE) if isinstance(inner, dict) else _NONE
        if inner is not _NONE:
            raise RuleError(f"{path}: {'.'.join(keys)}: unknown key in {document['schema']!r}")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that a rule may hold")


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"the key {twice[0]!r} stands twice in one object")
    return dict(pairs)


def explain_faults(error: ValidationError) -> str:
    """The first faults that pydantic found, each with its key.

    Examples:
        >>> try:
        ...     Rule(name="a", intercept={"coefficient": "one"}, terms=())
        ... except ValidationError as error:
        ...     explain_faults(error)
        'intercept.coefficient: Input should be a valid number; terms: Tuple should have at least 1 item after \
validation, not 0'
    """
    said = {"extra_forbidden": "unknown key", "missing": "missing key"}
    parts = []
    for fault in error.errors()[:5]:
        where = ".".join(str(step) for step in fault["loc"])
        what = said.get(fault["type"], fault["msg"])
        parts.append(f"{where}: {what}" if where else what)
    more = f" and {error.error_count() - 5} more faults" if error.error_count() > 5 else ""
    return "; ".join(parts) + more
