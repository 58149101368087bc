"""``imine search``: how many of the best rows to finetune on."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from imine.errors import SearchError
from imine.progress import LineProgress

if TYPE_CHECKING:
    from imine.search import SearchPlan

Text = list[str] | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(search)


def search(
    pools: Annotated[Text, typer.Argument(help="Files or globs of the pool; not with --config.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A search file (TOML); docs/search.md.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder of the results [search-out].")
    ] = None,
    rule: Annotated[str, typer.Option("--rule", help="Rule by name or file.")] = "",
    scores: Annotated[
        Path | None, typer.Option("--scores", help="Use this side-car instead of scoring.")
    ] = None,
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Go on, with a warning, where scores and rule differ.")
    ] = False,
    evaluate: Annotated[
        Text, typer.Option("--evaluate", help="Evaluation set, FILE or NAME=FILE. Repeatable.")
    ] = None,
    study: Annotated[
        Path | None, typer.Option("--study", help="Study file whose training recipe is used.")
    ] = None,
    min: Annotated[int | None, typer.Option("--min", help="Smallest size [512].")] = None,
    max: Annotated[int | None, typer.Option("--max", help="Largest size [all scored rows].")] = None,
    trials: Annotated[int | None, typer.Option("--trials", help="Sizes to try [12].")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="Finetunes a size and arm [3].")] = None,
    strategy: Annotated[
        Literal["blendsearch", "optuna", "grid"] | None,
        typer.Option("--strategy", help="Who proposes sizes [blendsearch]."),
    ] = None,
    search_on: Annotated[
        Text, typer.Option("--search-on", help="Evaluation set to search on [the first]. Repeatable.")
    ] = None,
    report_on: Annotated[
        Text, typer.Option("--report-on", help="Set to report on [all others]. Repeatable.")
    ] = None,
    token_budget: Annotated[
        int | None, typer.Option("--token-budget", help="Tokens that all trials may be trained on.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Everything random follows from it [0].")] = None,
    known: Annotated[
        Path | None, typer.Option("--known", help="Folder of another search: use its finetunes, begin there.")
    ] = None,
) -> None:
    """Search for the number of best rows to finetune on, beside as many random ones.

    Interrupted at any point, the same command goes on.

    Example: imine search pool.jsonl --evaluate held_out.jsonl --study study.toml -o sizes
    """
    # Threads of OpenMP otherwise spin while they wait, and on a shared machine keep each other from working.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from imine.search import run_search

    settings: dict[str, Any] = {
        "min": min,
        "max": max,
        "trials": trials,
        "seeds": seeds,
        "strategy": strategy,
    }
    settings |= {"search_on": search_on or None, "report_on": report_on or None, "token_budget": token_budget}
    given = {key: value for key, value in settings.items() if value is not None}
    files = {"rule": rule or None, "scores": scores, "study": study, "seed": seed}
    plan = _plan(pools, config, output, evaluate, files, allow_mismatch, given)
    outcome = run_search(plan, known=known, progress=LineProgress())
    typer.echo(outcome.summary())
    typer.echo(f"written: search.json, trials.parquet, curve.parquet, curve.svg in {plan.study.out}")


def _plan(
    pools: Text,
    config: Path | None,
    output: Path | None,
    evaluate: Text,
    files: dict[str, Any],
    allow_mismatch: bool,
    given: dict[str, Any],
) -> SearchPlan:
    from imine.records.storage import resolve_paths
    from imine.search import load_search, make_plan

    said = {key: value for key, value in files.items() if value is not None}
    allowed = {"allow_mismatch": True} if allow_mismatch else {}
    if config is not None:
        if pools or evaluate or said:
            raise SearchError(
                "with --config, files, rule and seed stand in that file; of the options only sizes, trials, seeds, "
                "strategy, sets, --token-budget, --allow-mismatch, --known and -o may be given beside it"
            )
        return load_search(config, out=output, **allowed, **given)
    if not pools:
        raise SearchError("name the files of a pool, or a search file with --config")
    raw = {
        "out": output or Path("search-out"),
        "pools": _named([str(path) for path in resolve_paths(pools)]),
        "evaluation": _named(evaluate or []),
        "search": given,
        **allowed,
        **said,
    }
    return make_plan(raw, Path("the options"))


def _named(files: list[str]) -> list[dict[str, str]]:
    """Names for files, those of their stems where none are given."""
    named = []
    for file in files:
        name, equals, path = file.partition("=")
        stem = re.sub(r"[^a-z0-9]+", "_", Path(file).name.split(".")[0].lower()).strip("_")
        named.append(
            {"name": name, "path": path}
            if equals
            else {"name": stem if stem[:1].isalpha() else f"set_{stem}", "path": file}
        )
    return named
