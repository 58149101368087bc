"""``imine finetune``: train a model on a file of instruction data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imine._cli import _options as options
from imine._cli import _recipe_options as recipe

if TYPE_CHECKING:
    import polars as pl

    from imine.progress import Progress
    from imine.records import RecordSet


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(finetune)


def finetune(
    data: Annotated[
        list[str], typer.Argument(help="Files or globs: JSONL, JSON, CSV or Parquet, also .gz, .zst.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="New folder for the model, or the LoRA adapter.")
    ],
    evaluate: Annotated[
        list[Path] | None,
        typer.Option(
            "--evaluate",
            help="A file to evaluate on, before and after; read with --format and --map where they fit it, else by "
            "its own layout. Repeatable.",
        ),
    ] = None,
    study: Annotated[Path | None, typer.Option("--study", help="Take the recipe of this study file.")] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of the order of the examples and of torch.")
    ] = 0,
    model: recipe.Model = None,
    template: recipe.Template = None,
    max_tokens: recipe.MaxTokens = None,
    batch_size: recipe.BatchSize = None,
    micro_tokens: recipe.MicroTokens = None,
    epochs: recipe.Epochs = None,
    learning_rate: recipe.LearningRate = None,
    warmup: recipe.Warmup = None,
    schedule: recipe.Schedule = None,
    weight_decay: recipe.WeightDecay = None,
    clip: recipe.Clip = None,
    lora_rank: recipe.LoraRank = None,
    lora_alpha: recipe.LoraAlpha = None,
    lora_dropout: recipe.LoraDropout = None,
    lora_targets: recipe.LoraTargets = None,
    zero_stage: recipe.ZeroStage = None,
    offload: recipe.Offload = None,
    deepspeed: recipe.DeepSpeed = None,
    dtype: recipe.Dtype = None,
    threads: recipe.Threads = None,
    format: options.Format = "auto",
    map: options.Map = None,
    turns: options.Turns = "first",
    on_bad_row: options.OnBadRow = "fail",
) -> None:
    """Finetune a model on instruction data; under torchrun or deepspeed, on all their ranks.

    Example: imine finetune mined.jsonl --model smollm2-135m -o tuned --evaluate held_out.jsonl
    """
    given = {key: value for key, value in locals().items() if key in recipe.KEYS}
    # Threads of OpenMP otherwise spin while they wait, and on a shared machine keep each other from working.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from imine.progress import LineProgress
    from imine.records import read_records
    from imine.records.storage import resolve_paths
    from imine.study.finetune import check_new, finetune_records, launched_ranks

    settings = recipe.recipe(study, given)
    check_new(output)
    first = launched_ranks().first
    # Of several ranks one speaks and writes.
    say = LineProgress() if first else None
    files = resolve_paths(data)
    sets = _named(resolve_paths(evaluate)) if evaluate else {}
    bad, bad_of = _bad_rows_to(output, sets)
    options.check_kept([bad, *bad_of.values()], [*files, *sets.values()])
    mapping = dict(options.pair(item) for item in map or ())
    reading: dict[str, Any] = {"format": format, "map": mapping, "turns": turns, "on_bad_row": on_bad_row}
    records = _told(read_records(files, **reading), bad, say)
    record = finetune_records(
        records,
        output,
        settings,
        evaluation={
            name: _told(_read_evaluation(path, reading), bad_of[name], say) for name, path in sets.items()
        },
        seed=seed,
        content=_hashes([*files, *sets.values()]),
        progress=say,
    )
    if first:
        _tell(record, output)


def _named(files: list[Path]) -> dict[str, Path]:
    """Evaluation sets by the names of their files, without what follows the first point."""
    from imine.errors import FormatError

    names = [file.name.partition(".")[0] for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise FormatError(f"two evaluation files have the name {twice[0]}; rename one")
    return dict(zip(names, files, strict=True))


def _bad_rows_to(output: Path, sets: dict[str, Path]) -> tuple[Path, dict[str, Path]]:
    """Where bad rows are written: those of the data, and of each evaluation set."""
    from imine.records.storage import side_path

    beside = {name: side_path(output, f"bad-evaluation-{name}", ".jsonl") for name in sets}
    return side_path(output, "bad", ".jsonl"), beside


def _told(records: RecordSet, bad_rows_to: Path, say: Progress | None) -> pl.DataFrame:
    if say:
        options.tell_reading(records, bad_rows_to, say)
    return records.frame


def _read_evaluation(path: Path, reading: dict[str, Any]) -> RecordSet:
    """An evaluation file: as the data is read, where ``--format`` and ``--map`` fit it, else by its own layout.

    In this order, since of a file that has the mapped columns and others that imine knows, the mapped ones are meant.
    """
    from imine.errors import FormatError
    from imine.records import read_records

    own = reading | {"format": "auto", "map": {}}
    try:
        read_records(path, **reading | {"on_bad_row": "skip"})
    except FormatError as error:
        if reading == own:
            raise
        try:
            return read_records(path, **own)
        except FormatError:
            raise FormatError(
                f"{error}. An evaluation file is read with --format and --map, or by its own layout where they do not "
                "fit it; neither fits this one"
            ) from error
    return read_records(path, **reading)


def _hashes(files: list[Path]) -> dict[str, str]:
    """Content of the files by their names; where two have the same, by place and name."""
    from imine.files import sha256_of

    names = [file.name for file in files]
    return {
        file.name if names.count(file.name) == 1 else f"{place}/{file.name}": sha256_of(file)[:16]
        for place, file in enumerate(files, 1)
    }


def _tell(record: dict[str, Any], output: Path) -> None:
    from imine.progress import format_seconds

    kind = "adapter" if record["recipe"]["lora"] else "model"
    typer.echo(
        f"{output}: {kind} of {record['data']['rows']:,} rows, {record['steps']:,} steps, "
        f"{record['response_tokens']:,} response tokens, {format_seconds(record['seconds_train'])} of training on "
        f"{record['ranks']} rank{'s' if record['ranks'] > 1 else ''}"
    )
    for name, part in record["evaluation"].items():
        typer.echo(f"  {name}: loss {part['loss_before']:.4f} -> {part['loss']:.4f}")
