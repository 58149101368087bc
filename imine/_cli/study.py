"""``imine study``: run a study, see how far it is, write an example of a study file, plan the next one."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from imine._cli._power import power
from imine._cli._study_findings import findings
from imine._cli._study_pilot import pilot
from imine._cli._study_plan import plan
from imine._cli._study_report import report
from imine.errors import StudyConfigError
from imine.progress import LineProgress, format_seconds

if TYPE_CHECKING:
    from imine.study import StudyStatus

_FILE = typer.Argument(help="The study file (TOML).", metavar="STUDY")
_OUT = typer.Option(None, "--out", help="Folder of the results, instead of the study file's.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    study = typer.Typer(
        help="Finetune on many designed subsets and tabulate what came of it.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    study.command()(plan)
    study.command()(pilot)
    study.command()(run)
    study.command()(status)
    study.command()(new)
    study.command()(power)
    study.command()(report)
    study.command()(findings)
    app.add_typer(study, name="study")


def run(
    file: Path = _FILE,
    out: Path | None = _OUT,
    workers: int | None = typer.Option(
        None, min=0, help="Processes that finetune, instead of the study file's; 0: none but this one."
    ),
) -> None:
    """Run what is left of a study.

    Interrupted at any point, the same command goes on with the first run that is not finished. Runs that failed
    are tried again. Ends with 1 where some failed.

    Example: imine study run study.toml
    """
    # Threads of OpenMP otherwise spin while they wait, and on a shared machine keep each other from working.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from imine.study import load_study, run_study

    progress = LineProgress()
    state = run_study(load_study(file), out=out, progress=progress, workers=workers)
    table = state.out / "runs.parquet"
    # Where no run is finished there is no table.
    typer.echo(f"{state.done} runs in {table}" if table.is_file() else f"no run is finished in {state.out}")
    if state.failed:
        _echo_failed(state)
        raise typer.Exit(1)
    typer.echo(f"next: imine fit {table} -o rule.json")


def status(file: Path = _FILE, out: Path | None = _OUT) -> None:
    """Say how far a study is.

    Example: imine study status study.toml
    """
    from imine.study import load_study, study_status

    state = study_status(load_study(file), out)
    typer.echo(f"{state.done} of {state.total} runs done in {state.out}")
    if state.seconds_a_run is not None and state.seconds_left is not None:
        left = format_seconds(state.seconds_left)
        typer.echo(f"{format_seconds(state.seconds_a_run)} a run, {left} left at this rate")
    for worker in state.running:
        typer.echo(f"worker {worker.worker} on {worker.device}: {worker.what} since {worker.since}")
    _echo_failed(state)
    if seconds := {stage: value for stage, value in state.device_seconds.items() if value}:
        said = ", ".join(f"{stage} {format_seconds(value)}" for stage, value in seconds.items())
        typer.echo(f"device time: {said}; together {format_seconds(sum(seconds.values()))}")
    if state.torn_bytes:
        typer.echo(f"the last record was cut off ({state.torn_bytes} bytes); it is made again")


def _echo_failed(state: StudyStatus) -> None:
    for run, reason in state.failed.items():
        typer.echo(f"run {run} failed: {reason}")
    if state.failed:
        typer.echo("imine study run tries them again")


def new(path: Path = typer.Argument(Path("study.toml"), help="File to write; it must not exist.")) -> None:
    """Write a commented example of a study file.

    Example: imine study new study.toml
    """
    text = resources.files("imine.study").joinpath("example.toml").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise StudyConfigError(f"{path} is there already; name another file") from None
    typer.echo(f"wrote {path}; put your files into it, then: imine study run {path}")
