"""The stage ``reward``: how a model of human preferences rates the responses."""

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
    from imine.indicators.devices import find_devices
    from imine.indicators.judging import open_store
    from imine.indicators.layouts import reward_layout
    from imine.indicators.models import model_path
    from imine.indicators.reward import score_reward

    fingerprint = _plan("reward", settings)
    column = score_reward(
        records,
        content_keys(records),
        model_name=settings.reward_model,
        layout=reward_layout(model_path(settings.reward_model)),
        dtype=fingerprint["dtype"],
        devices=settings.devices or find_devices(),
        store=open_store("reward", fingerprint, settings.cache),
        progress=progress,
    )
    return dict.fromkeys(names, (column, fingerprint))


def _plan(name: str, settings: ScoreSettings) -> dict[str, Any]:
    from imine.indicators.layouts import reward_layout
    from imine.indicators.models import judge_dtype, model_path, model_sha256, tokenizer_sha256
    from imine.indicators.reward import reward_fingerprint

    folder = model_path(settings.reward_model)
    return reward_fingerprint(
        settings.reward_model,
        model_sha256(folder),
        tokenizer_sha256(settings.reward_model),
        reward_layout(folder),
        judge_dtype(),
    )


def _check(settings: ScoreSettings) -> None:
    from imine.indicators.layouts import reward_layout
    from imine.indicators.models import model_path, tokenizer_file

    reward_layout(model_path(settings.reward_model))
    tokenizer_file(settings.reward_model)


STAGE = Stage("reward", _run, _plan, lambda settings: (settings.reward_model,), _check)
