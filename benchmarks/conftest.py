"""What all benchmarks share: the corpora, made once a run. The fixtures ``paired``, ``figure``, ``quick`` and ``note``
come from imine.bench.plugin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pools import FULL_BYTES, QUICK_BYTES, TEXTS, Corpus, Pool, load_pool, make_corpus


@pytest.fixture(scope="session")
def pool(data_folder: Path | None) -> Pool:
    return load_pool(data_folder)


@pytest.fixture(scope="session")
def least_bytes(quick: bool) -> int:
    return QUICK_BYTES if quick else FULL_BYTES


@pytest.fixture(scope="session")
def responses(
    pool: Pool, least_bytes: int, tmp_path_factory: pytest.TempPathFactory, note: Callable[[str], None]
) -> Corpus:
    """The responses of the pools, repeated."""
    path = tmp_path_factory.mktemp("corpus") / "responses.txt"
    corpus = make_corpus(pool, ("output",), least_bytes, path)
    note(f"responses: {corpus.source}")
    return corpus


@pytest.fixture(scope="session")
def examples(
    pool: Pool, least_bytes: int, tmp_path_factory: pytest.TempPathFactory, note: Callable[[str], None]
) -> Corpus:
    """Whole examples of the pools, repeated: prompt and response."""
    path = tmp_path_factory.mktemp("corpus") / "examples.txt"
    corpus = make_corpus(pool, TEXTS, least_bytes, path)
    note(f"examples: {corpus.source}")
    return corpus
