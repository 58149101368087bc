"""``imine fit``: from finished runs to a rule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from imine._cli import _fit_options as options

if TYPE_CHECKING:
    from imine.regression import RunsFit


def fit(
    runs: Path = typer.Argument(help="runs.parquet of a study.", metavar="RUNS"),
    output: Path = typer.Option(..., "-o", "--output", help="The rule's file to write (JSON)."),
    terms: str | None = typer.Option(
        None,
        help="Indicators to regress on, or to choose among, joined by commas. Default: every indicator in RUNS.",
    ),
    choose: options.Choose = None,
    criterion: options.Criterion = None,
    force_in: options.ForceIn = None,
    force_out: options.ForceOut = None,
    max_terms: options.MaxTerms = None,
    validate: options.Validate = None,
    bootstrap: options.Bootstrap = 0,
    permutations: options.Permutations = 0,
    covariance: options.Covariance = "classical",
    cluster: options.Cluster = None,
    weights: options.Weights = None,
    target: str = typer.Option("loss", help="Column whose logarithm is predicted."),
    name: str | None = typer.Option(None, help="Name of the rule. Default: that of the study."),
    level: float = typer.Option(0.95, min=0.5, max=0.9999, help="Confidence level of the intervals."),
    seed: int = typer.Option(0, min=0, help="Of folds, splits, shuffles and resamples."),
    workers: int | None = typer.Option(None, min=1, help="Processes and threads; no result depends on it."),
    drop_incomplete: bool = typer.Option(
        False, "--drop-incomplete", help="Leave out runs with missing values instead of refusing them."
    ),
    trace: bool = typer.Option(False, "--trace", help="Print every candidate of every step of --choose."),
    diagnostics: bool = typer.Option(
        False, "--diagnostics", help="Print tests of the fit's assumptions and the runs that it hangs on."
    ),
    replicates: str | None = typer.Option(
        None,
        "--replicates",
        help="For --diagnostics: column with one label for runs that repeat a subset with other seeds.",
        metavar="COLUMN",
    ),
) -> None:
    """Fit a rule: log loss on indicator means, by ordinary least squares.

    Prints the coefficients with their errors and what the rule predicts out of sample, and writes the rule.
    With --choose the terms are chosen by the losses; the rule then holds, beside the usual intervals, those that take
    the choice into account, and its error on runs held out with the terms chosen anew.
    The reference.npz beside RUNS is copied beside the rule where a term needs it: a distance to neighbours.

    Example: imine fit study/runs.parquet -o rule.json --choose forward --criterion bic --bootstrap 2000
    """
    from imine.errors import RegressionError
    from imine.progress import LineProgress
    from imine.regression import fit_runs

    chosen = options.choice_settings(choose, criterion, force_in, force_out, max_terms)
    if trace and chosen is None:
        raise RegressionError("--trace shows how terms were chosen: give --choose too, e.g. --choose forward")
    settings = options.fit_settings(
        validate,
        covariance,
        cluster,
        terms=None if terms is None else options.names_of(terms),
        choose=chosen,
        bootstrap=bootstrap,
        permutations=permutations,
        weights=weights,
        target=target,
        name=name,
        level=level,
        seed=seed,
        workers=workers,
        drop_incomplete=drop_incomplete,
    )
    found = fit_runs(runs, settings, progress=LineProgress())
    rule = found.rule.write(output)
    _show(found, trace, diagnostics, replicates)
    beside = f" and {rule.reference.file} beside it" if rule.reference else ""
    typer.echo(f"Wrote {output}{beside}.")


def _show(found: RunsFit, trace: bool, diagnostics: bool, replicates: str | None) -> None:
    from imine._cli._rule_table import print_rule

    if trace and found.choice is not None:
        if found.choice.settings.method == "paper":
            typer.echo(f"{found.alone().table()}\n")
        typer.echo(f"{found.choice.table()}\n")
    print_rule(found.rule)
    if diagnostics or replicates is not None:
        typer.echo(f"\n{found.diagnose(replicates).summary()}\n")
    for note in found.rule.notes:
        typer.echo(f"Note: {note}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="fit")(fit)
