"""``imine indicators``: what can be computed."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("indicators")(indicators)


def indicators(
    name: str = typer.Argument(None, help="One indicator, to see its whole spec; or a group, to list it."),
) -> None:
    """List the indicators with one line each, or show the spec of one. A star marks what is scored by default.

    Example: imine indicators mtld
    """
    from imine.columns import COLUMNS, require_column
    from imine.columns.catalogue import facts, one_line
    from imine.columns.lexical import SIDES
    from imine.indicators.plugins import load_plugins
    from imine.indicators.score import expand_indicators

    load_plugins()
    if name is None or name in {spec.group for spec in COLUMNS.values()}:
        for spec in COLUMNS.values():
            if name in (None, spec.group):
                typer.echo(one_line(spec))
        if name in (None, "lexical"):
            typer.echo(
                "Lexical measures of the prompt or of both: input_mtld, both_mtld, ...; all: input_lexical."
            )
        return
    if name in {f"{side}_lexical" for side in SIDES}:
        for member in expand_indicators(name):
            typer.echo(one_line(require_column(member)))
        return
    spec = require_column(name)
    typer.echo(f"{spec.name}: {spec.doc}")
    for label, text in facts(spec):
        typer.echo(f"  {label:11} {text}")
