"""What the judges (reward, UniEval) share: rows that are kept with what was cut of them, scored in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from imine.indicators.batches import run_batches
from imine.indicators.cache import ScoreStore
from imine.progress import Progress

STORED = pl.Struct({"score": pl.Float64, "cut": pl.Int64})
"""What the store keeps of a row: its score, and how many of its tokens were cut."""

# Padded tokens a batch.
_BATCH_TOKENS = {"cpu": 4096, "cuda": 32768}


@dataclass(frozen=True, slots=True)
class JudgeInput:
    """One row as a judge sees it.

    Attributes:
        ids: token ids, special tokens included.
        types: token type ids, where the tokenizer gives them.
        cut: tokens that did not fit.
        why: reason why there is no score, else ``None``; then the rest is empty.
    """

    ids: list[int]
    types: list[int] | None = None
    cut: int = 0
    why: str | None = None


def open_store(kind: str, fingerprint: dict[str, Any], on_disk: bool) -> ScoreStore:
    """The store of a judge's scores.

    Args:
        kind: the indicator's name.
        fingerprint: what makes its values.
        on_disk: whether it is kept between runs.
    """
    return ScoreStore(kind, fingerprint, STORED, on_disk)


def judge_rows(
    inputs: Sequence[JudgeInput],
    keys: Sequence[str],
    judge: Callable[[list[JudgeInput]], Any],
    *,
    kind: str,
    device: str,
    store: ScoreStore,
    progress: Progress,
) -> None:
    """Score rows and put them into the store, the longest first.

    Args:
        inputs: the rows.
        keys: content key of each.
        judge: gives the scores of a batch, a tensor (rows,).
        kind: the indicator's name, for the progress.
        device: type of the device it runs on, ``cpu`` or ``cuda``.
        store: where finished rows are kept; a row that memory did not suffice for is not kept on disk.
        progress: told of the tokens done.
    """
    progress.start(kind, sum(len(one.ids) for one in inputs), "tokens")
    with store:
        for key, one in zip(keys, inputs, strict=True):
            if one.why:
                store.add(key, {"score": None, "cut": 0}, one.why)
        at = [i for i, one in enumerate(inputs) if not one.why]
        lengths = [len(inputs[i].ids) for i in at]
        budget = _BATCH_TOKENS.get(device, _BATCH_TOKENS["cpu"])
        batches = run_batches(
            lengths, lambda rows: judge([inputs[at[k]] for k in rows]), max_tokens=budget, progress=progress
        )
        for batch in batches:
            rows = [at[k] for k in batch.rows]
            if batch.why:
                # Another machine, or this one at another time, may have the memory: say so, and do not keep it.
                store.values[keys[rows[0]]] = ({"score": None, "cut": 0}, batch.why)
            else:
                _keep(
                    store,
                    [keys[i] for i in rows],
                    batch.values.double().tolist(),
                    [inputs[i].cut for i in rows],
                )
            progress.advance(sum(lengths[k] for k in batch.rows))
    progress.finish()


def _keep(store: ScoreStore, keys: list[str], scores: list[float], cuts: list[int]) -> None:
    for key, score, cut in zip(keys, scores, cuts, strict=True):
        if math.isfinite(score):
            store.add(key, {"score": score, "cut": cut})
        else:
            store.add(key, {"score": None, "cut": cut}, "the model's score is not a finite number")


def judged_column(
    store: ScoreStore, keys: Sequence[str], kind: str, max_tokens: int, progress: Progress
) -> pl.DataFrame:
    """The scores of these keys, and a note of how many rows were cut.

    Args:
        store: has all of them.
        keys: content key of each row.
        kind: the indicator's name, for the note.
        max_tokens: longest text that the model saw, for the note.
        progress: told how many rows were cut.

    Returns:
        One row a key: ``value`` (Float64), ``why`` (String), and ``cut`` (Int64), how many tokens did not fit.
    """
    column = store.column(keys).unnest("value")
    cut = column.filter(pl.col("cut") > 0)["cut"]
    if cut.len():
        median = float(np.median(cut))
        progress.note(
            f"{kind}: {cut.len():,} of {column.height:,} rows were longer than {max_tokens:,} tokens and were cut, "
            f"by {median:,.0f} tokens in the median"
        )
    return column.select(value="score", why="why", cut="cut")


def padded(rows: Sequence[JudgeInput], pad_id: int, device: Any) -> dict[str, Any]:
    """Rows as tensors (rows, width), padded on the right, with the mask that says so.

    Args:
        rows: at least one row.
        pad_id: token for the padding.
        device: where the tensors go.

    Examples:
        >>> padded([JudgeInput([5, 6]), JudgeInput([7])], 0, "cpu")["attention_mask"].tolist()
        [[1, 1], [1, 0]]
    """
    import torch

    width = max(len(row.ids) for row in rows)
    batch = {
        "input_ids": [row.ids + [pad_id] * (width - len(row.ids)) for row in rows],
        "attention_mask": [[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows],
    }
    if rows[0].types is not None:
        batch["token_type_ids"] = [(row.types or []) + [0] * (width - len(row.types or ())) for row in rows]
    return {name: torch.tensor(values, device=device) for name, values in batch.items()}
