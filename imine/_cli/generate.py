"""``imine generate``: answers of a model to the prompts of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imine._cli import _judge_options as own
from imine._cli import _options as options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(generate)


def generate(
    pools: options.Pools = None,
    model: Annotated[str, typer.Option("--model", help="Causal model: name, folder, or LoRA folder.")] = "",
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write (jsonl, json, csv, parquet).")
    ] = Path("answers.jsonl"),
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
    """Let a model answer the prompts of a file: id, instruction, input, and its answer as output.

    Stopped, the same command goes on. Prompts without an answer are left out of the file and counted.

    Example: imine generate eval.jsonl --model smollm2-135m -o answers.jsonl
    """
    import polars as pl

    from imine.errors import SettingsError
    from imine.judging import check_writer, generate_answers
    from imine.records import write
    from imine.records.storage import side_path

    if not model:
        raise SettingsError("name the model that answers: --model")
    settings = own.generation(
        template, max_new_tokens, max_prompt_tokens, temperature, top_p, seed, dtype, base, cache
    )
    check_writer(model, settings)
    bad_rows = side_path(output, "bad", ".jsonl")
    options.check_outputs([output, bad_rows], pools, sample)
    records, progress, _ = options.read_pools(pools, sample, format, map, turns, on_bad_row, bad_rows)
    chosen = own.some_rows(records.frame, rows, seed)
    answers = generate_answers(chosen, model, settings, progress=progress)
    made = chosen.select("id", "instruction", "input", output=answers.frame["answer"])
    write(made.filter(pl.col("output").is_not_null()), output)
    typer.echo(f"{output}: {made.height - answers.missing:,} answers to {made.height:,} prompts")
