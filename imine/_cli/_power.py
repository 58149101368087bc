"""``imine study power``: how many runs a study needs, from those of a pilot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from imine.errors import RegressionError

if TYPE_CHECKING:
    from imine.regression import Pilot, Plan


def power(
    runs: Path = typer.Argument(help="runs.parquet of a pilot study.", metavar="RUNS"),
    term: str = typer.Option(..., "--term", help="The indicator whose coefficient is to be found."),
    terms: str | None = typer.Option(
        None, help="All indicators of the planned rule, joined by commas. Default: every indicator in RUNS."
    ),
    width: float | None = typer.Option(None, "--width", help="Wanted width of the coefficient's interval."),
    share: float | None = typer.Option(
        None, "--power", help="Wanted share of studies that tell the coefficient from 0, e.g. 0.8."
    ),
    effect: float | None = typer.Option(
        None, "--effect", help="Coefficient to be found. Default: the pilot's."
    ),
    sizes: str | None = typer.Option(
        None, "--runs", help="Sizes to show, joined by commas. Default: 1, 2, 4 and 8 times the pilot."
    ),
    spreads: str = typer.Option(
        "1", "--spread", help="How much wider than in the pilot the subsets' means spread, e.g. 1,2."
    ),
    target: str = typer.Option("loss", help="Column whose logarithm is predicted."),
    level: float = typer.Option(0.95, min=0.5, max=0.9999, help="Confidence level of the interval."),
    seed: int = typer.Option(0, min=0, help="Of the simulation."),
) -> None:
    """Say how many runs give a coefficient of a wanted precision.

    Studies of several sizes are simulated with the spread, the coefficients and the noise of a pilot: in how many of
    them the coefficient differs from 0, and how wide its interval is. The terms count as fixed in advance.

    Example: imine study power pilot/runs.parquet --term mtld --power 0.8
    """
    from imine.regression import Pilot, power_curve
    from imine.regression.fitting import prepare_runs

    data = prepare_runs(runs, None if terms is None else _split(terms), target)
    factors = [_number(text, "--spread") for text in _split(spreads)]
    try:
        pilot = Pilot.from_runs(data.X, data.y, data.names)
        counts = [int(_number(text, "--runs")) for text in _split(sizes or "")]
        counts = counts or [len(data.y) * times for times in (1, 2, 4, 8)]
        curve = power_curve(pilot, term, counts, spreads=factors, effect=effect, level=level, seed=seed)
        wanted = _needed(pilot, term, width, share, effect, factors[0], level, seed)
    except ValueError as error:
        raise RegressionError(str(error)) from None
    typer.echo(_about(pilot, len(data.y), term, effect))
    typer.echo("\n".join(["", *_table(curve), *wanted]))


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RegressionError(f"{option} takes numbers joined by commas; got {text!r}") from None


def _about(pilot: Pilot, n_runs: int, term: str, effect: float | None) -> str:
    found = pilot.coefficients[pilot.names.index(term)]
    sought = "that one" if effect is None else f"{effect:.4g}"
    return (
        f"Pilot: {n_runs} runs, terms {', '.join(pilot.names)}, sigma {pilot.sigma:.4g} (df {pilot.df_sigma:g}); "
        f"it found {found:.4g} for {term}, sought is {sought}."
    )


def _table(curve: tuple[Plan, ...]) -> list[str]:
    from imine.rules.text import aligned

    columns = (
        "runs",
        "spread",
        "power",
        f"width of the {100 * curve[0].level:g} % interval",
        "90 % stay below",
    )
    rows = [
        (str(p.runs), f"{p.spread:g}", f"{p.power:.2f}", f"{p.width:.4g}", f"{p.width_high:.4g}")
        for p in curve
    ]
    return aligned(columns, rows)


def _needed(
    pilot: Pilot,
    term: str,
    width: float | None,
    share: float | None,
    effect: float | None,
    spread: float,
    level: float,
    seed: int,
) -> list[str]:
    """How many runs are needed, with the pilot's sigma and with its upper limit."""
    from imine.regression import runs_needed

    if width is None and share is None:
        return []
    found = [
        runs_needed(p, term, width=width, power=share, effect=effect, spread=spread, level=level, seed=seed)
        for p in (pilot, pilot.cautious())
    ]
    wanted = f"an interval no wider than {width:g}" if width is not None else f"a power of {share:g}"
    return [
        "",
        f"{found[0].runs} runs give {wanted}; {found[1].runs} if sigma is as large as its upper 80 % limit, which a "
        "small pilot makes likely.",
    ]
