"""Options of imine select that say how much is kept and by what."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from imine.rules import Rule
    from imine.selection import Diversity

Top = Annotated[int | None, typer.Option("--top", help="Keep so many rows.")]
Fraction = Annotated[
    float | None, typer.Option("--fraction", help="Keep this share of the rows with a prediction.")
]
Threshold = Annotated[
    float | None, typer.Option("--threshold", help="Keep rows with a predicted log loss of at most this.")
]
Tokens = Annotated[
    int | None, typer.Option("--tokens", help="Keep rows up to this many response tokens together.")
]
TokenColumn = Annotated[
    str | None,
    typer.Option("--token-column", help="Score column that --tokens counts by [output_length]."),
]
By = Annotated[
    Literal["prediction", "upper"],
    typer.Option("--by", help="Rank by the prediction or by the upper end of its interval."),
]
CannotTell = Annotated[
    Literal["keep", "drop"] | None,
    typer.Option("--cannot-tell", help="Keep or drop rows whose interval holds the threshold."),
]
Band = Annotated[
    float | None, typer.Option("--band", help="Half width of that band, instead of the interval.")
]
Level = Annotated[
    float | None,
    typer.Option("--level", help="Confidence level of the intervals; the rule's own by default."),
]
Quotas = Annotated[
    list[str] | None,
    typer.Option(
        "--quota",
        help="COLUMN:VALUE=MIN..MAX in rows or shares, e.g. source:alpaca=..30%. Repeatable; * is any value.",
    ),
]
Duplicates = Annotated[
    float | None,
    typer.Option(
        "--duplicates", help="Of rows that are alike from this cosine on, only the best can be kept."
    ),
]
DiversityKind = Annotated[
    Literal["facility-location", "k-center"] | None,
    typer.Option("--diversity", help="Trade predicted loss for rows unlike each other."),
]
DiversityWeight = Annotated[
    float | None,
    typer.Option("--diversity-weight", help="0 is the prediction alone, 1 diversity alone [0.5]."),
]
Shortlist = Annotated[
    int | None, typer.Option("--shortlist", help="Best rows that diversity looks at; four times those kept.")
]
Thresholds = Annotated[
    str,
    typer.Option("--thresholds", help="Log losses, by commas, for the table of how many each would keep."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be kept, and write nothing.")]
StabilityRefits = Annotated[
    int | None,
    typer.Option("--stability", help="Refits of the rule to see how the choice changes, e.g. 1000."),
]
Runs = Annotated[
    Path | None,
    typer.Option("--runs", help="Runs of the rule, to draw anew for --stability; else from its covariance."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Of the draws of --stability [0].")]
Exports = Annotated[
    list[str] | None,
    typer.Option(
        "--export",
        help="Also write as FORMAT[:PATH]: alpaca, sharegpt, messages, parquet, huggingface, llama-factory, axolotl.",
    ),
]


def diversity_of(kind: str | None, weight: float | None, shortlist: int | None) -> Diversity | None:
    """The diversity that the options ask for."""
    from imine.selection import Diversity

    if kind is None:
        return None
    return Diversity(kind, 0.5 if weight is None else weight, shortlist)  # type: ignore[arg-type]


def check_needed(needed: str, value: object, options: Mapping[str, object]) -> None:
    """Refuse options that would do nothing, where the one that they are for is not given.

    Args:
        needed: name of the option that the others are for.
        value: its value, ``None`` where it is not given.
        options: the others by name, likewise.

    Raises:
        SelectionError: names both.
    """
    from imine.errors import SelectionError

    idle = [option for option, given in options.items() if given is not None]
    if value is None and idle:
        raise SelectionError(f"{idle[0]} is for {needed}: give that too, or leave {idle[0]} out")


def check_stability(refits: int | None, runs: Path | None, seed: int, rule: Rule) -> None:
    """Refuse, before any work, options of the stability that make no sense or that the rule cannot serve.

    Raises:
        SelectionError: names them, or the runs do not determine the coefficients.
        RegressionError: the runs cannot be read, or lack a column of the rule.
    """
    from imine.errors import SelectionError
    from imine.selection.refits import run_refits

    if refits is not None and refits < 2:
        raise SelectionError(f"--stability must be at least 2; got {refits}")
    if runs is not None and not runs.is_file():
        raise SelectionError(f"{runs}: no such file; --runs takes the runs.parquet of a study")
    if refits is not None and runs is None and rule.covariance is None:
        raise SelectionError(
            f"rule {rule.name!r} has no covariance: --stability needs the runs it was fitted on, --runs runs.parquet"
        )
    if refits is not None and runs is not None:
        # What is wrong with runs shows when they are drawn and fitted: a moment, beside the scoring of a pool.
        run_refits(rule, runs, refits, seed)


def parse_thresholds(text: str) -> list[float] | None:
    """The thresholds of the table; ``None`` for its own.

    Raises:
        SelectionError: one is no number.
    """
    from imine.errors import SelectionError

    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise SelectionError(f"--thresholds takes numbers parted by commas, not {text!r}") from None
    if not all(map(math.isfinite, found)):
        raise SelectionError(f"--thresholds takes finite log losses, not {text!r}")
    return found or None


def parse_exports(items: list[str] | None, output: Path, taken: Iterable[Path]) -> list[tuple[str, Path]]:
    """Format and path of each export.

    Args:
        items: FORMAT or FORMAT:PATH.
        output: the mined rows, beside which an export without a path goes.
        taken: files that are written anyhow.

    Raises:
        FormatError: an unknown format, a path or a name that does not fit it, or one path twice.
    """
    from imine.errors import FormatError
    from imine.exports import check_export, default_path, files_of
    from imine.records.storage import same_file, split_suffixes

    wanted, written, title = [], list(taken), split_suffixes(output)[0]
    for item in items or ():
        name, _, path = item.partition(":")
        target = Path(path) if path else default_path(output, name)
        check_export(target, name, title)
        files = files_of(target, name, title)
        if twice := [file for file in files if any(same_file(file, other) for other in written)]:
            raise FormatError(f"--export {item}: {twice[0]} is written already; name another path")
        wanted.append((name, target))
        written += files
    return wanted
