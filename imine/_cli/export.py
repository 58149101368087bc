"""``imine export``: rows in the files that training programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imine._cli import _options as options

if TYPE_CHECKING:
    import polars as pl

_TO = "alpaca, sharegpt, messages, parquet, huggingface, llama-factory or axolotl."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    pools: options.Pools = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File or folder to write.")] = None,
    format: Annotated[str, typer.Option("--format", help=f"What to write: {_TO}")] = "",
    rejected: Annotated[
        Path | None, typer.Option("--rejected", help="Rejected rows with their reasons, to write beside.")
    ] = None,
    name: Annotated[
        str, typer.Option("--name", help="Name of the data set; that of the first input by default.")
    ] = "",
    license: Annotated[
        str, typer.Option("--license", help="Licence to state on the card of huggingface.")
    ] = "",
    sample: options.Sample = False,
    input_format: Annotated[
        str, typer.Option("--input-format", help="Format of the input, where detection is wrong.")
    ] = "auto",
    map: options.Map = None,
    turns: options.Turns = "first",
    on_bad_row: options.OnBadRow = "fail",
) -> None:
    """Write rows as another program reads them.

    Example: imine export mined.jsonl --format llama-factory -o data/
    """
    from imine.errors import FormatError
    from imine.exports import About, check_export, files_of
    from imine.exports import export as export_records
    from imine.records.storage import resolve_paths, side_path, split_suffixes
    from imine.sample import sample_path

    if not format or output is None:
        raise FormatError(f"name the format and the output: --format FORMAT -o PATH; FORMAT is {_TO}")
    if bool(pools) == sample:
        raise FormatError("name the files of a pool, or --sample for the bundled one")
    inputs = [sample_path()] if sample else resolve_paths(list(pools or ()))
    about = About(name or split_suffixes(inputs[0])[0], license)
    check_export(output, format, about.name)
    # The folder "." has no name to stand beside.
    bad_rows = side_path(output if output.name else output / "rows", "bad", ".jsonl")
    options.check_kept(
        [bad_rows, *files_of(output, format, about.name, rejected=rejected is not None)], [*inputs, rejected]
    )
    records, _, _ = options.read_pools(pools, sample, input_format, map, turns, on_bad_row, bad_rows)
    beside = None if rejected is None else _rejected(rejected, turns, input_format, map)
    written = export_records(records.frame, output, format, rejected=beside, about=about)
    for path in written.files:
        typer.echo(f"{path}")
    typer.echo(f"{len(records):,} rows as {format}")


def _rejected(path: Path, turns: str, format: str, map: list[str] | None) -> pl.DataFrame:
    """Rejected rows, read in the way of the others: imine select writes both alike."""
    import polars as pl

    from imine.errors import FormatError, NoRecordsError
    from imine.records import read

    columns = dict(options.pair(item) for item in map or ())
    try:
        frame = read(path, turns=turns, format=format, map=columns)  # type: ignore[arg-type]
    except NoRecordsError:  # the selection rejected none
        return pl.DataFrame(schema=dict.fromkeys(("instruction", "output", "imine_reason"), pl.String))
    if "imine_reason" not in frame.columns:
        raise FormatError(f"{path}: has no column imine_reason; --rejected takes what imine select rejected")
    return frame
