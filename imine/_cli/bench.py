"""``imine bench``: how fast imine is on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_SLOWER = 1
_FAILED = 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)


def bench(
    select: Annotated[
        str, typer.Option("-k", help="Names wanted, as an expression: 'panel and not peers'.")
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="About a minute: small corpora, few rounds.")
    ] = False,
    peers: Annotated[
        bool, typer.Option("--peers", help="Also the other packages that are installed.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of parquet files; else ../shared/data, else the bundled sample."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder for the results (JSON, CSV); else benchmarks/results in a checkout, else imine-bench.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", help="A stored JSON file: exit 1 where something became slower."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0.0, help="Least relative change that counts in --compare.")
    ] = 0.1,
    show: Annotated[
        Path | None, typer.Option("--show", help="Take this stored JSON file instead of running.")
    ] = None,
    benchmarks: Annotated[
        Path | None, typer.Option("--benchmarks", help="Folder of benchmarks, instead of imine's own.")
    ] = None,
) -> None:
    """Measure imine on this machine, each part beside a named baseline of the same run.

    Ends with 1 where --compare found something slower beyond the noise, with 2 where a benchmark failed.

    Example: imine bench --quick -k panel
    """
    from imine import bench as measuring
    from imine.bench.locate import default_results

    earlier = None if compare is None else measuring.load_run(compare)
    if show is None:
        settings = measuring.BenchSettings(
            folder=benchmarks, select=select, quick=quick, peers=peers, data=data
        )
        run = measuring.run_benchmarks(settings)
    else:
        run = measuring.load_run(show)
    typer.echo(measuring.run_text(run))
    if show is None and (run.measured or run.figures):
        for path in run.write(output or default_results()):
            typer.echo(f"stored: {path}")
    if earlier is not None:
        found = measuring.compare(earlier, run, tolerance)
        typer.echo("\n" + measuring.comparison_text(found, tolerance))
        if found.slower and not run.failed:
            raise typer.Exit(_SLOWER)
    if run.failed:
        raise typer.Exit(_FAILED)
