"""Stages of scoring against the bare work, in one run: ratios that hold on any machine.

    python benchmarks/stage_ratios.py POOL [ROWS]

- embeddings: imine's stage against sentence-transformers' ``encode`` on the same texts, where it is installed.

The pairs are run in turn, so that a machine whose speed drifts does not favour one side.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

import imine
from imine.indicators.embeddings import MAX_TOKENS, _texts, encode, tokenize
from imine.indicators.models import load_encoder, model_path


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Pair:
    """A stage and the bare work, and how much each does."""

    ours: Callable[[], object]
    bare: Callable[[], object]
    amount: float


def in_turn(name: str, pair: Pair, unit: str) -> None:
    pairs = [(timed(pair.ours), timed(pair.bare)) for _ in range(3)]
    ours_s, theirs_s = (float(np.median(column)) for column in zip(*pairs, strict=True))
    ratios = sorted(a / b for a, b in pairs)
    print(f"{name}: imine {pair.amount / ours_s:,.0f} {unit} a second, bare {pair.amount / theirs_s:,.0f}")
    print(
        f"  time ratio imine / bare: {ratios[1]:.2f} (median of three pairs, {ratios[0]:.2f} to {ratios[2]:.2f})"
    )


def embedding_pair(frame: pl.DataFrame) -> Pair:
    """imine's stage against sentence-transformers; the amount in rows."""
    from sentence_transformers import SentenceTransformer

    texts, encoder = _texts(frame), load_encoder()
    peer = SentenceTransformer(str(model_path("all-minilm-l6-v2")), device="cpu")
    peer.max_seq_length = MAX_TOKENS
    return Pair(
        lambda: list(encode(encoder, tokenize(encoder, texts))),
        lambda: peer.encode(texts, normalize_embeddings=True, show_progress_bar=False),
        len(texts),
    )


if __name__ == "__main__":
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    pool = imine.read(sys.argv[1])
    pool = pool.sample(min(rows, pool.height), seed=0)
    if importlib.util.find_spec("sentence_transformers") is None:
        print("embeddings: sentence-transformers is not installed, nothing to compare with")
    else:
        in_turn("embeddings", embedding_pair(pool), "rows")
