from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from imine.errors import RuleError
from imine.indicators.neighbors import ReferenceSet, exact, knn_distance
from imine.indicators.score import score
from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.neighbors import embed_records, make_reference
from imine.progress import SilentProgress
from imine.sample import load_sample
from tests.tiny import unit_vectors


def naive_knn(queries: np.ndarray, reference: np.ndarray, rank: int, own: np.ndarray) -> np.ndarray:
    found = []
    for i, query in enumerate(queries.astype(np.float64)):
        distances = np.linalg.norm(reference.astype(np.float64) - query, axis=1)
        others = np.sort(np.delete(distances, own[i]) if own[i] >= 0 else distances)
        found.append(others[rank - 1] if len(others) >= rank else np.nan)
    return np.array(found)


@pytest.mark.parametrize("rank", [1, 6, 40])
@pytest.mark.parametrize("block", [7, 1024])
def test_equals_brute_force_in_float64(rank: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_ROWS", block)
    monkeypatch.setattr(exact, "_COLUMNS", 2 * block)
    points = unit_vectors(60, 16)
    points[10:14] = points[9]  # duplicates
    points[20] = points[21] + np.float32(1e-5)  # near duplicates, where float32 products are blind
    own = np.arange(60)
    np.testing.assert_allclose(
        knn_distance(points, points, rank, own), naive_knn(points, points, rank, own), rtol=1e-12
    )
    strangers = unit_vectors(25, 16, seed=1)
    nobody = np.full(25, -1)
    expected = naive_knn(strangers, points, rank, nobody)
    np.testing.assert_allclose(knn_distance(strangers, points, rank, nobody), expected, rtol=1e-12)


def test_more_near_duplicates_than_spare_candidates_are_still_exact() -> None:
    rng = np.random.default_rng(2)
    points = np.vstack([unit_vectors(100, 384), unit_vectors(1, 384) + rng.normal(0, 1e-4, (300, 384))])
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    own = np.arange(400)
    np.testing.assert_allclose(
        knn_distance(points, points, 6, own), naive_knn(points, points, 6, own), rtol=1e-12
    )


def test_duplicates_count_and_the_row_itself_does_not() -> None:
    points = unit_vectors(9, 4)
    points[1:4] = points[0]
    own = np.arange(9)
    assert knn_distance(points, points, 3, own)[0] == 0.0
    assert knn_distance(points, points, 4, own)[0] > 0.0


def test_too_few_others_is_nan() -> None:
    points = unit_vectors(6, 4)
    assert np.isnan(knn_distance(points, points, 6, np.arange(6))).all()
    assert np.isfinite(knn_distance(points, points, 6, np.full(6, -1))).all()
    for few in range(3):
        assert np.isnan(knn_distance(points, points[:few], 6, np.full(6, -1))).all()


def test_small_pool_is_null_with_its_reason(tiny_encoder: Path, own_cache: Path) -> None:
    settings = ScoreSettings(encoder=str(tiny_encoder))
    frame = score(load_sample()[:6], ["knn_6"], settings=settings).frame
    assert frame["knn_6"].null_count() == 6
    assert set(frame["knn_6__why"]) == {"the reference set has fewer than 6 other examples"}
    assert score(load_sample()[:7], ["knn_6"], settings=settings).frame["knn_6"].null_count() == 0


def test_no_text_is_null_with_its_reason(tiny_encoder: Path, own_cache: Path) -> None:
    pool = pl.concat([load_sample()[:9].select("instruction", "input", "output"),
                      pl.DataFrame({"instruction": [""], "input": [""], "output": [" "]})])  # fmt: skip
    frame = score(pool, ["knn_6"], settings=ScoreSettings(encoder=str(tiny_encoder))).frame
    assert frame["knn_6__why"].to_list() == [None] * 9 + ["the example has no text"]


def test_embeddings_do_not_depend_on_batch_or_neighbours_in_it(tiny_encoder: Path, own_cache: Path) -> None:
    settings = ScoreSettings(encoder=str(tiny_encoder), cache=False)
    pool = load_sample()[:30]
    together = embed_records(pool, settings, SilentProgress())
    alone = np.vstack([embed_records(pool[i], settings, SilentProgress()) for i in range(30)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_reference_set_survives_its_file_bit_for_bit(
    tmp_path: Path, tiny_encoder: Path, own_cache: Path
) -> None:
    pool = load_sample()[:40]
    settings = ScoreSettings(encoder=str(tiny_encoder))
    made = make_reference("forty", pool, settings)
    made.save(tmp_path / "reference.npz")
    loaded = ReferenceSet.load(tmp_path / "reference.npz")
    assert loaded.sha256 == made.sha256
    np.testing.assert_array_equal(loaded.embeddings, made.embeddings)
    first = (tmp_path / "reference.npz").read_bytes()
    loaded.save(tmp_path / "reference.npz")
    assert (tmp_path / "reference.npz").read_bytes() == first
    inside = score(pool, ["knn_6"], settings=ScoreSettings(encoder=str(tiny_encoder), reference=loaded))
    assert inside.fingerprints["knn_6"]["reference"] == {
        "kind": "set", "name": "forty", "n": 40, "sha256": made.sha256
    }  # fmt: skip
    against_itself = score(pool, ["knn_6"], settings=settings)
    np.testing.assert_allclose(inside.frame["knn_6"], against_itself.frame["knn_6"], atol=2e-3)
    assert against_itself.fingerprints["knn_6"]["reference"]["kind"] == "self"


def test_a_file_that_is_no_reference_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"nothing")
    with pytest.raises(RuleError, match="no reference set"):
        ReferenceSet.load(tmp_path / "x.npz")
    np.savez(tmp_path / "z.npz", name=np.array("cut off"))
    (tmp_path / "z.npz").write_bytes((tmp_path / "z.npz").read_bytes()[:60])
    with pytest.raises(RuleError, match="no reference set"):
        ReferenceSet.load(tmp_path / "z.npz")
    np.savez(tmp_path / "y.npz", name=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RuleError, match="no reference set"):
        ReferenceSet.load(tmp_path / "y.npz")


@pytest.mark.models
def test_embeddings_equal_plain_transformers(embedded_models: None) -> None:
    torch = pytest.importorskip("torch")
    from imine.indicators.models import load_encoder

    pool = load_sample()[:20]
    found = embed_records(pool, ScoreSettings(cache=False), SilentProgress())
    encoder = load_encoder()
    for i, (instruction, input, output) in enumerate(
        pool.select("instruction", "input", "output").iter_rows()
    ):
        text = "\n".join(part for part in (instruction, input, output) if part)
        batch = encoder.tokenizer([text], return_tensors="pt", truncation=True, max_length=256)
        with torch.inference_mode():
            mean = encoder.model(**batch).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(found[i], mean / mean.norm(), atol=2e-6)
