"""``imine rules``: the rules known by name, and what they say."""

from __future__ import annotations

import typer

rules = typer.Typer(rich_markup_mode=None)


@rules.callback(invoke_without_command=True)
def listing(context: typer.Context) -> None:
    """List the rules known by name, or show one.

    Example: imine rules show instructmining-v1
    """
    if context.invoked_subcommand is not None:
        return
    from imine.rules import DEFAULT_RULE, list_rules

    rows = [("rule", "runs", "PRESS R2", "indicators", "from")]
    for entry in list_rules():
        rule = entry.rule
        held_out = "–" if rule.held_out is None else f"{rule.held_out.press_r2:.2f}"
        origin = rule.provenance.source or (
            f"study {rule.provenance.study}" if rule.provenance.study else "–"
        )
        mark = " (default)" if entry.name == DEFAULT_RULE else ""
        rows.append(
            (entry.name + mark, str(rule.n_runs or "–"), held_out, ", ".join(rule.indicators), origin)
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@rules.command()
def show(
    rule: str = typer.Argument(help="Name or file of a rule.", metavar="RULE"),
    as_json: bool = typer.Option(False, "--json", help="Print the rule's file instead of its table."),
) -> None:
    """Show a rule: coefficients, errors, verdict, notes.

    Example: imine rules show rule.json
    """
    from imine._cli._rule_table import print_table
    from imine.rules import load_rule, rule_table

    found = load_rule(rule)
    if as_json:
        typer.echo(found.to_json())
        return
    print_table(rule_table(found))
    for note in found.notes:
        typer.echo(f"Note: {note}")
    typer.echo(f"File: {found.path}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(rules, name="rules")
