"""The searches themselves: positions and ties, many copies, density, libraries behind names, recall."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imine.columns import find_column
from imine.errors import MissingExtraError, SettingsError
from imine.indicators.neighbors import (
    Neighbors,
    exact,
    find_neighbors,
    measure_recall,
    nearest_exact,
    neighbor_fingerprint,
)
from imine.indicators.score import score
from imine.indicators.settings import ScoreSettings, settings_from_fingerprints
from imine.sample import load_sample
from tests.tiny import unit_vectors


def naive(queries: np.ndarray, reference: np.ndarray, ranks: int, own: np.ndarray) -> Neighbors:
    """Every distance in float64, sorted by distance, then position."""
    positions = np.full((len(queries), ranks), -1)
    distances = np.full((len(queries), ranks), np.nan)
    for i, query in enumerate(queries.astype(np.float64)):
        away = np.sqrt(((reference.astype(np.float64) - query) ** 2).sum(axis=1))
        others = [j for j in range(len(reference)) if j != own[i] and reference[j].any()]
        order = sorted(others, key=lambda j: (away[j], j))[:ranks] if query.any() else []
        positions[i, : len(order)], distances[i, : len(order)] = order, away[order]
    return Neighbors(positions, distances)


def assert_same(found: Neighbors, wanted: Neighbors) -> None:
    np.testing.assert_array_equal(found.positions, wanted.positions)
    np.testing.assert_allclose(found.distances, wanted.distances, rtol=1e-12)


@given(
    rows=st.integers(0, 40), copies=st.integers(0, 30), zeros=st.integers(0, 3), ranks=st.integers(1, 12),
    block=st.sampled_from([3, 16, 512]), itself=st.booleans(), seed=st.integers(0, 5),
)  # fmt: skip
@settings(max_examples=60)
def test_equals_the_plain_search(
    rows: int, copies: int, zeros: int, ranks: int, block: int, itself: bool, seed: int
) -> None:
    points = np.zeros((rows + zeros, 8), dtype=np.float32)
    points[:rows] = unit_vectors(rows, 8, seed) if rows else points[:rows]
    if rows:
        points = np.vstack([points, np.tile(points[rows // 2], (copies, 1))])
    rng = np.random.default_rng(seed)
    points = points[rng.permutation(len(points))]
    queries = points if itself else unit_vectors(7, 8, seed + 100)
    own = np.arange(len(points)) if itself else rng.integers(-1, len(points), 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_ROWS", block)
        patch.setattr(exact, "_COLUMNS", 2 * block)
        found = nearest_exact(queries, points, ranks, own)
    assert_same(found, naive(queries, points, ranks, own))


def test_more_copies_than_are_kept_are_named_by_position() -> None:
    points = np.vstack(
        [unit_vectors(50, 24), np.tile(unit_vectors(1, 24, 9), (200, 1)), unit_vectors(50, 24, 3)]
    )
    own = np.arange(300)
    for queries in (points, points.copy()):
        found = nearest_exact(queries, points, 6, own)
        assert found.positions[50].tolist() == [51, 52, 53, 54, 55, 56]
        assert found.positions[249].tolist() == [50, 51, 52, 53, 54, 55]
        assert (found.distances[50:250] == 0).all()
        assert_same(found, naive(points, points, 6, own))


def test_copies_beside_almost_copies_are_searched_again_with_more_room() -> None:
    close = unit_vectors(1, 64, 2) + np.random.default_rng(0).normal(0, 2e-5, (90, 64))
    points = np.vstack([unit_vectors(40, 64), close / np.linalg.norm(close, axis=1, keepdims=True)]).astype(
        np.float32
    )
    points[45] = points[44]
    own = np.arange(len(points))
    assert_same(nearest_exact(points, points, 3, own), naive(points, points, 3, own))


def test_lengths_that_float16_has_rounded_do_not_change_the_order() -> None:
    rough = unit_vectors(400, 32).astype(np.float16).astype(np.float32)
    queries = unit_vectors(60, 32, 1)
    nobody = np.full(60, -1)
    assert_same(nearest_exact(queries, rough, 6, nobody), naive(queries, rough, 6, nobody))


def test_references_that_are_not_unit_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="references must be of unit length; their lengths are 2 to 2"):
        nearest_exact(unit_vectors(3, 4), 2 * unit_vectors(3, 4), 1, np.arange(3))
    with pytest.raises(ValueError, match="ranks must be at least 1, not 0"):
        nearest_exact(unit_vectors(3, 4), unit_vectors(3, 4), 0, np.arange(3))


def test_no_row_and_no_reference() -> None:
    none = np.zeros((0, 4), dtype=np.float32)
    assert nearest_exact(none, none, 2, np.arange(0)).distances.shape == (0, 2)
    assert np.isnan(nearest_exact(unit_vectors(3, 4), none, 2, np.full(3, -1)).distances).all()
    assert nearest_exact(none, unit_vectors(3, 4), 2, np.arange(0)).positions.shape == (0, 2)


def test_memory_does_not_grow_with_the_square_of_the_rows() -> None:
    import tracemalloc

    points = unit_vectors(6000, 16)
    nearest_exact(points[:50], points[:50], 6, np.arange(50))  # compiles
    tracemalloc.start()
    nearest_exact(points, points, 6, np.arange(6000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A block of products is 4 MB; all of them would be 144 MB.
    assert peak < 12e6


def test_one_search_serves_every_rank_and_density(tiny_encoder: Any, own_cache: Any) -> None:
    names = [*(f"knn_{i}" for i in range(1, 5)), "density_4", "density_1"]
    scores = score(load_sample()[:20], names, settings=ScoreSettings(encoder=str(tiny_encoder)))
    ranks = scores.frame.select(f"knn_{i}" for i in range(1, 5)).to_numpy()
    assert (np.diff(ranks, axis=1) >= 0).all()
    np.testing.assert_allclose(scores.frame["density_4"], ranks.mean(axis=1), rtol=1e-12)
    assert scores.frame["density_1"].equals(scores.frame["knn_1"].alias("density_1"))
    assert scores.fingerprints["density_4"]["indicator"] == "density_4"
    small = score(load_sample()[:4], ["density_4"], settings=ScoreSettings(encoder=str(tiny_encoder)))
    assert small.frame["density_4__why"].unique().to_list() == [
        "the reference set has fewer than 4 other examples"
    ]


def test_a_pool_of_one_row_is_null(tiny_encoder: Any, own_cache: Any) -> None:
    frame = score(
        load_sample()[:1], ["knn_1", "density_2"], settings=ScoreSettings(encoder=str(tiny_encoder))
    ).frame
    assert frame["knn_1__why"].to_list() == ["the reference set has fewer than 1 other examples"]
    assert frame["density_2"].to_list() == [None]


def test_density_is_found_by_its_pattern() -> None:
    column = find_column("density_12")
    assert column is not None
    assert "12 nearest" in column.doc
    assert find_column("density_0") is None
    assert find_column("density") is None


class FakeFaiss:
    """The flat index of faiss in numpy, and one of lists that overlooks every reference at an odd position."""

    METRIC_INNER_PRODUCT = 0

    class IndexFlatIP:
        step = 1

        def __init__(self, dimensions: int) -> None:
            self.dimensions = dimensions

        def add(self, vectors: np.ndarray) -> None:
            self.vectors = vectors

        def search(self, queries: np.ndarray, take: int) -> tuple[np.ndarray, np.ndarray]:
            products = queries @ self.vectors[:: self.step].T
            order = np.argsort(-products, axis=1)[:, :take] * self.step
            return products, np.pad(order, ((0, 0), (0, take - order.shape[1])), constant_values=-1)

    class IndexIVFFlat(IndexFlatIP):
        step = 2

        def __init__(self, quantizer: Any, dimensions: int, lists: int, metric: int) -> None:
            self.lists = lists

        def train(self, vectors: np.ndarray) -> None:
            assert 1 <= self.nprobe <= self.lists  # type: ignore[attr-defined]


@pytest.fixture
def fake_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(
        **{k: v for k, v in vars(FakeFaiss).items() if not k.startswith("__")}, __spec__=object()
    )
    monkeypatch.setitem(sys.modules, "faiss", fake)  # type: ignore[arg-type]


def test_neighbours_of_a_library_have_exact_distances(fake_faiss: None) -> None:
    points = np.vstack([unit_vectors(80, 16), np.zeros((2, 16), dtype=np.float32)])[::-1].copy()
    own = np.arange(82)
    assert_same(find_neighbors(points, points, 5, own, method="faiss"), naive(points, points, 5, own))
    strangers = unit_vectors(9, 16, 5)
    mixed = np.array([-1, 3, 4, -1, 5, 6, -1, 7, 8])
    assert_same(
        find_neighbors(strangers, points, 5, mixed, method="faiss"), naive(strangers, points, 5, mixed)
    )


class Notes:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def test_recall_is_measured_and_told(fake_faiss: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imine.indicators.neighbors.approximate._FLAT", 50)
    points, notes = unit_vectors(120, 16), Notes()
    own = np.arange(120)
    found = find_neighbors(points, points, 6, own, method="faiss", progress=notes)  # type: ignore[arg-type]
    recall = measure_recall(found, points, points, own)
    wanted = naive(points, points, 6, own)
    assert recall is not None
    assert recall.rows == 120
    assert recall.recall == pytest.approx((found.distances <= wanted.distances[:, -1:] * (1 + 1e-12)).mean())
    assert 0.3 < recall.recall < 0.7
    assert recall.excess == pytest.approx((found.distances[:, -1] / wanted.distances[:, -1]).mean() - 1)
    assert recall.excess > 0
    assert notes.lines == [f"neighbours by faiss: {recall.describe()}"]


def test_neighbours_that_were_not_found_count_as_missed() -> None:
    points = unit_vectors(30, 8)
    own = np.arange(30)
    found = naive(points, points, 4, own)
    found.distances[:, 2:] = np.nan
    recall = measure_recall(found, points, points, own)
    assert recall is not None
    assert recall.recall == 0.5
    assert measure_recall(naive(points, points[:2], 4, own), points, points[:2], np.full(30, -1)) is None


def test_a_library_that_is_missing_is_named_before_any_work(
    tiny_encoder: Any, own_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name in ("faiss", "pynndescent") else object()
    )
    for method, package in (("faiss", "faiss-cpu"), ("nn-descent", "pynndescent")):
        settings_ = ScoreSettings(encoder=str(tiny_encoder), neighbors=method)  # type: ignore[arg-type]
        with pytest.raises(
            MissingExtraError, match=rf'{package} is not installed.*pip install "imine\[neighbors\]"'
        ):
            score(load_sample()[:9], ["knn_6"], settings=settings_)
    assert not own_cache.exists()


def test_settings_name_what_is_allowed() -> None:
    with pytest.raises(SettingsError, match="neighbors must be one of exact, nn-descent, faiss, not 'annoy'"):
        ScoreSettings(neighbors="annoy")  # type: ignore[arg-type]
    with pytest.raises(
        SettingsError, match="encoder_dtype must be one of float32, bfloat16, auto, not 'int8'"
    ):
        ScoreSettings(encoder_dtype="int8")  # type: ignore[arg-type]


def test_only_a_search_that_is_not_exact_is_in_the_fingerprint(fake_faiss: None) -> None:
    plain = neighbor_fingerprint("knn_6", {"name": "e"}, {"kind": "self"})
    assert "search" not in plain
    by_faiss = neighbor_fingerprint("knn_6", {"name": "e"}, {"kind": "self"}, "faiss")
    assert by_faiss["search"]["method"] == "faiss"
    assert by_faiss | {"search": 0} == plain | {"search": 0}
    assert settings_from_fingerprints({"knn_6": by_faiss}, None).neighbors == "faiss"
    assert settings_from_fingerprints({"knn_6": plain}, None).neighbors == "exact"


def test_scores_by_faiss(tiny_encoder: Any, own_cache: Any, fake_faiss: None) -> None:
    by = {
        method: score(
            load_sample()[:40], ["knn_3"], settings=ScoreSettings(encoder=str(tiny_encoder), neighbors=method)
        )
        for method in ("exact", "faiss")
    }
    assert by["faiss"].frame["knn_3"].equals(by["exact"].frame["knn_3"])
    assert by["faiss"].fingerprints["knn_3"]["search"]["method"] == "faiss"


@pytest.mark.parametrize("method", ["faiss", pytest.param("nn-descent", marks=pytest.mark.slow)])
def test_the_libraries_find_most(method: str) -> None:
    pytest.importorskip({"faiss": "faiss", "nn-descent": "pynndescent"}[method])
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, 24))
    points = centres[rng.integers(0, 60, 3000)] + 0.3 * rng.normal(size=(3000, 24))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    own = np.arange(3000)
    for queries, itself in (
        (points, own),
        (points[:300].copy(), own[:300]),
        (unit_vectors(50, 24), np.full(50, -1)),
    ):
        found = find_neighbors(queries, points, 6, itself, method=method)
        recall = measure_recall(found, queries, points, itself)
        assert recall is not None
        assert recall.recall > 0.95
        assert not (found.positions == itself[:, None]).any() or (itself < 0).all()


def test_a_brute_force_over_five_thousand_rows() -> None:
    points = unit_vectors(5000, 24)
    points[100:160] = points[99]
    points[300] = -points[301]
    own = np.arange(5000)
    doubles = points.astype(np.float64)
    wanted = np.empty(5000)
    for start in range(0, 5000, 50):
        away = np.zeros((50, 5000))
        for column in range(24):
            away += np.subtract.outer(doubles[start : start + 50, column], doubles[:, column]) ** 2
        away[np.arange(50), np.arange(start, start + 50)] = np.inf
        wanted[start : start + 50] = np.sqrt(np.partition(away, 5, axis=1)[:, 5])
    np.testing.assert_allclose(nearest_exact(points, points, 6, own).distance(6), wanted, rtol=1e-12)
    assert pl.Series(wanted).gt(0).sum() == 5000 - 61
