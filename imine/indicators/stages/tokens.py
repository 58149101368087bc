"""The stage ``tokens``: lengths in tokens of the causal model."""

from __future__ import annotations

from typing import Any

import polars as pl

from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.stage import Column, Stage
from imine.progress import Progress


def _run(records: pl.DataFrame, names: list[str], settings: ScoreSettings, _: Progress) -> dict[str, Column]:
    from imine.indicators.models import load_fast_tokenizer
    from imine.indicators.tokens import count_tokens, prompt_text

    tokenizer = load_fast_tokenizer(settings.model)
    columns = {}
    for name in names:
        texts = prompt_text(records) if name == "input_length" else records["output"]
        values = pl.DataFrame({"value": count_tokens(texts, tokenizer)}).with_columns(
            why=pl.lit(None, pl.String)
        )
        columns[name] = (values, _plan(name, settings))
    return columns


def _plan(name: str, settings: ScoreSettings) -> dict[str, Any]:
    from imine.indicators.models import vocabulary_sha256
    from imine.indicators.tokens import length_fingerprint

    return length_fingerprint(name, settings.model, vocabulary_sha256(settings.model))


STAGE = Stage("tokens", _run, _plan, lambda settings: (settings.model,))
