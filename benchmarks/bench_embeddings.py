"""Sentence embeddings against sentence-transformers' own ``encode`` on the same texts.

    python -m pytest benchmarks/bench_embeddings.py -o python_files="bench_*.py" -o python_functions="bench_*"

IMINE_BENCH_POOL names the file of the rows; otherwise they are those of the bundled sample.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import imine
from imine.errors import ModelNotFoundError
from imine.indicators.embeddings import _texts, encode, tokenize
from imine.indicators.encoders import resolve_dtype
from imine.indicators.models import load_encoder, model_path
from imine.sample import load_sample

ROWS, MODEL = 300, "all-minilm-l6-v2"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    try:
        model_path(MODEL)
    except ModelNotFoundError as error:
        pytest.skip(str(error))
    named = os.environ.get("IMINE_BENCH_POOL")
    pool: pl.DataFrame = imine.read(named) if named else load_sample()
    return _texts(pool.sample(min(ROWS, pool.height), seed=0))


def measure(
    benchmark: Any, texts: list[str], work: Callable[[], object], baseline: str | None = None
) -> None:
    benchmark.extra_info["rows"] = len(texts)
    benchmark.extra_info["bytes"] = sum(len(text.encode()) for text in texts)
    if baseline:
        benchmark.extra_info["baseline"] = baseline
    benchmark.pedantic(work, rounds=3, iterations=1, warmup_rounds=1)


def bench_sentence_transformers(benchmark: Any, texts: list[str]) -> None:
    peer = pytest.importorskip("sentence_transformers")
    model = peer.SentenceTransformer(str(model_path(MODEL)), device="cpu")
    measure(
        benchmark,
        texts,
        lambda: model.encode(texts, normalize_embeddings=True, show_progress_bar=False),
    )


def bench_embeddings_float32(benchmark: Any, texts: list[str]) -> None:
    """Tokens, batches and pooling, without the store."""
    encoder = load_encoder(MODEL)
    work = lambda: list(encode(encoder, tokenize(encoder, texts)))  # noqa: E731
    measure(benchmark, texts, work, "bench_sentence_transformers")


def bench_embeddings_bfloat16(benchmark: Any, texts: list[str]) -> None:
    """The same with ``encoder_dtype="auto"``, where that is bfloat16."""
    if resolve_dtype("auto") != "bfloat16":
        pytest.skip("no units for bfloat16 here")
    encoder = load_encoder(MODEL)
    work = lambda: list(encode(encoder, tokenize(encoder, texts), dtype="bfloat16"))  # noqa: E731
    measure(benchmark, texts, work, "bench_sentence_transformers")
