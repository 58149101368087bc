"""The stage ``unieval``: yes-or-no questions about the responses."""

from __future__ import annotations

import json
from functools import cache
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
    from imine.indicators.judging import open_store
    from imine.indicators.models import judge_dtype
    from imine.indicators.unieval import load_yes_judge, score_unieval

    keys = content_keys(records)
    load = cache(lambda: load_yes_judge(settings.unieval_model, judge_dtype()))
    columns = {}
    for name in names:
        fingerprint = _plan(name, settings)
        store = open_store(name, fingerprint, settings.cache)
        columns[name] = (
            score_unieval(records, keys, name, load, store=store, progress=progress),
            fingerprint,
        )
    return columns


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
