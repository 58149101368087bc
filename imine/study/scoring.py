"""The indicators of the drawn rows, and the reference set of those that need one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from imine.columns import require_column
from imine.progress import Progress
from imine.study.config import Study
from imine.study.pools import seeded_order

if TYPE_CHECKING:
    from imine.indicators.settings import ScoreSettings


class ScoresLike(Protocol):
    """What a study needs of :class:`imine.Scores`."""

    @property
    def frame(self) -> pl.DataFrame:
        """``id`` and the indicator columns."""

    @property
    def fingerprints(self) -> dict[str, dict[str, Any]]:
        """What made each column."""

    def write(self, path: Path) -> Any:
        """Write the side-car parquet."""


Scorer = Callable[[pl.DataFrame], ScoresLike]


def draw_reference(study: Study, candidates: pl.DataFrame) -> pl.DataFrame:
    """The reference set of the nearest-neighbour indicators: a seeded draw from all candidates.

    Args:
        study: for the seed and ``design.reference_rows``.
        candidates: candidates of all pools.

    Returns:
        A records frame, in the order of the candidates.
    """
    order = seeded_order(candidates.height, study.config.seed, "reference")
    rows = sorted(order[: study.config.design.reference_rows])
    return candidates[rows].select("id", "source", "instruction", "input", "output")


def score_settings(study: Study) -> ScoreSettings:
    """How a study's rows are scored, without the reference set: its model, template, length and encoder."""
    from imine.indicators.settings import ScoreSettings

    recipe = study.config.finetune
    return ScoreSettings(
        model=study.resolve_model(recipe.model),
        template=recipe.template,
        max_tokens=recipe.max_tokens,
        encoder=study.resolve_model(study.config.indicators.encoder),
    )


def default_scorer(study: Study, candidates: pl.DataFrame, out: Path, progress: Progress) -> Scorer:
    """The scorer of a study: imine's own indicators with the study's model, template and reference set.

    The embeddings of the reference set are written to ``reference.npz`` in the folder of the results.

    Args:
        study: the study.
        candidates: candidates of all pools.
        out: folder of the results.
        progress: told of the scoring.
    """
    from imine.indicators.score import score
    from imine.indicators.stages.neighbors import make_reference

    names, settings = list(study.config.indicators.names), score_settings(study)
    if any(require_column(name).group == "neighbors" for name in names):
        rows = draw_reference(study, candidates)
        reference = make_reference(study.config.name, rows, settings, progress)
        reference.save(out / "reference.npz")
        settings = replace(settings, reference=reference)
    return lambda frame: score(frame, names, settings=settings, progress=progress)
