"""Options that several subcommands share, and how records are read for them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imine.errors import FormatError
from imine.progress import LineProgress, Progress

if TYPE_CHECKING:
    from imine.records import RecordSet

Pools = Annotated[list[str] | None, typer.Argument(help="Files or globs: JSONL, JSON, CSV or Parquet, also .gz, .zst.")]
Sample = Annotated[bool, typer.Option("--sample", help="Read the bundled sample instead of POOL.")]
Format = Annotated[str, typer.Option("--format", help="Format, where detection is wrong; see docs/formats.md.")]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", help="A column by its name in the file, e.g. --map output=answer. Repeatable."),
]
Turns = Annotated[str, typer.Option("--turns", help="Of conversations: first, last, each or joined.")]
OnBadRow = Annotated[str, typer.Option("--on-bad-row", help="fail, or skip: count them and write them aside.")]


def read_pools(
    pools: list[str] | None,
    sample: bool,
    format: str,
    map: list[str] | None,
    turns: str,
    on_bad_row: str,
    bad_rows_to: Path,
) -> tuple[RecordSet, Progress, float]:
    """Read records and say what was decided; bad rows are written beside the output.

    Returns:
        The records, the progress of the further work, and the seconds that the reading took.

    Raises:
        FormatError: neither a pool nor the sample was named, or both.
    """
    from imine.records import read_records
    from imine.sample import sample_path

    if bool(pools) == sample:
        raise FormatError("name the files of a pool, or --sample for the bundled one")
    progress = LineProgress()
    start = time.perf_counter()
    records = read_records(
        [str(sample_path())] if sample else list(pools or ()),
        format=format,
        map=dict(_pair(item) for item in map or ()),
        turns=turns,
        on_bad_row=on_bad_row,
    )
    for decision in records.decisions:
        progress.note(decision.describe())
    if records.bad_rows:
        records.write_bad_rows(bad_rows_to)
        first = records.bad_rows[0]
        progress.note(
            f"{len(records.bad_rows):,} bad rows were skipped and written to {bad_rows_to}; "
            f"the first: {first.file}, line {first.line}: {first.reason}"
        )
    return records, progress, time.perf_counter() - start


def _pair(item: str) -> tuple[str, str]:
    field, equals, column = item.partition("=")
    if not equals:
        raise FormatError(f"--map takes FIELD=COLUMN, e.g. output=answer, not {item!r}")
    return field, column


def beside(path: Path, word: str, suffix: str | None = None) -> Path:
    """A further output's path: ``mined.jsonl.gz`` gives ``mined.rejected.jsonl.gz``."""
    stem, _, rest = path.name.partition(".")
    ending = suffix or (f".{rest}" if rest else "")
    return path.with_name(f"{stem}.{word}{ending}")
