"""The stage ``unieval``: yes-or-no questions about the responses."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from imine.errors import ModelError
from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.stage import Column, Stage
from imine.progress import Progress
from imine.records import content_keys


def _run(
    records: pl.DataFrame, names: list[str], settings: ScoreSettings, progress: Progress
) -> dict[str, Column]:
    from imine.indicators.devices import find_devices
    from imine.indicators.judging import open_store
    from imine.indicators.models import judge_dtype
    from imine.indicators.unieval import score_unieval

    fingerprints = {name: _plan(name, settings) for name in names}
    columns = score_unieval(
        records,
        content_keys(records),
        {name: open_store(name, fingerprints[name], settings.cache) for name in names},
        model_name=settings.unieval_model,
        dtype=judge_dtype(),
        devices=settings.devices or find_devices(),
        progress=progress,
    )
    return {name: (columns[name], fingerprints[name]) for name in names}


def _plan(name: str, settings: ScoreSettings) -> dict[str, Any]:
    from imine.indicators.models import judge_dtype, model_path, model_sha256, tokenizer_sha256
    from imine.indicators.unieval import unieval_fingerprint

    weights = model_sha256(model_path(settings.unieval_model))
    tokenizer = tokenizer_sha256(settings.unieval_model)
    return unieval_fingerprint(name, settings.unieval_model, weights, tokenizer, judge_dtype())


def _check(settings: ScoreSettings) -> None:
    from imine.indicators.models import model_path, tokenizer_file

    config = json.loads((model_path(settings.unieval_model) / "config.json").read_text(encoding="utf-8"))
    if not config.get("is_encoder_decoder"):
        raise ModelError(
            f"{settings.unieval_model} is no encoder-decoder ({config.get('model_type')}); UniEval's evaluator is a T5"
        )
    tokenizer_file(settings.unieval_model)


STAGE = Stage("unieval", _run, _plan, lambda settings: (settings.unieval_model,), _check)
