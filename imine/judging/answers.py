"""Answers of two sides to the same prompts: a frame each, made by a model or read from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from imine.errors import JudgingError
from imine.files import sha256_of
from imine.progress import Progress, SilentProgress

SCHEMA = {"id": pl.String, "answer": pl.String, "finished": pl.Boolean, "why": pl.String}
"""Columns of answers; ``finished`` is null where it is not known, ``why`` is the reason of a null answer."""

_PROMPT = ("instruction", "input")


@dataclass(frozen=True)
class Answers:
    """Answers to the prompts of an evaluation set.

    Attributes:
        name: model or file, for people.
        frame: columns :data:`SCHEMA`, one row a prompt.
        origin: what made them: a fingerprint, or the file and its hash.

    Examples:
        >>> frame = pl.DataFrame([("1", "Yes.", None, None), ("2", None, None, "no answer")], SCHEMA, orient="row")
        >>> Answers("own", frame).missing
        1
    """

    name: str
    frame: pl.DataFrame
    origin: dict[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Prompts without an answer."""
        return self.frame["answer"].null_count()


def read_answers(path: str | Path, records: pl.DataFrame, progress: Progress | None = None) -> Answers:
    """Read answers from a file in any format that imine reads: the output of each row is the answer.

    A row belongs to the prompt with its id, where it has the same instruction and input; else to the prompts with its
    instruction and input.

    Args:
        path: the file.
        records: the evaluation set: ``id``, ``instruction``, ``input``.
        progress: told how the file was understood.

    Raises:
        JudgingError: no row belongs to any prompt, or one has an id of the set and another prompt.
        FormatError: the format of the file cannot be told.
        BadRowError: a row cannot be read.
    """
    from imine.records import read_records

    path = Path(path)
    if not path.is_file():
        raise JudgingError(f"there is no file of answers {path}")
    found = read_records(str(path))
    for decision in found.decisions:
        (progress or SilentProgress()).note(decision.describe())
    rows = [_answer(path, *row) for row in _matched(path, records, found.frame).iter_rows()]
    frame = pl.DataFrame(rows, SCHEMA, orient="row")
    if frame.height and not frame["answer"].count():
        raise JudgingError(
            f"{path} has no answer to any of the {frame.height:,} prompts; is it of another set?"
        )
    return Answers(str(path), frame, {"file": path.name, "sha256": sha256_of(path)[:16]})


def _matched(path: Path, records: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
    """One row a prompt: its id, its answer by id, and all different answers to its text."""
    own = given.select("id", *(pl.col(name).alias(f"their_{name}") for name in _PROMPT), by_id="output")
    joined = records.select("id", *_PROMPT).join(own, on="id", how="left", maintain_order="left")
    differs = pl.any_horizontal(pl.col(name) != pl.col(f"their_{name}") for name in _PROMPT)
    if (strangers := joined.filter(differs)).height:
        raise JudgingError(
            f"{path}: the row with the id {strangers['id'][0]!r} has another prompt than the evaluation set has under "
            "that id; name the answers to this set, or leave the ids out"
        )
    by_text = given.group_by(*_PROMPT, maintain_order=True).agg(
        by_text=pl.col("output").unique(maintain_order=True)
    )
    return joined.join(by_text, on=list(_PROMPT), how="left", maintain_order="left").select(
        "id", "by_id", "by_text"
    )


def _answer(
    path: Path, id: str, by_id: str | None, by_text: list[str] | None
) -> tuple[str, str | None, None, str | None]:
    if by_id is not None:
        return id, by_id, None, None
    if by_text and len(by_text) == 1:
        return id, by_text[0], None, None
    count = len(by_text or ())
    why = (
        f"{path.name} has {count} different answers to this prompt" if count else f"no answer in {path.name}"
    )
    return id, None, None, why
