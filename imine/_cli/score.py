"""``imine score``: scores of a pool into a side-car."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imine._cli import _neighbors as near
from imine._cli import _options as options

if TYPE_CHECKING:
    import polars as pl

    from imine.indicators.settings import ScoreSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(score)


def score(
    pools: options.Pools = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Side-car to write (parquet).")] = Path(
        "scores.parquet"
    ),
    indicators: Annotated[
        str, typer.Option("--indicators", help="Names or groups, by commas: lexical,tokens,perplexity,knn_6.")
    ] = "",
    rule: Annotated[str, typer.Option("--rule", help="Score what this rule needs, in its way.")] = "",
    model: Annotated[str, typer.Option("--model", help="Causal model: name or folder.")] = "",
    template: Annotated[
        str, typer.Option("--template", help="Prompt template: alpaca, plain, chatml, chat, or a Jinja file.")
    ] = "",
    reward_model: Annotated[str, typer.Option("--reward-model", help="Reward model: name or folder.")] = "",
    unieval_model: Annotated[
        str, typer.Option("--unieval-model", help="UniEval's dialogue evaluator: name or folder.")
    ] = "",
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", help="Longest prompt and response together.")
    ] = 0,
    dtype: Annotated[
        str, typer.Option("--dtype", help="Number type of the causal model: auto, float32 or bfloat16.")
    ] = "",
    devices: Annotated[
        str,
        typer.Option("--devices", help="Where models run, by commas: cuda:0,cuda:1 (a process each)."),
    ] = "",
    encoder: near.Encoder = "",
    neighbors: near.Neighbors = None,
    reference: near.Reference = None,
    cache: Annotated[
        bool, typer.Option(help="Keep scores of models on disk, so that a stopped run goes on.")
    ] = True,
    sample: options.Sample = False,
    format: options.Format = "auto",
    map: options.Map = None,
    turns: options.Turns = "first",
    on_bad_row: options.OnBadRow = "fail",
) -> None:
    """Score a pool: one row an id, one column an indicator, a reason for every null.

    Example: imine score pool.jsonl -o scores.parquet --indicators lexical,tokens
    """
    import polars as pl

    from imine.errors import FormatError
    from imine.indicators.score import check_models, expand_indicators
    from imine.indicators.score import score as score_records
    from imine.records.storage import side_path

    names = [name.strip() for name in indicators.split(",") if name.strip()]
    if indicators and not names:
        raise FormatError(f"--indicators {indicators!r} names none; imine indicators lists them")
    changes: dict[str, str | int | tuple[str, ...]] = {
        "dtype": dtype,
        "devices": tuple(name.strip() for name in devices.split(",") if name.strip()),
        "model": model,
        "template": template,
        "max_tokens": max_tokens,
        "reward_model": reward_model,
        "unieval_model": unieval_model,
    }
    settings, wanted = _settings(rule, names, changes, cache)
    columns = expand_indicators(wanted)
    settings = near.with_neighbors(settings, neighbors, reference, encoder, columns)
    check_models(columns, settings)
    if output.suffix.lower() != ".parquet":
        raise FormatError(f"{output}: a side-car of scores is a parquet file; let its name end in .parquet")
    bad_rows = side_path(output, "bad", ".jsonl")
    reference_set = side_path(output, "reference", ".npz")
    options.check_outputs([output, bad_rows], pools, sample, [reference])
    records, progress, reading = options.read_pools(pools, sample, format, map, turns, on_bad_row, bad_rows)
    settings = near.with_reference(settings, reference, reference_set, progress)
    scores = score_records(records.frame, wanted, settings=settings, progress=progress)
    scores.write(output)
    typer.echo(f"{output}: {scores.frame.height:,} rows")
    width = max(len(name) for name in scores.indicators)
    for name in scores.indicators:
        column = scores.frame[name]
        mean, median = column.cast(pl.Float64).mean(), column.cast(pl.Float64).median()
        middle = (
            f"mean {mean:,.4g}, median {median:,.4g}"
            if isinstance(mean, float) and isinstance(median, float)
            else "no value"
        )
        cut = _cut(scores.frame, name)
        typer.echo(f"  {name:{width}}  {middle}, {column.null_count():,} null{cut}")
    stages = {"reading": reading} | scores.timings
    typer.echo(f"Time: {options.times(stages)}")


def _cut(frame: pl.DataFrame, name: str) -> str:
    """How many rows were cut before this indicator saw them, where it may cut any."""
    if f"{name}__cut" not in frame.columns:
        return ""
    return f", {(frame[f'{name}__cut'] > 0).sum():,} cut"


def _settings(
    rule: str, names: list[str], changes: dict[str, str | int | tuple[str, ...]], cache: bool
) -> tuple[ScoreSettings, list[str] | None]:
    from dataclasses import replace

    from imine.indicators.score import settings_for_rule
    from imine.indicators.settings import ScoreSettings
    from imine.rules import load_rule
    from imine.selection import check_available

    settings, wanted = ScoreSettings(), names or None
    if rule:
        loaded = load_rule(rule)
        check_available(loaded)
        settings, wanted = settings_for_rule(loaded), [*loaded.indicators, *names]
    given: dict[str, Any] = {name: value for name, value in changes.items() if value}
    return replace(settings, **given, cache=cache), wanted
