"""``imine check``: whether runs still give a rule, for continuous integration."""

from __future__ import annotations

import traceback
from pathlib import Path

import typer


def check(
    rule: str = typer.Argument(help="Name or file of the rule that is held.", metavar="RULE"),
    runs: Path = typer.Argument(help="runs.parquet to fit its terms on again.", metavar="RUNS"),
    rtol: float = typer.Option(1e-6, min=0.0, help="Allowed change as a share of the coefficient."),
    se: float = typer.Option(
        0.0, min=0.0, help="Allowed change in standard errors of the rule, added to that."
    ),
    drop_incomplete: bool = typer.Option(
        False, "--drop-incomplete", help="Leave out runs with missing values instead of refusing them."
    ),
    allow_mismatch: bool = typer.Option(
        False, "--allow-mismatch", help="Go on, with a note, where the runs were made in another way."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON for programs instead of the table."),
) -> None:
    """Fit a rule's terms again on runs and compare every coefficient.

    A coefficient agrees when its change is at most RTOL times the coefficient plus SE standard errors. The exit
    code is 0 when all agree, 1 when one does not, 2 when the check could not be made. The default tolerance is
    for the same runs; for runs made anew allow standard errors, e.g. --se 3.

    Example: imine check rule.json study/runs.parquet --se 3
    """
    import imine
    from imine.errors import ImineError

    try:
        found = imine.check_rule(
            rule, runs, rtol=rtol, se=se, drop_incomplete=drop_incomplete, allow_mismatch=allow_mismatch
        )
        typer.echo(found.to_json() if as_json else found.to_text())
    except (ImineError, OSError):
        raise
    except ValueError as error:
        typer.echo(f"imine: {error}", err=True)
    except Exception:
        # Python ends with 1 after an error that nobody caught, and 1 says that coefficients moved.
        traceback.print_exc()
    else:
        raise typer.Exit(0 if found.agrees else 1)
    raise typer.Exit(2)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="check")(check)
