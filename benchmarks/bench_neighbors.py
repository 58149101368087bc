"""Exact neighbours of 15,000 x 384 vectors against the bare products, and the libraries against the exact search.

python -m pytest benchmarks/bench_neighbors.py -o python_files="bench_*.py" -o python_functions="bench_*"
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from imine.indicators.neighbors import find_neighbors, near_duplicate_groups, nearest_exact, require_search

ROWS, DIMENSIONS, RANK = 15_000, 384, 6


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """Unit vectors around centres, as embeddings lie."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(300, DIMENSIONS))
    vectors = centres[rng.integers(0, 300, ROWS)] + rng.normal(size=(ROWS, DIMENSIONS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def measure(benchmark: Any, work: Callable[[], object], baseline: str | None = None) -> None:
    benchmark.extra_info["rows"] = ROWS
    if baseline:
        benchmark.extra_info["baseline"] = baseline
    benchmark.pedantic(work, rounds=5, iterations=1, warmup_rounds=1)


def bench_products(benchmark: Any, points: np.ndarray) -> None:
    """Every float32 product, in blocks of the size of the search's, nothing done with them."""
    buffer = np.empty(512 * 2048, dtype=np.float32)

    def work() -> None:
        for row in range(0, ROWS, 512):
            rows = points[row : row + 512]
            for column in range(0, ROWS, 2048):
                columns = points[column : column + 2048]
                out = buffer[: len(rows) * len(columns)].reshape(len(rows), len(columns))
                np.matmul(rows, columns.T, out=out)

    measure(benchmark, work)


def bench_knn_of_a_pool(benchmark: Any, points: np.ndarray) -> None:
    """knn_6 among the pool itself: each product serves both rows."""
    own = np.arange(ROWS)
    measure(benchmark, lambda: nearest_exact(points, points, RANK, own), "bench_products")


def bench_knn_in_a_reference(benchmark: Any, points: np.ndarray) -> None:
    """knn_6 in a reference set of another array: every product is needed."""
    queries, nobody = points.copy(), np.full(ROWS, -1)
    measure(benchmark, lambda: nearest_exact(queries, points, RANK, nobody), "bench_products")


def bench_near_duplicates(benchmark: Any, points: np.ndarray) -> None:
    """Groups above a cosine of 0.9."""
    measure(benchmark, lambda: near_duplicate_groups(points, 0.9), "bench_products")


@pytest.mark.parametrize("method", ["faiss"])
def bench_knn_by_library(benchmark: Any, points: np.ndarray, method: str) -> None:
    """The library behind a name, its recall measured as in scoring; nn-descent compiles for minutes first."""
    pytest.importorskip(method)
    require_search(method)
    own = np.arange(ROWS)
    work = lambda: find_neighbors(points, points, RANK, own, method=method)  # noqa: E731
    measure(benchmark, work, "bench_knn_of_a_pool")
