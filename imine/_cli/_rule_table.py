"""A rule's table on the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from imine.rules import Rule, RuleTable


def print_rule(rule: Rule) -> None:
    """The rule's table, then what stands beside its coefficients."""
    from imine.rules import beside_text, rule_table

    print_table(rule_table(rule))
    beside = beside_text(rule)
    if beside:
        typer.echo(f"\n{beside}\n")


def print_table(table: RuleTable) -> None:
    """A ruled table on a terminal that is wide enough, aligned plain text elsewhere: no number is cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not sys.stdout.isatty():
        typer.echo(table.to_text())
        return
    if sum(table.widths) + 3 * len(table.widths) + 1 > console.width:
        typer.echo(table.to_text(console.width))
        return
    shown = Table(title=Text(table.title), title_justify="left")
    for column in table.columns:
        shown.add_column(Text(column), justify="left" if column in ("term", "unit") else "right")
    for row in table.rows:
        shown.add_row(*(Text(cell) for cell in row))
    console.print(shown)
    for line in table.footer:
        console.print(Text(line))
