"""``imine select``: the main job, from a pool to mined rows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imine._cli import _options as options
from imine.errors import SelectionError
from imine.progress import Progress, format_seconds

if TYPE_CHECKING:
    from imine.indicators.score import Scores
    from imine.records import RecordSet
    from imine.rules import Rule
    from imine.selection import Selection


def register(app: typer.Typer) -> None:
    app.command()(select)


def select(
    pools: options.Pools = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Mined rows; the suffix names the format.")] = Path(
        "mined.jsonl"
    ),
    rule: Annotated[str, typer.Option("--rule", help="Rule by name or file; imine rules lists them.")] = "",
    top: Annotated[int | None, typer.Option("--top", help="Keep so many rows.")] = None,
    fraction: Annotated[float | None, typer.Option("--fraction", help="Keep this share of the rows.")] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Keep rows with a predicted log loss of at most this.")
    ] = None,
    scores: Annotated[Path | None, typer.Option("--scores", help="Use this side-car instead of scoring.")] = None,
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Go on, with a stored warning, where scores and rule differ.")
    ] = False,
    sample: options.Sample = False,
    format: options.Format = "auto",
    map: options.Map = None,
    turns: options.Turns = "first",
    on_bad_row: options.OnBadRow = "fail",
) -> None:
    """Choose rows of a pool by a rule: mined rows, rejected rows with reasons, and a table of predictions.

    Example: imine select pool.jsonl --top 5000 -o mined.jsonl
    """
    from imine.indicators.score import Scores
    from imine.rules import DEFAULT_RULE, load_rule
    from imine.selection import Request, check_available
    from imine.selection import select as select_records

    Request(top, fraction, threshold)
    loaded = load_rule(rule or DEFAULT_RULE)
    given = Scores.read(scores) if scores else None
    check_available(loaded, given.frame.columns if given else ())
    _check_output(output)
    records, progress, reading = options.read_pools(
        pools, sample, format, map, turns, on_bad_row, options.beside(output, "bad", ".jsonl")
    )
    made = given or _score(records, loaded, progress)
    start = time.perf_counter()
    selection = select_records(
        records.frame, loaded, top=top, fraction=fraction, threshold=threshold, scores=made,
        allow_mismatch=allow_mismatch,
    )  # fmt: skip
    choosing = time.perf_counter() - start
    start = time.perf_counter()
    files = _write(records, selection, made, output, write_scores=given is None)
    stages = {"reading": reading} | made.timings | {"choosing": choosing, "writing": time.perf_counter() - start}
    _report(selection, loaded, made, records, files, stages)


def _check_output(output: Path) -> None:
    """An output that cannot be written is told before the work, not after it."""
    from imine.records.storage import target_container

    target_container(output)
    if not output.resolve().parent.is_dir():
        raise SelectionError(f"the folder of {output} does not exist; make it, or name another output")


def _score(records: RecordSet, rule: Rule, progress: Progress) -> Scores:
    from imine.indicators.score import score, settings_for_rule

    return score(records.frame, list(rule.indicators), settings=settings_for_rule(rule), progress=progress)


def _write(
    records: RecordSet, selection: Selection, scores: Scores, output: Path, *, write_scores: bool
) -> dict[str, Path]:
    assert selection.rejected is not None
    files = {
        "mined rows": output,
        "rejected rows": options.beside(output, "rejected"),
        "predictions": options.beside(output, "selection", ".parquet"),
    }
    records.write(files["mined rows"], selection.kept_ids)
    reasons = selection.rejected.select("id", "imine_reason")
    records.write(files["rejected rows"], selection.rejected_ids, extra=reasons)
    selection.write_table(files["predictions"])
    if write_scores:
        files["scores"] = options.beside(output, "scores", ".parquet")
        scores.write(files["scores"])
    return files


def _report(
    selection: Selection,
    rule: Rule,
    scores: Scores,
    records: RecordSet,
    files: dict[str, Path],
    stages: dict[str, float],
) -> None:
    from imine._cli._summary import show_selection

    show_selection(selection, rule, scores.frame, records.frame, files)
    total = sum(stages.values())
    typer.echo(
        "Time: "
        + ", ".join(f"{stage} {format_seconds(seconds)}" for stage, seconds in stages.items())
        + f"; together {format_seconds(total)}"
    )
