"""The stage ``likelihood``: how likely a causal model finds the responses."""

from __future__ import annotations

from typing import Any

import polars as pl

from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.stage import Column, Stage
from imine.progress import Progress
from imine.records import content_keys


def _run(
    records: pl.DataFrame, names: list[str], settings: ScoreSettings, progress: Progress
) -> dict[str, Column]:
    from imine.indicators.cache import ScoreStore
    from imine.indicators.likelihood import score_perplexity

    fingerprint = _plan("perplexity", settings)
    perplexity = score_perplexity(
        records,
        content_keys(records),
        model_name=settings.model,
        template=settings.prompt_template(),
        max_tokens=settings.max_tokens,
        store=ScoreStore("perplexity", fingerprint, pl.Float64, settings.cache),
        progress=progress,
    )
    values = {"perplexity": perplexity, "log_perplexity": perplexity.with_columns(pl.col("value").log())}
    return {name: (values[name], _plan(name, settings)) for name in names}


def _plan(name: str, settings: ScoreSettings) -> dict[str, Any]:
    from imine.indicators.likelihood import perplexity_fingerprint
    from imine.indicators.models import model_path, model_sha256, tokenizer_sha256

    weights = model_sha256(model_path(settings.model))
    tokenizer = tokenizer_sha256(settings.model)
    return perplexity_fingerprint(
        name, settings.model, weights, tokenizer, settings.prompt_template(), settings.max_tokens
    )


STAGE = Stage("likelihood", _run, _plan, lambda settings: (settings.model,))
