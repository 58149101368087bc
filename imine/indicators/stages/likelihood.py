"""The stage ``likelihood``: how likely a causal model finds the responses, given the prompt and alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl

from imine.errors import SettingsError
from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.stage import Column, Stage
from imine.progress import Progress
from imine.records import content_keys

if TYPE_CHECKING:
    from imine.indicators.likelihood import Given

# What each column is made of, and from what; "why" is the first of the reasons.
_PROMPT: tuple[Given, ...] = ("prompt",)
_ALONE: tuple[Given, ...] = ("nothing",)
_LOSS, _ALONE_LOSS = pl.col("prompt_loss"), pl.col("nothing_loss")
_COLUMNS: dict[str, tuple[tuple[Given, ...], pl.Expr]] = {
    "perplexity": (_PROMPT, _LOSS.exp()),
    "log_perplexity": (_PROMPT, _LOSS),
    "loss": (_PROMPT, _LOSS),
    "perplexity_alone": (_ALONE, _ALONE_LOSS.exp()),
    "log_perplexity_alone": (_ALONE, _ALONE_LOSS),
    "ifd": (_ALONE + _PROMPT, pl.when(_ALONE_LOSS > 0).then(_LOSS / _ALONE_LOSS)),
    "ifd_ppl": (_ALONE + _PROMPT, (_LOSS - _ALONE_LOSS).exp()),
    "response_tokens": (_PROMPT, pl.col("prompt_tokens")),
    "cut_tokens": (_PROMPT, pl.col("prompt_cut")),
}
# Counts, of a row without a loss too.
_COUNTS = ("response_tokens", "cut_tokens")
# The column whose fingerprint names the store.
_STORES: dict[Given, str] = {"prompt": "loss", "nothing": "log_perplexity_alone"}


def _run(
    records: pl.DataFrame, names: list[str], settings: ScoreSettings, progress: Progress
) -> dict[str, Column]:
    from imine.indicators.cache import ScoreStore
    from imine.indicators.likelihood import STORED, LossSettings, score_losses

    dtype = _dtype(settings)
    wanted = [given for given in _STORES if any(given in _COLUMNS[name][0] for name in names)]
    made = score_losses(
        records,
        content_keys(records),
        stores={
            given: ScoreStore(_STORES[given], _plan(_STORES[given], settings), STORED, settings.cache)
            for given in wanted
        },
        settings=LossSettings(
            settings.model, settings.prompt_template(), settings.max_tokens, dtype, settings.devices
        ),
        progress=progress,
    )
    table = pl.concat(
        [frame.rename({name: f"{given}_{name}" for name in frame.columns}) for given, frame in made.items()],
        how="horizontal",
    )
    return {name: (_column(name, table), _plan(name, settings)) for name in names}


def _column(name: str, table: pl.DataFrame) -> pl.DataFrame:
    given, value = _COLUMNS[name]
    if name in _COUNTS:
        return table.select(value=value, why=pl.lit(None, pl.String))
    why = pl.coalesce(pl.col(f"{one}_why") for one in given)
    frame = table.select(value=value, why=why, cut=pl.col(f"{given[0]}_cut"))
    certain = pl.col("value").is_null() & pl.col("why").is_null()
    return frame.with_columns(
        why=pl.when(certain).then(pl.lit("the response alone has a loss of 0")).otherwise("why")
    )


def _plan(name: str, settings: ScoreSettings) -> dict[str, Any]:
    from imine.indicators.likelihood import loss_fingerprint
    from imine.indicators.models import file_start_tokens, model_path, model_sha256, tokenizer_sha256

    weights = model_sha256(model_path(settings.model))
    tokenizer = tokenizer_sha256(settings.model)
    template = settings.prompt_template()
    return loss_fingerprint(
        name,
        settings.model,
        weights,
        tokenizer,
        template,
        settings.max_tokens,
        _dtype(settings),
        file_start_tokens(settings.model),
    )


def _dtype(settings: ScoreSettings) -> str:
    from imine.indicators.devices import choose_dtype

    return choose_dtype(settings.dtype, settings.devices)


def _check(settings: ScoreSettings) -> None:
    from imine.indicators.models import model_path

    settings.prompt_template().render("one", "two")
    config = json.loads((model_path(settings.model) / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    most = config.get("max_position_embeddings") or config.get("n_positions")
    if most and settings.max_tokens > most:
        raise SettingsError(
            f"max_tokens is {settings.max_tokens:,}, and the model {settings.model} has {most:,} positions"
        )


STAGE = Stage("likelihood", _run, _plan, lambda settings: (settings.model,), _check)
