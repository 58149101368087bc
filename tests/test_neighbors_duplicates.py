from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imine.indicators.neighbors import duplicates, near_duplicate_groups
from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.neighbors import near_duplicates
from imine.sample import load_sample
from tests.tiny import unit_vectors


def naive_groups(vectors: np.ndarray, threshold: float) -> np.ndarray:
    """Labels of rows take the least label of their neighbours until none changes."""
    doubles = vectors.astype(np.float64)
    lengths = np.linalg.norm(doubles, axis=1)
    with np.errstate(invalid="ignore"):
        alike = (doubles @ doubles.T) / np.outer(lengths, lengths) >= threshold
    label = np.arange(len(vectors))
    while True:
        least = np.array([label[row | (np.arange(len(label)) == i)].min() for i, row in enumerate(alike)])
        if (least == label).all():
            return label
        label = least


@given(
    rows=st.integers(1, 60),
    seed=st.integers(0, 20),
    threshold=st.floats(0.3, 0.99),
    block=st.sampled_from([4, 512]),
)
@settings(max_examples=60)
def test_equals_the_plain_components(rows: int, seed: int, threshold: float, block: int) -> None:
    points = unit_vectors(rows, 4, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_ROWS", block)
        patch.setattr(duplicates, "_COLUMNS", 3 * block)
        groups = near_duplicate_groups(points, threshold)
    np.testing.assert_array_equal(groups, naive_groups(points, threshold))


def test_copies_are_one_group_at_any_threshold_and_texts_without_content_are_none() -> None:
    points = np.zeros((8, 384), dtype=np.float32)
    points[1:5] = unit_vectors(1, 384)
    points[6] = unit_vectors(1, 384, 1)
    assert near_duplicate_groups(points, 1.0).tolist() == [0, 1, 1, 1, 1, 5, 6, 7]


def test_a_cosine_near_the_threshold_is_decided_in_float64() -> None:
    # Float32 products of these lengths are off by some 1e-7: only float64 can tell 1e-9 apart.
    angle = 0.5
    pair = np.zeros((2, 384))
    pair[0, :2], pair[1, :2] = (1, 0), (np.cos(angle), np.sin(angle))
    points = pair.astype(np.float32)
    doubles = points.astype(np.float64)
    cosine = float(doubles[0] @ doubles[1] / np.linalg.norm(doubles[0]) / np.linalg.norm(doubles[1]))
    assert near_duplicate_groups(points, cosine - 1e-9).tolist() == [0, 0]
    assert near_duplicate_groups(points, cosine + 1e-9).tolist() == [0, 1]


def test_groups_are_chains() -> None:
    angles = np.arange(6) * 0.1
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert near_duplicate_groups(points, np.cos(0.101)).tolist() == [0] * 6
    assert near_duplicate_groups(points, np.cos(0.099)).tolist() == list(range(6))


@pytest.mark.parametrize("threshold", [0.0, -0.2, 1.01, float("nan")])
def test_thresholds_out_of_range(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold must be above 0 and at most 1"):
        near_duplicate_groups(unit_vectors(3, 4), threshold)


def test_vectors_of_another_length() -> None:
    points = unit_vectors(4, 4)
    points[2] *= 3
    with pytest.raises(ValueError, match="embeddings must be of unit length; row 2 is 3"):
        near_duplicate_groups(points, 0.9)


def test_records(tiny_encoder: Any, own_cache: Any) -> None:
    pool = pl.concat([load_sample()[:9], load_sample()[3:5]])
    groups = near_duplicates(pool, 1.0, ScoreSettings(encoder=str(tiny_encoder)))
    assert groups.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 3, 4]
