"""``imine indicators``: what can be computed."""

from __future__ import annotations

import typer

from imine.columns import COLUMNS


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("indicators")(indicators)


def indicators(name: str = typer.Argument(None, help="One indicator, to see its whole spec.")) -> None:
    """List the indicators with one line each, or show the spec of one.

    Example: imine indicators mtld
    """
    from imine.indicators.score import expand_indicators

    if name is None:
        for spec in COLUMNS.values():
            typer.echo(f"{spec.name:17} {spec.group:11} {spec.unit:21} {spec.doc}")
        return
    for spec in (COLUMNS[n] for n in expand_indicators([name])):
        typer.echo(f"{spec.name}: {spec.doc}")
        typer.echo(f"  group       {spec.group}\n  type        {spec.dtype}\n  unit        {spec.unit}")
        typer.echo(
            f"  range       {spec.range()}\n  larger      {spec.direction}\n  definition  {spec.definition}"
        )
        typer.echo(f"  null when   {spec.null_when}\n  version     {spec.version}")
