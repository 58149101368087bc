"""Options of ``imine generate`` and ``imine judge``: how answers are generated, and who judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from imine.errors import SettingsError

if TYPE_CHECKING:
    import polars as pl

    from imine.judging import GenerateSettings, Judge

Template = Annotated[
    str,
    typer.Option(
        "--template",
        help="Prompt template: alpaca, plain, chatml, chat, a Jinja file; by default that of the finetuning.",
    ),
]
MaxNewTokens = Annotated[int, typer.Option("--max-new-tokens", help="Most tokens of an answer.")]
MaxPromptTokens = Annotated[
    int, typer.Option("--max-prompt-tokens", help="Longest prompt; a longer one keeps its end.")
]
Temperature = Annotated[
    float, typer.Option("--temperature", help="0 for the likeliest token always; else tokens are drawn.")
]
TopP = Annotated[
    float, typer.Option("--top-p", help="Draw among the likeliest tokens of this probability together.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of the draws and of --rows.")]
Dtype = Annotated[str, typer.Option("--dtype", help="Number type of the models: auto, float32 or bfloat16.")]
Base = Annotated[str, typer.Option("--base", help="Base model of a LoRA folder, where it names none here.")]
Cache = Annotated[bool, typer.Option(help="Keep answers on disk, so that a stopped run goes on.")]
Rows = Annotated[int, typer.Option("--rows", help="So many prompts, drawn with the seed; 0 for all.")]

JudgeUrl = Annotated[
    str,
    typer.Option("--judge-url", help="Endpoint of OpenAI's chat completions, e.g. http://localhost:8000/v1."),
]
JudgeModel = Annotated[
    str,
    typer.Option(
        "--judge-model", help="Its model there; without --judge-url a causal model, name or folder."
    ),
]
JudgeKeyEnv = Annotated[
    str,
    typer.Option("--judge-key-env", help="Environment variable with the key; none is sent where not set."),
]
JudgeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--judge-option", help="A further field of the request, NAME=JSON; null takes it out. Repeatable."
    ),
]
JudgeHow = Annotated[
    Literal["likelihood", "text"],
    typer.Option(
        "--judge-how", help="Local judge: likelihood of a letter, or reasons and a verdict as text."
    ),
]
JudgeTemplate = Annotated[
    str,
    typer.Option("--judge-template", help="Local judge: layout of the question; chat is the tokenizer's."),
]
LeastMass = Annotated[
    float,
    typer.Option(
        "--least-mass", help="Local judge: least probability of the letters together for a verdict."
    ),
]
Concurrency = Annotated[int, typer.Option("--concurrency", help="Requests under way at a time.")]
PerMinute = Annotated[float, typer.Option("--per-minute", help="Most requests a minute; 0 for no limit.")]
Attempts = Annotated[int, typer.Option("--attempts", help="Most requests for one question.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds that the endpoint may be silent.")]


def generation(
    template: str,
    max_new_tokens: int,
    max_prompt_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    dtype: str,
    base: str,
    cache: bool,
) -> GenerateSettings:
    """The settings of generation.

    Raises:
        SettingsError: a value that is not allowed.
    """
    from imine.judging import Decoding, GenerateSettings

    decoding = Decoding(max_new_tokens, temperature, top_p, seed)
    return GenerateSettings(template, max_prompt_tokens, decoding, dtype, base, cache)


def judge_of(
    url: str, model: str, endpoint: dict[str, Any], given: list[str] | None, local: dict[str, Any]
) -> Judge:
    """The judge that was asked for.

    Args:
        url, model: where it is.
        endpoint: further settings of an endpoint.
        given: further fields of a request, ``NAME=JSON``.
        local: further settings of a model in this process.

    Raises:
        SettingsError: no judge is named, or a value is not allowed.
        ModelNotFoundError: a local model is not there.
    """
    from imine.judging import EndpointJudge, EndpointSettings, LocalJudge, LocalSettings

    if not model:
        raise SettingsError(
            "name a judge: --judge-url URL --judge-model NAME for an endpoint, or --judge-model FOLDER alone for a "
            "causal model in this process"
        )
    if not url:
        if given:
            raise SettingsError("--judge-option is for an endpoint; name one with --judge-url")
        return LocalJudge(LocalSettings(model, **local))
    options = dict(_option(item) for item in given or ())
    return EndpointJudge(EndpointSettings(url, model, options=options, **endpoint))


def _option(item: str) -> tuple[str, Any]:
    name, equals, text = item.partition("=")
    try:
        return (name, json.loads(text)) if equals and name else _refuse(item)
    except ValueError:
        return _refuse(item)


def _refuse(item: str) -> tuple[str, Any]:
    raise SettingsError(f"--judge-option takes NAME=JSON, e.g. temperature=null or seed=1, not {item!r}")


def some_rows(records: pl.DataFrame, rows: int, seed: int) -> pl.DataFrame:
    """So many rows, drawn with the seed; all where ``rows`` is 0 or more than there are.

    Raises:
        SettingsError: ``rows`` is negative.
    """
    from imine.study.pools import seeded_order

    if rows < 0:
        raise SettingsError(f"--rows must not be negative, and is {rows}")
    if not rows or rows >= records.height:
        return records
    return records[sorted(seeded_order(records.height, seed, "judging")[:rows])]


def is_answers_file(side: str) -> bool:
    """Whether a side is a file of answers, as against a model."""
    return Path(side).is_file()
