"""``imine study report``: the runs of a study in plots."""

from __future__ import annotations

from pathlib import Path

import typer

from imine.errors import StudyError
from imine.files import replace_file


def report(
    study: Path = typer.Argument(help="The study file (TOML), or its runs.parquet.", metavar="STUDY"),
    output: Path = typer.Option(..., "-o", "--output", help="HTML file to write."),
    terms: str | None = typer.Option(
        None, help="Indicators, joined by commas. Default: every one in the runs."
    ),
    target: str = typer.Option("loss", help="Column whose logarithm is predicted."),
    level: float = typer.Option(0.95, min=0.5, max=0.9999, help="Confidence level."),
    out: Path | None = typer.Option(
        None, "--out", help="Folder of the results, instead of the study file's."
    ),
) -> None:
    """Write a report of a study: one HTML file that needs no network.

    Loss against each indicator with its regression, residuals, loss by pool, repeats, evaluation sets.

    Example: imine study report study.toml -o report.html
    """
    from imine.report import study_report

    runs = _runs(study, out)
    chosen = None if terms is None else [name.strip() for name in terms.split(",") if name.strip()]
    text = study_report(runs, terms=chosen, target=target, level=level)
    replace_file(output, lambda beside: beside.write_text(text, encoding="utf-8"))
    typer.echo(f"Wrote {output}.")


def _runs(study: Path, out: Path | None) -> Path:
    if study.suffix != ".toml":
        return study
    from imine.study import load_study

    runs = (out or load_study(study).out) / "runs.parquet"
    if not runs.is_file():
        raise StudyError(f"there is no {runs} yet: imine study run {study} makes it")
    return runs
