"""Which files a study reads, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from imine.errors import FormatError
from imine.records.conversations import Turns
from imine.records.layouts import parse_format
from imine.study.section import Section

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class FileConfig(Section):
    """A file and how it is read, as in :func:`imine.read`.

    Attributes:
        name: lower-case letters, digits and underscores.
        path: a file of any input format, relative to the study file.
        rows: at most this many rows, a seeded draw; all where absent.
        format: its format, where detection is wrong.
        map: columns by their names in the file.
        turns: what of a conversation becomes a record.
        on_bad_row: ``skip`` leaves rows that cannot be read out and writes them aside.
    """

    name: Name
    path: Path
    rows: int | None = Field(default=None, ge=1)
    format: str = "auto"
    map: dict[str, str] = Field(default_factory=dict)
    turns: Turns = "first"
    on_bad_row: Literal["fail", "skip"] = "fail"

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        try:
            parse_format(value)
        except FormatError as error:
            raise ValueError(str(error)) from None
        return value


class PoolConfig(FileConfig):
    """A pool that subsets are drawn from; its weights are recorded as ``w_<name>``.

    Attributes:
        alpha: this pool's Dirichlet concentration; that of the design where absent.
    """

    alpha: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class EvaluationConfig(FileConfig):
    """A set that every finetuned model is evaluated on; its loss is recorded as ``loss_<name>``."""
