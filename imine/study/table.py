"""``runs.parquet``: one row a finished finetune, made from the ledger, the design and the scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from imine.files import replace_file


def subset_means(design: pl.DataFrame, scores: pl.DataFrame, indicators: Sequence[str]) -> pl.DataFrame:
    """Mean, standard deviation and count of each indicator over each subset.

    Args:
        design: ``run, id`` of every row of every subset.
        scores: ``id`` and the indicators, one row an id.
        indicators: names of the columns.

    Returns:
        One row a run, sorted: ``run``, and for each indicator its mean over the rows that have it under the
        plain name, ``<name>__sd`` (divisor n - 1; null where fewer than two have it) and ``<name>__n``.

    Examples:
        >>> design = pl.DataFrame({"run": [0, 0, 1], "id": ["a", "b", "a"]})
        >>> scores = pl.DataFrame({"id": ["a", "b"], "mtld": [60.0, 80.0]})
        >>> subset_means(design, scores, ["mtld"]).select("run", "mtld", "mtld__n").rows()
        [(0, 70.0, 2), (1, 60.0, 1)]
    """
    # Sums run in the subset's order: without it the last digit could change from one resume to the next.
    rows = design.join(scores, on="id", how="left", maintain_order="left")
    statistics = [
        statistic
        for name in indicators
        for statistic in (
            pl.col(name).cast(pl.Float64).mean().alias(name),
            pl.col(name).cast(pl.Float64).std().alias(f"{name}__sd"),
            pl.col(name).count().cast(pl.Int64).alias(f"{name}__n"),
        )
    ]
    return rows.group_by("run", maintain_order=True).agg(statistics).sort("run")


def run_row(record: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a run's record as one flat row; per-example sums stay in the ledger."""
    row: dict[str, float] = {
        "run_id": record["run"],
        "seed": record["seed"],
        "n_examples": record["n_examples"],
    }
    row |= {f"w_{pool}": weight for pool, weight in record["weights"].items()}
    row |= {f"rows_{pool}": count for pool, count in record["counts"].items()}
    row |= {"loss": record["loss"]}
    row |= {f"loss_{name}": part["loss"] for name, part in record["evaluation"].items()}
    row |= {"baseline_loss": baseline["loss"]}
    row |= {f"baseline_loss_{name}": part["loss"] for name, part in baseline["evaluation"].items()}
    row |= _accuracies(record, "") | _accuracies(baseline, "baseline_")
    row |= {"train_loss_first": record["train_losses"][0], "train_loss_last": record["train_losses"][-1]}
    row |= {key: record[key] for key in ("steps", "tokens", "response_tokens", "padded_tokens")}
    row |= {key: record[key] for key in ("seconds_train", "seconds_evaluate", "peak_rss_mb", "threads")}
    return row | {key: record[key] for key in ("peak_device_mb",) if key in record}


def _accuracies(record: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Accuracies of an evaluation; records of ledgers from before they were counted have none."""
    parts = {"": record} | {f"_{name}": part for name, part in record["evaluation"].items()}
    return {f"{prefix}accuracy{end}": part["accuracy"] for end, part in parts.items() if "accuracy" in part}


def runs_frame(
    runs: Mapping[int, Mapping[str, Any]],
    baseline: Mapping[str, Any],
    design: pl.DataFrame,
    scores: pl.DataFrame,
    indicators: Sequence[str],
    labels: Mapping[int, Mapping[str, int | str]] | None = None,
) -> pl.DataFrame:
    """The table of the finished runs, sorted by their number; numbers only, but for names of indicators.

    Args:
        runs: records of the ledger by run.
        baseline: record of the base model's evaluation.
        design: rows of every subset.
        scores: indicators of every row of the design.
        indicators: names of the indicators.
        labels: what else the design says of each run, further columns.
    """
    # All rows are read for the schema: an accuracy may be missing in the first ones.
    rows = pl.DataFrame(
        [run_row(runs[k], baseline) | dict((labels or {}).get(k, {})) for k in sorted(runs)],
        infer_schema_length=None,
    )
    rows = rows.with_columns(
        pl.col(name).exp().alias(name.replace("loss", "eval_perplexity", 1))
        for name in rows.columns
        if name.startswith(("loss", "baseline_loss"))
    )
    means = subset_means(design, scores, indicators)
    table = rows.join(means, left_on="run_id", right_on="run", how="left", maintain_order="left")
    head = ("run_id", "seed", "n_examples")
    return table.select(*head, *means.columns[1:], pl.exclude(*head, *means.columns[1:]))


def write_parquet(frame: pl.DataFrame, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write a table so that a reader sees the old file or the new one, never a part.

    Args:
        frame: the table.
        path: target.
        about: stored as JSON under the metadata key ``imine``.
    """
    metadata = None if about is None else {"imine": json.dumps(about, sort_keys=True)}
    replace_file(path, lambda beside: frame.write_parquet(beside, metadata=metadata))
