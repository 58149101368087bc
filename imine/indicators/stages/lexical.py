"""The stage ``lexical``: measures of words and characters, no model."""

from __future__ import annotations

from typing import Any

import polars as pl

from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.stage import Column, Stage
from imine.progress import Progress


def _run(records: pl.DataFrame, names: list[str], settings: ScoreSettings, _: Progress) -> dict[str, Column]:
    from imine.indicators.lexical import score_lexical

    scored = score_lexical(records, names)
    return {n: (scored.select(value=n, why=f"{n}__why"), _plan(n, settings)) for n in names}


def _plan(name: str, _: ScoreSettings) -> dict[str, Any]:
    from imine.indicators.lexical import lexical_fingerprint

    return lexical_fingerprint(name)


STAGE = Stage("lexical", _run, _plan)
