"""``imine compare``: does mined data beat random data, and what do other selectors do?"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imine.errors import StudyConfigError
from imine.progress import LineProgress, format_seconds

if TYPE_CHECKING:
    from imine.selection.comparison import Comparison

_Files = list[str] | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="A comparison file (TOML), or pools, as PATH or NAME=PATH."),
    ],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder of the results.")] = None,
    selectors: Annotated[
        str | None, typer.Option("--selectors", help="Names with commas; random among them.")
    ] = None,
    size: Annotated[
        _Files,
        typer.Option("--size", help="Rows, or so many average rows' tokens; repeatable or with commas."),
    ] = None,
    tokens: Annotated[_Files, typer.Option("--tokens", help="Budget in tokens, instead of --size.")] = None,
    unit: Annotated[
        str | None, typer.Option("--unit", help="What is equal: response_tokens, total_tokens or rows.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Finetunes of every selector and size.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Everything random follows from it.")] = None,
    draw_from: Annotated[
        str | None,
        typer.Option(
            "--draw-from", help="What a seed chooses from: 1 (the pool), a share such as 0.5, or parts."
        ),
    ] = None,
    rule: Annotated[str | None, typer.Option("--rule", help="Rule by name or file.")] = None,
    evaluate: Annotated[
        _Files, typer.Option("--evaluate", help="Set to judge by, as PATH or NAME=PATH. Repeatable.")
    ] = None,
    information: Annotated[
        _Files,
        typer.Option("--information", help="Set that is only shown, as PATH or NAME=PATH. Repeatable."),
    ] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", help="Candidates of every pool, a seeded draw.")
    ] = None,
    study: Annotated[Path | None, typer.Option("--study", help="Take the recipe of this study file.")] = None,
    set_key: Annotated[
        _Files, typer.Option("--set", help="A key of the recipe, e.g. --set epochs=2. Repeatable.")
    ] = None,
    allow_fitted_pool: Annotated[
        bool, typer.Option("--allow-fitted-pool", help="Go on, marked, where the rule was fitted on a pool.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Count runs, tokens and time, and stop.")] = False,
    rates: Annotated[
        str | None,
        typer.Option("--rates", help="With --plan: trained and evaluated tokens a second, e.g. 90,330."),
    ] = None,
) -> None:
    """Let selectors choose equal budgets, finetune on every choice, and compare with random choice.

    Options override the keys of a comparison file. Interrupted at any point, the same command goes on.

    Example: imine compare pool.jsonl --evaluate test.jsonl --rule rule.json --size 128,512 -o compared
    """
    # Threads of OpenMP otherwise spin while they wait, and on a shared machine keep each other from working.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from imine.rules import DEFAULT_RULE
    from imine.selection.comparison import Comparison, check_comparison
    from imine.selection.comparison import compare as run_comparison

    raw, path = _base(files)
    options = {
        "selectors": [name.strip() for name in selectors.split(",")] if selectors else None,
        "seeds": seeds,
        "seed": seed,
        "draw_from": draw_from if draw_from in (None, "parts") else _number(draw_from, "--draw-from"),
        "rule": _from_here(rule) if rule else None,
        "evaluation": _sets(evaluate, information) or None,
        "budget": _budget(size, tokens, unit, raw.get("budget", {})),
        "finetune": _recipe(study, set_key, raw.get("finetune", {})),
        "allow_fitted_pool": allow_fitted_pool or None,
    }
    raw |= {key: value for key, value in options.items() if value is not None}
    raw.setdefault("rule", DEFAULT_RULE)
    if rows:
        raw["pools"] = [pool | {"rows": rows} for pool in raw.get("pools", ())]
    comparison = Comparison(check_comparison(raw, str(path)), path)
    if plan:
        _show_plan(comparison, rates)
        return
    result = run_comparison(comparison, out=out, progress=LineProgress())
    for verdict in result.verdicts:
        typer.echo(verdict.text)
    typer.echo(
        f"wrote {out or comparison.out}: comparison.md, comparison.json, results.parquet, choices.parquet"
    )


def _base(files: list[str]) -> tuple[dict[str, Any], Path]:
    """The comparison file as it is, or one made of the pools that were named."""
    if len(files) == 1 and files[0].endswith(".toml"):
        path = Path(files[0])
        from imine.study.checked_toml import read_toml

        return read_toml(path, "comparison file", "docs/comparison.md has one"), path
    pools = [_file(item) for item in files]
    name = "-".join(pool["name"] for pool in pools)
    return {"name": name, "out": "compare-out", "pools": pools}, Path("command line")


def _file(item: str) -> dict[str, Any]:
    name, equals, path = item.partition("=")
    if not equals:
        name, path = re.sub(r"\W+", "_", Path(item).name.split(".")[0]).lower(), item
        name = name if name[:1].isalpha() else f"file_{name}"
    return {"name": name, "path": str(Path(path).resolve())}


def _sets(evaluate: _Files, information: _Files) -> list[dict[str, Any]]:
    judged = [_file(item) for item in evaluate or ()]
    return judged + [_file(item) | {"information": True} for item in information or ()]


def _from_here(rule: str) -> str:
    return str(Path(rule).resolve()) if Path(rule).exists() else rule


def _budget(size: _Files, tokens: _Files, unit: str | None, given: dict[str, Any]) -> dict[str, Any] | None:
    if not (size or tokens or unit):
        return None
    budget: dict[str, Any] = {key: given[key] for key in ("sizes", "tokens") if key in given}
    if size or tokens:
        budget = {}
    if size:
        budget["sizes"] = _whole(size, "--size")
    if tokens:
        budget["tokens"] = _whole(tokens, "--tokens")
    kept = unit or given.get("unit")
    return budget | ({"unit": kept} if kept else {})


def _whole(values: list[str], option: str) -> list[int]:
    numbers = [_number(part, option) for value in values for part in value.split(",")]
    if broken := [number for number in numbers if not number.is_integer()]:
        raise StudyConfigError(f"{option}: not a whole number: {broken[0]:g}")
    return [int(number) for number in numbers]


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise StudyConfigError(f"{option}: not a number: {text!r}") from None


def _recipe(study: Path | None, keys: _Files, given: dict[str, Any]) -> dict[str, Any] | None:
    if study is None and not keys:
        return None
    recipe = dict(given)
    if study is not None:
        from imine.study import load_study

        loaded = load_study(study)
        recipe = loaded.config.finetune.model_dump(exclude_unset=True)
        if "model" in recipe:
            model = loaded.resolve_model(recipe["model"])
            recipe["model"] = model if model == recipe["model"] else str(Path(model).resolve())
    for item in keys or ():
        key, equals, value = item.partition("=")
        if not equals:
            raise StudyConfigError(f"--set takes KEY=VALUE, e.g. epochs=2, not {item!r}")
        recipe[key] = value
    return _with_deepspeed_json(recipe)


def _with_deepspeed_json(recipe: dict[str, Any]) -> dict[str, Any]:
    from imine.study.checked_toml import with_deepspeed_json

    found: dict[str, Any] = with_deepspeed_json({"finetune": recipe}, Path("--set"))["finetune"]
    return found


def _show_plan(comparison: Comparison, rates: str | None) -> None:
    from imine.selection.comparison import plan_comparison

    plan = plan_comparison(comparison, LineProgress())
    rows = ", ".join(f"{name} {count:,}" for name, count in plan.candidates.items())
    typer.echo(f"candidates to score: {rows}")
    for budget in plan.budgets:
        typer.echo(f"budget of {budget.pool}: {budget.label}")
    typer.echo(
        f"{plan.runs} finetunes, some {plan.train_tokens:,} tokens trained, {plan.evaluate_tokens:,} evaluated"
    )
    if rates:
        numbers = _whole([rates], "--rates")
        if len(numbers) != 2 or min(numbers) < 1:
            raise StudyConfigError(f"--rates takes two numbers, e.g. 90,330, not {rates!r}")
        for workers in (1, 2):
            seconds = plan.seconds(numbers[0], numbers[1], workers)
            typer.echo(
                f"{workers} worker{'s' * (workers > 1)}: {format_seconds(seconds)}, without the scoring"
            )
