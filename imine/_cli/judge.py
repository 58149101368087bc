"""``imine judge``: have a judge compare the answers of two models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imine._cli import _judge_options as own
from imine._cli import _options as options

if TYPE_CHECKING:
    import polars as pl

    from imine.judging import Answers, GenerateSettings
    from imine.progress import Progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(judge)


def judge(
    pools: options.Pools = None,
    a: Annotated[
        str, typer.Option("--a", help="Model (name, folder, LoRA folder), or file of answers.")
    ] = "",
    b: Annotated[str, typer.Option("--b", help="What it is compared with, likewise.")] = "",
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")] = Path("judging"),
    judge_url: own.JudgeUrl = "",
    judge_model: own.JudgeModel = "",
    judge_key_env: own.JudgeKeyEnv = "IMINE_JUDGE_KEY",
    judge_option: own.JudgeOption = None,
    judge_how: own.JudgeHow = "likelihood",
    judge_template: own.JudgeTemplate = "chat",
    least_mass: own.LeastMass = 0.1,
    concurrency: own.Concurrency = 4,
    per_minute: own.PerMinute = 0.0,
    attempts: own.Attempts = 6,
    timeout: own.Timeout = 120.0,
    reference: Annotated[
        bool, typer.Option("--reference", help="Show the judge the file's own output as a reference answer.")
    ] = False,
    level: Annotated[float, typer.Option("--level", help="Confidence level of the interval.")] = 0.95,
    template: own.Template = "",
    max_new_tokens: own.MaxNewTokens = 256,
    max_prompt_tokens: own.MaxPromptTokens = 1024,
    temperature: own.Temperature = 0.0,
    top_p: own.TopP = 1.0,
    seed: own.Seed = 0,
    dtype: own.Dtype = "auto",
    base: own.Base = "",
    cache: own.Cache = True,
    rows: own.Rows = 0,
    sample: options.Sample = False,
    format: options.Format = "auto",
    map: options.Map = None,
    turns: options.Turns = "first",
    on_bad_row: options.OnBadRow = "fail",
) -> None:
    """Compare two models' answers to the prompts of an evaluation file, each pair in both orders.

    Stopped, the same command goes on: answers and judgements that are there are not made again.

    Example: imine judge eval.jsonl --a mined/ --b random/ --judge-url http://localhost:8000/v1 --judge-model big
    """
    from imine.errors import SettingsError
    from imine.judging import judge_answers

    if not a or not b:
        raise SettingsError("name two models or files of answers: --a and --b")
    if not 0 < level < 1:
        raise SettingsError(f"--level must be between 0 and 1, not {level}")
    settings = own.generation(
        template, max_new_tokens, max_prompt_tokens, temperature, top_p, seed, dtype, base, cache
    )
    chosen_judge = own.judge_of(
        judge_url,
        judge_model,
        {
            "key_variable": judge_key_env,
            "concurrency": concurrency,
            "per_minute": per_minute,
            "attempts": attempts,
            "timeout": timeout,
        },
        judge_option,
        {"how": judge_how, "template": judge_template, "least_mass": least_mass, "dtype": dtype},
    )
    _check(a, settings)
    _check(b, settings)
    output.mkdir(parents=True, exist_ok=True)
    bad_rows = output / "bad.jsonl"
    options.check_outputs([bad_rows], pools, sample)
    records, progress, _ = options.read_pools(pools, sample, format, map, turns, on_bad_row, bad_rows)
    chosen = own.some_rows(records.frame, rows, seed)
    one, other = (_answers(side, chosen, settings, progress) for side in (a, b))
    judging = judge_answers(
        chosen, one, other, chosen_judge, output, reference=reference, level=level, progress=progress
    )
    typer.echo(judging.summary(level))
    typer.echo(f"{output}: judgements.parquet, summary.json, transcripts.jsonl")


def _check(side: str, settings: GenerateSettings) -> None:
    from imine.judging import check_writer

    if not own.is_answers_file(side):
        check_writer(side, settings)


def _answers(side: str, records: pl.DataFrame, settings: GenerateSettings, progress: Progress) -> Answers:
    from imine.judging import generate_answers, read_answers

    if own.is_answers_file(side):
        return read_answers(side, records, progress)
    return generate_answers(records, side, settings, progress=progress)
