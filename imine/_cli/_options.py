"""Options that several subcommands share, and how records are read for them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imine.errors import FormatError
from imine.progress import LineProgress, Progress, format_seconds

if TYPE_CHECKING:
    from imine.records import RecordSet

Pools = Annotated[
    list[str] | None, typer.Argument(help="Files or globs: JSONL, JSON, CSV or Parquet, also .gz, .zst.")
]
Sample = Annotated[bool, typer.Option("--sample", help="Read the bundled sample instead of POOL.")]
Format = Annotated[
    str, typer.Option("--format", help="Format, where detection is wrong; see docs/formats.md.")
]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", help="A column by its name in the file, e.g. --map output=answer. Repeatable."),
]
Turns = Annotated[
    Literal["first", "last", "each", "joined"],
    typer.Option("--turns", help="What of a conversation becomes a record."),
]
OnBadRow = Annotated[
    Literal["fail", "skip"],
    typer.Option("--on-bad-row", help="fail, or skip: count them and write them aside."),
]


def read_pools(
    pools: list[str] | None,
    sample: bool,
    format: str,
    map: list[str] | None,
    turns: Literal["first", "last", "each", "joined"],
    on_bad_row: Literal["fail", "skip"],
    bad_rows_to: Path,
) -> tuple[RecordSet, Progress, float]:
    """Read records and say what was decided; bad rows are written beside the output.

    Returns:
        The records, the progress of the further work, and the seconds that the reading took.

    Raises:
        FormatError: no record is left, or a format cannot be told.
        BadRowError: a bad row, where they are not skipped.
    """
    from imine.records import read_records
    from imine.sample import sample_path

    progress = LineProgress()
    start = time.perf_counter()
    records = read_records(
        [str(sample_path())] if sample else list(pools or ()),
        format=format,
        map=dict(pair(item) for item in map or ()),
        turns=turns,
        on_bad_row=on_bad_row,
    )
    tell_reading(records, bad_rows_to, progress)
    return records, progress, time.perf_counter() - start


def tell_reading(records: RecordSet, bad_rows_to: Path, progress: Progress) -> None:
    """Say how files were understood, and write bad rows aside.

    Args:
        records: what was read.
        bad_rows_to: file for the bad rows; it is not touched where there are none.
        progress: is told.
    """
    for line in (*(decision.describe() for decision in records.decisions), *records.notes):
        progress.note(line)
    if records.bad_rows:
        records.write_bad_rows(bad_rows_to)
        first = records.bad_rows[0]
        progress.note(
            f"{len(records.bad_rows):,} bad rows were skipped and written to {bad_rows_to}; "
            f"the first: {first.file}, line {first.line}: {first.reason}"
        )


def pair(item: str) -> tuple[str, str]:
    """Field and column of ``--map``.

    Raises:
        FormatError: it is not FIELD=COLUMN.
    """
    field, equals, column = item.partition("=")
    if not equals:
        raise FormatError(f"--map takes FIELD=COLUMN, e.g. output=answer, not {item!r}")
    return field, column


def check_outputs(
    outputs: Iterable[Path], pools: list[str] | None, sample: bool, others: Iterable[Path | None] = ()
) -> None:
    """Refuse, before any work, outputs that cannot be written or that would overwrite what is read.

    Args:
        outputs: every file that may be written.
        pools, sample: as for :func:`read_pools`.
        others: further files that are read.

    Raises:
        FormatError: neither a pool nor the sample was named, or both; or an output with the reason.
    """
    from imine.records.storage import check_target, resolve_paths
    from imine.sample import sample_path

    if bool(pools) == sample:
        raise FormatError("name the files of a pool, or --sample for the bundled one")
    inputs = [sample_path()] if sample else resolve_paths(list(pools or ()))
    for output in outputs:
        check_target(output, [*inputs, *(path for path in others if path is not None)])


def check_kept(outputs: Iterable[Path], read: Iterable[Path | None]) -> None:
    """Refuse, before any work, to write over what is read.

    Args:
        outputs: every file that may be written.
        read: the files that are read.

    Raises:
        FormatError: names both.
    """
    from imine.records.storage import same_file

    inputs = [file for file in read if file is not None]
    for output in outputs:
        for file in inputs:
            if same_file(output, file):
                raise FormatError(f"{output}: would overwrite the input {file}; name another output")


def times(stages: dict[str, float]) -> str:
    """Stages with their durations, for people."""
    return ", ".join(f"{stage} {format_seconds(seconds)}" for stage, seconds in stages.items())
