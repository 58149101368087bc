"""Whether scores and rule belong together, before any scoring where that can be known."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from imine.errors import FingerprintMismatchError, FingerprintMismatchWarning, SelectionError
from imine.rules import Difference, Rule, compare_fingerprints, describe_differences

Fingerprints = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Differences that were found and allowed.

    Attributes:
        differences: between what the rule expects and how the scores are made.
        notes: for the reader of the selection.
    """

    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()


def check_columns(rule: Rule, scores: pl.DataFrame) -> None:
    """Refuse scores without a column that the rule needs.

    Raises:
        SelectionError: names the columns.
    """
    absent = [name for name in rule.indicators if name not in scores.columns]
    if absent:
        raise SelectionError(
            f"the scores have no column {', '.join(absent)}, which rule {rule.name!r} needs. "
            "Score again with these indicators, or leave the scores away."
        )


def unchecked_notes(rule: Rule) -> list[str]:
    """A note on the indicators that the rule holds no fingerprint of."""
    unchecked = [name for name in rule.indicators if name not in rule.fingerprints]
    if not unchecked:
        return []
    return [
        f"The rule holds no fingerprint of {', '.join(unchecked)}: whether the scores were made in its "
        "way was not checked."
    ]


def check_planned(rule: Rule, planned: Fingerprints, allow: bool) -> Mismatch:
    """Compare a rule with fingerprints known before scoring.

    Args:
        rule: the rule to be applied.
        planned: how the scores would be made; neighbours counted in the pool itself are known as no more.
        allow: warn instead of refusing.

    Raises:
        FingerprintMismatchError: scores and rule would not belong together.
    """
    differences = [d for d in compare_fingerprints(rule.fingerprints, planned) if not _open(d, planned)]
    return _judge(rule, differences, allow, "would not be made")


def _open(difference: Difference, planned: Fingerprints) -> bool:
    """Whether only scoring can tell: what is in a reference set that is the pool itself."""
    reference = planned.get(difference.indicator, {}).get("reference")
    itself = isinstance(reference, Mapping) and reference.get("kind") == "self"
    return itself and difference.key.startswith("reference.") and difference.key != "reference.kind"


def check_made(rule: Rule, made: Fingerprints, allow: bool, known: Mismatch) -> Mismatch:
    """Compare a rule with the fingerprints of scores; what was allowed before is not told again.

    Args:
        rule: the rule to be applied.
        made: how the scores were made.
        allow: warn instead of refusing.
        known: what was found before scoring.

    Returns:
        All that was found, before and now.

    Raises:
        FingerprintMismatchError: scores and rule do not belong together.
    """
    told = {(d.indicator, d.key) for d in known.differences}
    differences = [
        d
        for d in compare_fingerprints(rule.fingerprints, made)
        if (d.indicator, d.key) not in told
        # Two kinds of reference sets have other content as a matter of course.
        and not (d.key.startswith("reference.") and (d.indicator, "reference.kind") in told)
    ]
    found = _judge(rule, differences, allow, "were not made")
    return Mismatch((*known.differences, *found.differences), (*known.notes, *found.notes))


def _judge(rule: Rule, differences: Sequence[Difference], allow: bool, verb: str) -> Mismatch:
    if not differences:
        return Mismatch()
    text = f"the scores {verb} as rule {rule.name!r} expects:\n{describe_differences(differences)}"
    if not allow:
        raise FingerprintMismatchError(
            f"{text}\nScore again in the rule's way, fit a rule to this way, or go on regardless "
            "(--allow-mismatch; allow_mismatch=True)."
        )
    # Above this stand check_planned or check_made, and select: the warning is its caller's.
    warnings.warn(text, FingerprintMismatchWarning, stacklevel=4)
    return Mismatch(tuple(differences), (f"Mismatch allowed: {text}",))
