"""``imine fit``: from finished runs to a rule."""

from __future__ import annotations

from pathlib import Path

import typer


def fit(
    runs: Path = typer.Argument(help="runs.parquet of a study.", metavar="RUNS"),
    output: Path = typer.Option(..., "-o", "--output", help="The rule's file to write (JSON)."),
    terms: str | None = typer.Option(
        None, help="Indicators to regress on, joined by commas. Default: every indicator in RUNS."
    ),
    target: str = typer.Option("loss", help="Column whose logarithm is predicted."),
    name: str | None = typer.Option(None, help="Name of the rule. Default: that of the study."),
    level: float = typer.Option(0.95, min=0.5, max=0.9999, help="Confidence level of the intervals."),
    drop_incomplete: bool = typer.Option(
        False, "--drop-incomplete", help="Leave out runs with missing values instead of refusing them."
    ),
) -> None:
    """Fit a rule: log loss on indicator means, by ordinary least squares.

    Prints the coefficients with their errors and what the rule predicts out of sample, and writes the rule.
    The reference.npz beside RUNS is copied beside the rule where a term needs it: a distance to neighbours.

    Example: imine fit study/runs.parquet -o rule.json --terms mtld,output_length
    """
    import imine
    from imine._cli._rule_table import print_table
    from imine.rules import rule_table

    wanted = None if terms is None else [term.strip() for term in terms.split(",") if term.strip()]
    rule = imine.fit(
        runs, terms=wanted, target=target, name=name, level=level, drop_incomplete=drop_incomplete
    )
    rule = rule.write(output)
    print_table(rule_table(rule))
    for note in rule.notes:
        typer.echo(f"Note: {note}")
    beside = f" and {rule.reference.file} beside it" if rule.reference else ""
    typer.echo(f"Wrote {output}{beside}.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="fit")(fit)
