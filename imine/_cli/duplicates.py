"""``imine duplicates``: groups of near-duplicates of a pool."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imine._cli import _neighbors as near
from imine._cli import _options as options

if TYPE_CHECKING:
    import polars as pl


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(duplicates)


def duplicates(
    pools: options.Pools = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Table of the groups to write (parquet).")
    ] = Path("groups.parquet"),
    cosine: Annotated[
        float, typer.Option("--cosine", help="Rows with at least this cosine are in one group; up to 1.")
    ] = 0.95,
    unique: Annotated[
        Path | None,
        typer.Option(
            "--unique", help="Also write the pool with the first row of each group alone, as it came."
        ),
    ] = None,
    encoder: near.Encoder = "",
    cache: Annotated[
        bool, typer.Option(help="Keep embeddings on disk, so that a stopped run goes on.")
    ] = True,
    sample: options.Sample = False,
    format: options.Format = "auto",
    map: options.Map = None,
    turns: options.Turns = "first",
    on_bad_row: options.OnBadRow = "fail",
) -> None:
    """Group near-duplicates: id, the id of the first row of its group, and the group's size.

    Example: imine duplicates pool.jsonl --cosine 0.95 -o groups.parquet --unique unique.jsonl
    """
    from imine.errors import FormatError, SettingsError
    from imine.files import replace_file
    from imine.indicators.models import check_extra, model_path
    from imine.indicators.settings import ScoreSettings
    from imine.indicators.stages.neighbors import near_duplicates
    from imine.records.storage import side_path

    if not 0 < cosine <= 1:
        raise SettingsError(f"--cosine must be above 0 and at most 1, not {cosine}")
    if output.suffix.lower() != ".parquet":
        raise FormatError(f"{output}: the groups are a parquet file; let its name end in .parquet")
    settings = ScoreSettings(cache=cache)
    settings = replace(settings, encoder=encoder) if encoder else settings
    check_extra("near-duplicates")
    model_path(settings.encoder)
    bad_rows = side_path(output, "bad", ".jsonl")
    outputs = [output, bad_rows, *([unique] if unique else [])]
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise FormatError(f"{unique}: is another output as well; name another file")
    options.check_outputs(outputs, pools, sample)
    records, progress, _ = options.read_pools(pools, sample, format, map, turns, on_bad_row, bad_rows)
    groups = group_table(records.frame, near_duplicates(records.frame, cosine, settings, progress))
    replace_file(output, groups.write_parquet)
    firsts = groups.filter(groups["id"] == groups["group"])
    if unique:
        records.write(unique, firsts["id"])
    shared = firsts.filter(firsts["size"] > 1)
    largest = max(firsts["size"].to_list(), default=0)
    typer.echo(
        f"{output}: {groups.height:,} rows, {firsts.height:,} without near-duplicates at cosine {cosine:g}"
    )
    typer.echo(f"{shared.height:,} groups of two rows or more, the largest of {largest:,}")


def group_table(records: pl.DataFrame, groups: Any) -> pl.DataFrame:
    """``id``, ``group`` (the id of its first row) and ``size``, one row a record.

    Args:
        records: has ``id``.
        groups: (rows,), position of the first row of each row's group.
    """
    import polars as pl

    table = pl.DataFrame({"id": records["id"], "group": records["id"].gather(pl.Series(groups))})
    return table.with_columns(size=pl.len().over("group").cast(pl.Int64))
