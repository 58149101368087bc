"""What a stage of scoring is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from imine.indicators.settings import ScoreSettings
from imine.progress import Progress

# Values, one a row and in their order, as columns ``value`` and ``why``, and ``cut`` (Int64, tokens that were cut)
# where long examples may be cut; and the fingerprint.
Column = tuple[pl.DataFrame, dict[str, Any]]


def _none(_: ScoreSettings) -> tuple[str, ...]:
    return ()


def _nothing(_: ScoreSettings) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Stage:
    """How a group of indicators is computed.

    Attributes:
        name: the group, as in :class:`imine.columns.ColumnSpec`.
        run: from records, names of the group, settings and progress to a column for each name.
        plan: the fingerprint that :attr:`run` would give a name; what only the records tell may be left out.
        models: names or folders of the models that it loads, checked before any work.
        check: what else of the settings is to be checked before any work, once the models are there; it raises.
    """

    name: str
    run: Callable[[pl.DataFrame, list[str], ScoreSettings, Progress], dict[str, Column]]
    plan: Callable[[str, ScoreSettings], dict[str, Any]]
    models: Callable[[ScoreSettings], tuple[str, ...]] = _none
    check: Callable[[ScoreSettings], None] = _nothing
