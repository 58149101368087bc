"""``imine study plan``: what a study takes, before it starts."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from imine.progress import LineProgress


def plan(
    file: Path = typer.Argument(help="The study file (TOML).", metavar="STUDY"),
    out: Path | None = typer.Option(
        None, "--out", help="Folder of the results, instead of the study file's."
    ),
    measure: bool = typer.Option(
        True,
        "--measure/--no-measure",
        help="Time a few steps of the base model here, where the ledger has no runs.",
    ),
    steps: int = typer.Option(2, min=1, help="Training steps to time."),
) -> None:
    """Say what a study takes before anything starts: runs, tokens, time, memory and disk.

    The design is drawn and tokenised as the study will do it; nothing is written. The time is that of the runs in the
    ledger, where there are some, else follows from a short measurement.

    Example: imine study plan study.toml
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from imine.study import load_study
    from imine.study.planning import plan_study

    found = plan_study(load_study(file), out=out, measure=measure, steps=steps, progress=LineProgress())
    typer.echo(found.summary())
