"""``imine study findings``: what the runs of a study show, as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typer

from imine.errors import RegressionError
from imine.files import replace_file
from imine.progress import LineProgress


def findings(
    runs: Path = typer.Argument(help="runs.parquet of a study.", metavar="RUNS"),
    output: Path | None = typer.Option(None, "-o", "--output", help="Markdown file. Default: the terminal."),
    design: Path | None = typer.Option(
        None, help="design.parquet of the study, to tell runs that repeat a subset by their rows."
    ),
    terms: str | None = typer.Option(None, help="Indicators, joined by commas. Default: every one in RUNS."),
    target: str = typer.Option("loss", help="Column whose logarithm is predicted."),
    choose: Literal["forward", "backward", "both", "best", "paper"] = typer.Option(
        "forward", help="How terms are chosen for the part after selection."
    ),
    criterion: Literal["p", "aic", "aicc", "bic", "adjusted_r2", "cv"] = typer.Option(
        "bic", help="What the choice goes by."
    ),
    shares: str = typer.Option("0,0.1,0.25,0.5", help="Shares of a pool by which runs are left out."),
    replicates: str | None = typer.Option(None, help="Column that labels runs that repeat a subset."),
    bootstrap: int = typer.Option(2000, min=0, help="Resamples of the choice; 0 for none."),
    permutations: int = typer.Option(0, min=0, help="Shuffles of the losses; 0 for no test."),
    level: float = typer.Option(0.95, min=0.5, max=0.9999, help="Confidence level."),
    seed: int = typer.Option(0, min=0, help="Of folds, resamples and shuffles."),
) -> None:
    """Compute what the runs of a study show, with intervals, good or bad.

    Coefficients before and after selection, error on runs held out, pools left out, signs beside the published rules,
    spread of subset means and examples, evaluation sets compared, noise from repeats.

    Example: imine study findings study/runs.parquet -o findings.md
    """
    import polars as pl

    from imine.regression import ChoiceSettings
    from imine.study.findings import FindingsSettings, study_findings

    try:
        settings = FindingsSettings(
            terms=None if terms is None else tuple(t.strip() for t in terms.split(",") if t.strip()),
            target=target,
            choose=ChoiceSettings(choose, criterion),
            shares=tuple(float(part) for part in shares.split(",")),
            replicates=replicates,
            bootstrap=bootstrap,
            permutations=permutations,
            level=level,
            seed=seed,
        )
    except ValueError as error:
        raise RegressionError(str(error)) from None
    if design is not None and not design.is_file():
        raise RegressionError(f"{design}: no such file; it should be the design.parquet of a study")
    rows = None if design is None else pl.read_parquet(design)
    text = study_findings(runs, settings, design=rows, progress=LineProgress()).markdown()
    if output is None:
        typer.echo(text)
        return
    replace_file(output, lambda beside: beside.write_text(text, encoding="utf-8"))
    typer.echo(f"Wrote {output}.")
