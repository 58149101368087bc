"""``imine select``: the main job, from a pool to mined rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imine._cli import _choosing as choosing
from imine._cli import _neighbors as near
from imine._cli import _options as options
from imine.progress import format_seconds

if TYPE_CHECKING:
    from imine.indicators.score import Scores
    from imine.indicators.settings import ScoreSettings
    from imine.progress import Progress
    from imine.records import RecordSet
    from imine.rules import Rule
    from imine.selection import Request, Selection


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(select)


def select(
    pools: options.Pools = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Mined rows; the suffix names the format.")
    ] = Path("mined.jsonl"),
    rule: Annotated[str, typer.Option("--rule", help="Rule by name or file; imine rules lists them.")] = "",
    top: choosing.Top = None,
    fraction: choosing.Fraction = None,
    threshold: choosing.Threshold = None,
    tokens: choosing.Tokens = None,
    token_column: choosing.TokenColumn = None,
    by: choosing.By = "prediction",
    cannot_tell: choosing.CannotTell = None,
    band: choosing.Band = None,
    level: choosing.Level = None,
    quota: choosing.Quotas = None,
    duplicates: choosing.Duplicates = None,
    diversity: choosing.DiversityKind = None,
    diversity_weight: choosing.DiversityWeight = None,
    shortlist: choosing.Shortlist = None,
    thresholds: choosing.Thresholds = "",
    dry_run: choosing.DryRun = False,
    stability: choosing.StabilityRefits = None,
    runs: choosing.Runs = None,
    seed: choosing.Seed = None,
    exports: choosing.Exports = None,
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
    from imine._cli._summary import show_selection, show_thresholds
    from imine.exports import files_of
    from imine.indicators.score import Scores, check_models
    from imine.records.storage import resolve_paths, side_path, split_suffixes
    from imine.rules import DEFAULT_RULE, load_rule
    from imine.selection import Request, check_available, parse_quota
    from imine.selection import select as select_records
    from imine.selection.requests import TOKENS, RequestOptions

    choosing.check_needed("--tokens", tokens, {"--token-column": token_column})
    idle = {"--diversity-weight": diversity_weight, "--shortlist": shortlist}
    choosing.check_needed("--diversity", diversity, idle)
    choosing.check_needed("--stability", stability, {"--seed": seed, "--runs": runs})
    how = RequestOptions(
        top=top, fraction=fraction, threshold=threshold, tokens=tokens, token_column=token_column or TOKENS, by=by,
        cannot_tell=cannot_tell, band=band, level=level, quota=parse_quota(quota or ()), duplicates=duplicates,
        diversity=choosing.diversity_of(diversity, diversity_weight, shortlist),
    )  # fmt: skip
    request, lines = Request(**how), choosing.parse_thresholds(thresholds)
    loaded = load_rule(rule or DEFAULT_RULE)
    choosing.check_stability(stability, runs, seed or 0, loaded)
    given = Scores.read(scores) if scores else None
    check_available(loaded, given.frame.columns if given else ())
    settings = _settings(loaded, request, given is not None, neighbors, reference, encoder)
    if given is None:
        check_models(loaded.indicators, settings)
    files = _outputs(output, write_scores=given is None)
    targets = choosing.parse_exports(exports, output, list(files.values()))
    reference_set = side_path(output, "reference", ".npz")
    options.check_outputs(files.values(), pools, sample, [scores, loaded.path, reference, runs])
    options.check_outputs([path for name, path in targets if path.suffix in _FILES], pools, sample, [scores])
    inputs = resolve_paths(list(pools)) if pools else []
    options.check_kept(
        [file for name, path in targets for file in files_of(path, name, split_suffixes(output)[0])],
        [*inputs, scores, loaded.path, reference, runs],
    )
    records, progress, reading = options.read_pools(
        pools, sample, format, map, turns, on_bad_row, files["bad rows"]
    )
    if given is None:
        settings = near.with_reference(settings, reference, reference_set, progress)
    store = _Store(None if dry_run else files.get("scores"), progress)
    start = time.perf_counter()
    selection = select_records(
        records.frame, loaded, scores=given, allow_mismatch=allow_mismatch, settings=settings, progress=progress,
        after_scoring=store, **how,
    )  # fmt: skip
    assert selection.scores is not None
    scoring = selection.scores.timings
    stages = {"reading": reading} | scoring
    stages["choosing"] = time.perf_counter() - start - sum(scoring.values()) - store.seconds
    if stability is not None:
        selection = _with_stability(selection, stability, runs, seed or 0, progress)
    show_thresholds(selection, lines)
    start = time.perf_counter()
    if dry_run:
        files = {}
    else:
        _write(records, selection, files)
        files |= _export(selection, loaded, targets, split_suffixes(output)[0])
    stages["writing"] = time.perf_counter() - start + store.seconds
    if not records.bad_rows:
        files.pop("bad rows", None)
    show_selection(selection, loaded, records.frame, files)
    typer.echo(f"Time: {options.times(stages)}; together {format_seconds(sum(stages.values()))}")


_FILES = (".json", ".jsonl", ".parquet", ".gz", ".zst")


def _settings(
    rule: Rule, request: Request, scored: bool, neighbors: Any, reference: Path | None, encoder: str
) -> ScoreSettings:
    """How to score; where that is done already, how to embed."""
    from dataclasses import replace

    from imine.indicators.score import settings_for_rule

    settings = settings_for_rule(rule)
    if not scored and request.needs_embeddings and encoder:
        settings, encoder = replace(settings, encoder=encoder), ""
    if not scored:
        return near.with_neighbors(settings, neighbors, reference, encoder, rule.indicators)
    near.refuse_with_scores(neighbors, reference, "" if request.needs_embeddings else encoder)
    return replace(settings, encoder=encoder) if encoder else settings


def _outputs(output: Path, *, write_scores: bool) -> dict[str, Path]:
    from imine.records.storage import side_path

    files = {
        "mined rows": output,
        "rejected rows": side_path(output, "rejected"),
        "predictions": side_path(output, "selection", ".parquet"),
        "bad rows": side_path(output, "bad", ".jsonl"),
    }
    return files | {"scores": side_path(output, "scores", ".parquet")} if write_scores else files


@dataclass
class _Store:
    """Writes scores as soon as they are made: whatever fails later leaves them behind.

    Attributes:
        path: the file; ``None`` where nothing is written.
        progress: told of it.
        seconds: that the writing took.
    """

    path: Path | None
    progress: Progress
    seconds: float = 0.0

    def __call__(self, scores: Scores) -> None:
        if self.path is None:
            return
        start = time.perf_counter()
        scores.write(self.path)
        self.seconds = time.perf_counter() - start
        self.progress.note(f"{self.path}: the scores; --scores takes them again")


def _with_stability(
    selection: Selection, refits: int, runs: Path | None, seed: int, progress: Progress
) -> Selection:
    from dataclasses import replace

    from imine.selection import selection_stability

    if not selection.kept_count:
        nothing = "Without a kept row there is nothing whose stability could be told."
        return replace(selection, notes=(*selection.notes, nothing))
    found = selection_stability(selection, refits=refits, runs=runs, seed=seed, progress=progress)
    return replace(selection, stability=found)


def _write(records: RecordSet, selection: Selection, files: dict[str, Path]) -> None:
    import polars as pl

    # A row that was rejected once is kept now: its old reason would be untrue.
    kept = selection.table.filter("kept").select("id", pl.lit(None, dtype=pl.String).alias("imine_reason"))
    stale = "imine_reason" in records.frame.columns
    records.write(files["mined rows"], selection.kept_ids, extra=kept if stale else None)
    reasons = selection.table.filter(~pl.col("kept")).select("id", pl.col("reason").alias("imine_reason"))
    records.write(files["rejected rows"], selection.rejected_ids, extra=reasons)
    selection.write_table(files["predictions"])


def _export(selection: Selection, rule: Rule, targets: list[tuple[str, Path]], name: str) -> dict[str, Path]:
    from imine.exports import About, export

    about = About(name, lines=(
        f"Kept {selection.kept_count:,} of {selection.total:,} rows: {selection.request}.",
        f"By the rule {rule.name} (SHA-256 {rule.sha256}): {rule.formula}",
        *selection.notes,
    ))  # fmt: skip
    assert selection.kept is not None
    for format, path in targets:
        export(selection.kept, path, format, rejected=selection.rejected, about=about)
    return {f"as {format}": path for format, path in targets}
