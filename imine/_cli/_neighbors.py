"""Options of the neighbours, which score and select share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from imine.indicators.settings import ScoreSettings
    from imine.progress import Progress

Neighbors = Annotated[
    Literal["exact", "nn-descent", "faiss"] | None,
    typer.Option("--neighbors", help="How neighbours are looked for; exact unless the rule says otherwise."),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        "--reference", help="Look for neighbours there: a reference set (.npz) or a pool, which is embedded."
    ),
]
Encoder = Annotated[
    str, typer.Option("--encoder", help="Sentence encoder of the neighbours: name or folder.")
]


def with_neighbors(
    settings: ScoreSettings, neighbors: Any, reference: Path | None, encoder: str, names: Sequence[str]
) -> ScoreSettings:
    """The settings with what the options say; a reference that is a pool is left to :func:`with_reference`.

    Raises:
        FormatError: the reference is not there, or none of the indicators ``names`` has to do with neighbours.
        RuleError: it is no reference set.
    """
    from imine.columns import require_column
    from imine.errors import FormatError
    from imine.indicators.neighbors import ReferenceSet

    given = _given(neighbors, reference, encoder)
    if given and not any(require_column(name).group == "neighbors" for name in names):
        raise FormatError(f"{given}: none of the indicators has to do with neighbours: {', '.join(names)}")
    if neighbors:
        settings = replace(settings, neighbors=neighbors)
    if encoder:
        settings = replace(settings, encoder=encoder)
    if reference is None:
        return settings
    if not reference.is_file():
        raise FormatError(f"{reference}: no such file; --reference takes a reference set (.npz) or a pool")
    if reference.suffix == ".npz":
        return replace(settings, reference=ReferenceSet.load(reference))
    return settings


def refuse_with_scores(neighbors: Any, reference: Path | None, encoder: str) -> None:
    """Refuse options of the scoring where scores are given.

    Raises:
        FormatError: names them.
    """
    from imine.errors import FormatError

    if given := _given(neighbors, reference, encoder):
        raise FormatError(f"{given}: with --scores nothing is scored; leave them out, or --scores")


def _given(neighbors: Any, reference: Path | None, encoder: str) -> str:
    options = {"--neighbors": neighbors, "--reference": reference, "--encoder": encoder}
    return ", ".join(name for name, value in options.items() if value)


def with_reference(
    settings: ScoreSettings, reference: Path | None, save_to: Path, progress: Progress
) -> ScoreSettings:
    """The settings with the reference set that a pool makes, which is saved, so that others can be scored by it."""
    if reference is None or reference.suffix == ".npz":
        return settings
    from imine.indicators.stages.neighbors import make_reference
    from imine.records import read_records

    records = read_records([str(reference)])
    for line in (*(decision.describe() for decision in records.decisions), *records.notes):
        progress.note(line)
    made = make_reference(reference.name, records.frame, settings, progress)
    made.save(save_to)
    progress.note(f"{save_to}: the reference set of {len(made.keys):,} examples; --reference takes it again")
    return replace(settings, reference=made)
