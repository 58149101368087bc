"""The stages with models against the bare work; on the processor, whatever accelerator there is."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from pools import TEXTS, Pool, text_bytes
from stage_ratios import Pair, embedding_pair

from imine.bench.plugin import Paired
from imine.errors import ModelNotFoundError
from imine.indicators.models import model_path


def need(model: str) -> None:
    try:
        model_path(model)
    except ModelNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.peer("sentence_transformers")
def bench_embeddings(paired: Paired, pool: Pool, quick: bool) -> None:
    """Embeddings of whole examples against ``encode`` of sentence-transformers."""
    need("all-minilm-l6-v2")
    run(paired, pool, 16 if quick else 200, embedding_pair, "sentence-transformers")


def run(paired: Paired, pool: Pool, rows: int, make: Callable[[pl.DataFrame], Pair], name: str) -> None:
    frame = pool.rows.filter(pl.col("output") != "").sample(rows, seed=0)
    pair = make(frame)
    paired(pair.ours, pair.bare, name=name, rows=rows, bytes=text_bytes(frame, TEXTS))
