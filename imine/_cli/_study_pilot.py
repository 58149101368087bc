"""``imine study pilot``: which training recipe tells pools apart best."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from imine.errors import StudyConfigError
from imine.progress import LineProgress


def pilot(
    file: Path = typer.Argument(help="The study file (TOML).", metavar="STUDY"),
    learning_rates: str | None = typer.Option(
        None, "--learning-rates", help="Rates to try, joined by commas."
    ),
    epochs: str | None = typer.Option(None, "--epochs", help="Numbers of epochs to try."),
    batch_sizes: str | None = typer.Option(None, "--batch-sizes", help="Batch sizes to try."),
    pools: str | None = typer.Option(None, "--pools", help="Pools to draw from. Default: all."),
    draws: int | None = typer.Option(None, "--draws", min=2, help="Subsets of each pool."),
    examples: int | None = typer.Option(None, "--examples", min=1, help="Examples of a subset."),
    level: float = typer.Option(0.95, min=0.5, max=0.9999, help="Confidence level."),
    out: Path | None = typer.Option(
        None, "--out", help="Folder of the results, instead of the study file's."
    ),
) -> None:
    """Pick a training recipe by the ratio of signal to noise.

    For every recipe of the grid in the study file's [pilot], which the options override, subsets of one pool each are
    trained on: how far do the pools lie apart, and how far do runs on one pool? Interrupted at any point, the same
    command goes on. The study file is not changed.

    Example: imine study pilot study.toml --learning-rates 5e-5,1e-4,2e-4 --draws 3
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from imine.study import load_study
    from imine.study.pilot import run_pilot

    study = load_study(file)
    given: dict[str, Any] = {
        "learning_rates": _numbers(learning_rates, float, "--learning-rates"),
        "epochs": _numbers(epochs, int, "--epochs"),
        "batch_sizes": _numbers(batch_sizes, int, "--batch-sizes"),
        "pools": None if pools is None else tuple(name.strip() for name in pools.split(",")),
        "draws": draws,
        "examples": examples,
    }
    wanted = study.config.pilot.model_copy(update={k: v for k, v in given.items() if v is not None})
    report = run_pilot(study, wanted, out=out, level=level, progress=LineProgress())
    typer.echo(report.summary())


def _numbers(text: str | None, kind: type[float] | type[int], option: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        found = tuple(kind(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) <= 0:
        raise StudyConfigError(f"{option} takes positive numbers joined by commas; got {text!r}")
    return found
