"""What the judges (reward, UniEval) share: rows that are kept with what was cut of them, scored in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from imine.indicators.cache import ScoreStore
from imine.indicators.spread import Compute, run_spread
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
    stores: Sequence[ScoreStore],
    prepare: Callable[[str], Compute],
    *,
    kind: str,
    devices: Sequence[str],
    progress: Progress,
) -> None:
    """Score rows and put them into their stores, the longest first.

    Args:
        inputs: the rows.
        keys: content key of each.
        stores: where each is kept; a row that memory did not suffice for is not kept on disk.
        prepare: from a device to a function that gives the scores of a batch, one a row; not called where no row needs
            the model.
        kind: what is scored, for the progress.
        devices: where the model runs, one process each if there are several.
        progress: told of the tokens done.
    """
    progress.start(kind, sum(len(one.ids) for one in inputs), "tokens")
    with ExitStack() as stack:
        for store in {id(store): store for store in stores}.values():
            stack.enter_context(store)
        for one, key, store in zip(inputs, keys, stores, strict=True):
            if one.why:
                store.add(key, {"score": None, "cut": 0}, one.why)
        at = [i for i, one in enumerate(inputs) if not one.why]
        rows = [inputs[i] for i in at]
        lengths = [len(one.ids) for one in rows]
        for batch in run_spread(prepare, rows, lengths, devices, _BATCH_TOKENS, progress):
            for k, score in zip(batch.rows, batch.values or [None] * len(batch.rows), strict=True):
                _keep(stores[at[k]], keys[at[k]], score, rows[k].cut, batch.why)
            progress.advance(sum(lengths[k] for k in batch.rows))
    progress.finish()


def _keep(store: ScoreStore, key: str, score: float | None, cut: int, why: str | None) -> None:
    if score is None:
        # Another machine, or this one at another time, may have the memory: say so, and do not keep it.
        store.values[key] = ({"score": None, "cut": 0}, why)
    elif math.isfinite(score):
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
