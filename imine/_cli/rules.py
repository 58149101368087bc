"""``imine rules``: the rules known by name, and what they say."""

from __future__ import annotations

from pathlib import Path

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
        if rule.held_out is not None and rule.choice is not None and rule.choice.saw_losses:
            held_out += " (terms chosen before)"
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
    from imine._cli._rule_table import print_rule
    from imine.rules import load_rule

    found = load_rule(rule)
    if as_json:
        typer.echo(found.to_json())
        return
    print_rule(found)
    for note in found.notes:
        typer.echo(f"Note: {note}")
    typer.echo(f"File: {found.path}")


@rules.command()
def card(
    rule: str = typer.Argument(help="Name or file of a rule.", metavar="RULE"),
    output: Path | None = typer.Option(None, "-o", "--output", help="Write it to this file instead."),
) -> None:
    """Print a rule's card in Markdown: what it is, how it was made, how far it can be trusted.

    Example: imine rules card rule.json -o rule.md
    """
    from imine.errors import RuleError
    from imine.files import replace_file
    from imine.rules import load_rule

    found = load_rule(rule)
    text = found.card()
    if output is None:
        typer.echo(text, nl=False)
        return
    if output.is_dir() or output.resolve() == found.path:
        raise RuleError(
            f"{output}: is {'a folder' if output.is_dir() else 'the rule itself'}; name another file"
        )
    replace_file(output, lambda beside: beside.write_text(text, encoding="utf-8"))
    typer.echo(f"Wrote {output}.")


@rules.command()
def diff(
    first: str = typer.Argument(help="Name or file of a rule.", metavar="RULE1"),
    second: str = typer.Argument(help="Name or file of another.", metavar="RULE2"),
    scores: Path | None = typer.Option(None, "--scores", help="Side-car of scores to choose from."),
    pool: list[str] | None = typer.Option(
        None, "--pool", help="Files of a pool to choose from, scored for each rule. Repeatable."
    ),
    top: int | None = typer.Option(None, "--top", min=1, help="Rows that each rule chooses."),
    allow_mismatch: bool = typer.Option(
        False, "--allow-mismatch", help="Go on, with a warning, where scores and a rule differ."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON for programs instead of the table."),
) -> None:
    """Compare two rules term by term in standard errors, and the sets that they choose.

    Example: imine rules diff old.json new.json --scores scores.parquet --top 1000
    """
    from imine.errors import SelectionError
    from imine.indicators.score import Scores
    from imine.progress import LineProgress
    from imine.records import read
    from imine.rules import compare_rules

    if scores is not None and pool:
        raise SelectionError("give --scores or --pool, not both")
    if (scores is not None or bool(pool)) != (top is not None):
        raise SelectionError("--top says how many rows each rule chooses; it goes with --scores or --pool")
    compared = compare_rules(
        first,
        second,
        scores=Scores.read(scores) if scores is not None else None,
        pool=read(pool) if pool else None,
        top=top,
        allow_mismatch=allow_mismatch,
        progress=LineProgress() if pool else None,
    )
    typer.echo(compared.to_json() if as_json else compared.to_text())


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(rules, name="rules")
