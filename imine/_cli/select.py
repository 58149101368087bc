"""``imine select``: the main job, from a pool to mined rows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imine._cli import _neighbors as near
from imine._cli import _options as options
from imine.progress import format_seconds

if TYPE_CHECKING:
    from imine.records import RecordSet
    from imine.selection import Selection


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(select)


def select(
    pools: options.Pools = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Mined rows; the suffix names the format.")
    ] = Path("mined.jsonl"),
    rule: Annotated[str, typer.Option("--rule", help="Rule by name or file; imine rules lists them.")] = "",
    top: Annotated[int | None, typer.Option("--top", help="Keep so many rows.")] = None,
    fraction: Annotated[
        float | None, typer.Option("--fraction", help="Keep this share of the rows with a prediction.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Keep rows with a predicted log loss of at most this.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", help="Use this side-car instead of scoring.")
    ] = None,
    allow_mismatch: Annotated[
        bool,
        typer.Option("--allow-mismatch", help="Go on, with a stored warning, where scores and rule differ."),
    ] = False,
    encoder: near.Encoder = "",
    neighbors: near.Neighbors = None,
    reference: near.Reference = None,
    sample: options.Sample = False,
    format: options.Format = "auto",
    map: options.Map = None,
    turns: options.Turns = "first",
    on_bad_row: options.OnBadRow = "fail",
) -> None:
    """Choose rows of a pool by a rule: mined rows, rejected rows with reasons, and a table of predictions.

    Example: imine select pool.jsonl --top 5000 -o mined.jsonl
    """
    from imine._cli._summary import show_selection
    from imine.indicators.score import Scores, check_models, settings_for_rule
    from imine.records.storage import side_path
    from imine.rules import DEFAULT_RULE, load_rule
    from imine.selection import Request, check_available
    from imine.selection import select as select_records

    Request(top, fraction, threshold)
    loaded = load_rule(rule or DEFAULT_RULE)
    given = Scores.read(scores) if scores else None
    check_available(loaded, given.frame.columns if given else ())
    settings = None
    if given is not None:
        near.refuse_with_scores(neighbors, reference, encoder)
    else:
        settings = near.with_neighbors(
            settings_for_rule(loaded), neighbors, reference, encoder, loaded.indicators
        )
        check_models(loaded.indicators, settings)
    files = _outputs(output, write_scores=given is None)
    reference_set = side_path(output, "reference", ".npz")
    options.check_outputs(files.values(), pools, sample, [scores, loaded.path, reference])
    records, progress, reading = options.read_pools(
        pools, sample, format, map, turns, on_bad_row, files["bad rows"]
    )
    if settings is not None:
        settings = near.with_reference(settings, reference, reference_set, progress)
    start = time.perf_counter()
    selection = select_records(
        records.frame, loaded, top=top, fraction=fraction, threshold=threshold, scores=given,
        allow_mismatch=allow_mismatch, settings=settings, progress=progress,
    )  # fmt: skip
    assert selection.scores is not None
    scoring = selection.scores.timings
    choosing = time.perf_counter() - start - sum(scoring.values())
    start = time.perf_counter()
    _write(records, selection, files)
    stages = {"reading": reading} | scoring | {"choosing": choosing, "writing": time.perf_counter() - start}
    if not records.bad_rows:
        del files["bad rows"]
    show_selection(selection, loaded, records.frame, files)
    typer.echo(f"Time: {options.times(stages)}; together {format_seconds(sum(stages.values()))}")


def _outputs(output: Path, *, write_scores: bool) -> dict[str, Path]:
    from imine.records.storage import side_path

    files = {
        "mined rows": output,
        "rejected rows": side_path(output, "rejected"),
        "predictions": side_path(output, "selection", ".parquet"),
        "bad rows": side_path(output, "bad", ".jsonl"),
    }
    return files | {"scores": side_path(output, "scores", ".parquet")} if write_scores else files


def _write(records: RecordSet, selection: Selection, files: dict[str, Path]) -> None:
    import polars as pl

    assert selection.scores is not None
    records.write(files["mined rows"], selection.kept_ids)
    reasons = selection.table.filter(~pl.col("kept")).select("id", pl.col("reason").alias("imine_reason"))
    records.write(files["rejected rows"], selection.rejected_ids, extra=reasons)
    selection.write_table(files["predictions"])
    if "scores" in files:
        selection.scores.write(files["scores"])
