"""``imine doctor``: what is usable here."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor() -> None:
    """Show which models, devices, extras and indicators are usable here, and what to do about the others.

    Example: imine doctor
    """
    from imine.doctor import examine

    marks = {True: "yes", False: "no", None: ""}
    topic = ""
    for finding in examine():
        if finding.topic != topic:
            topic = finding.topic
            typer.echo(topic)
        typer.echo(f"  {finding.name:21} {marks[finding.usable]:3} {finding.about}")
