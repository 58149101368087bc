"""What every judge takes and gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from imine.judging.prompts import JudgePrompt, Verdict
from imine.progress import Progress


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a judge: two answers in one order.

    Attributes:
        key: hash of the judge and the text; equal questions to the same judge have equal keys.
        text: the whole prompt.
    """

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a question.

    Attributes:
        key: key of the question.
        verdict: the better answer by its place, or ``None``.
        why: reason of a missing verdict.
        answered: whether the judge replied at all; a question without a reply is asked again next time.
        transcript: what was sent and what came back, as JSON takes it.
    """

    key: str
    verdict: Verdict | None
    why: str | None
    answered: bool
    transcript: dict[str, Any] = field(default_factory=dict)


class Judge(Protocol):
    """Whoever compares two answers."""

    @property
    def prompt(self) -> JudgePrompt:
        """The wording that it is asked in."""

    def fingerprint(self) -> dict[str, Any]:
        """What its verdicts depend on; no secret is part of it."""

    def replies(self, questions: Sequence[Question], progress: Progress) -> Iterator[Reply]:
        """A reply for every question, in any order."""


def question_key(fingerprint: Mapping[str, Any], text: str) -> str:
    """Key of a question, 32 hexadecimal digits.

    Examples:
        >>> question_key({"model": "a"}, "?") == question_key({"model": "b"}, "?")
        False
    """
    whole = json.dumps(fingerprint, sort_keys=True) + "\0" + text
    return hashlib.sha256(whole.encode()).hexdigest()[:32]
