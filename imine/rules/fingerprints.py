"""Whether scores were made in the way that a rule expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()
"""Stands for a key or an indicator that one side does not have."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between two fingerprints.

    Attributes:
        indicator: the indicator whose fingerprint differs.
        key: dotted path of the key; empty when the whole fingerprint is absent.
        expected, actual: the two values, :data:`ABSENT` where there is none.
    """

    indicator: str
    key: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        if not self.key:
            return f"{self.indicator}: the scores have no fingerprint for it"
        return f"{self.indicator}: {self.key} is {self.actual!r}, the rule expects {self.expected!r}"


def compare_fingerprints(
    expected: Mapping[str, Mapping[str, Any]], actual: Mapping[str, Mapping[str, Any]]
) -> list[Difference]:
    """Every difference between the fingerprints that a rule expects and those of scores.

    Args:
        expected: by indicator; only these are compared.
        actual: by indicator; may hold more.

    Returns:
        One entry a differing key, in the order of ``expected``; empty if they agree.

    Examples:
        >>> rule = {"perplexity": {"model": {"name": "A", "sha256": "00"}}}
        >>> scores = {"perplexity": {"model": {"name": "B", "sha256": "00"}}}
        >>> print(*compare_fingerprints(rule, scores))
        perplexity: model.name is 'B', the rule expects 'A'
    """
    found: list[Difference] = []
    for indicator, wanted in expected.items():
        if indicator not in actual:
            found.append(Difference(indicator, "", wanted, ABSENT))
            continue
        found += [Difference(indicator, key, a, b) for key, a, b in _walk("", wanted, actual[indicator])]
    return found


def _walk(path: str, expected: Any, actual: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key in (*expected, *(key for key in actual if key not in expected)):
            below = f"{path}.{key}" if path else str(key)
            yield from _walk(below, expected.get(key, ABSENT), actual.get(key, ABSENT))
    elif _plain(expected) != _plain(actual):
        yield path or "(value)", expected, actual


def _plain(value: Any) -> Any:
    """Tuples as lists: JSON does not tell them apart."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def describe_differences(differences: Sequence[Difference]) -> str:
    """The differences as lines of text, each named.

    Examples:
        >>> print(describe_differences([Difference("mtld", "threshold", 0.72, 0.8)]))
          - mtld: threshold is 0.8, the rule expects 0.72
    """
    return "\n".join(f"  - {difference}" for difference in differences)
