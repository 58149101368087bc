"""--encoder, --neighbors and --reference of score and select."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import imine
from imine.__main__ import main
from imine.indicators.neighbors import ReferenceSet
from imine.indicators.score import Scores
from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.neighbors import make_reference
from imine.sample import load_sample


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    assert ended.value.code in (None, 0)


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    assert ended.value.code == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.parquet"
    load_sample()[:30].write_parquet(path)
    return path


def test_a_pool_as_reference_is_embedded_and_saved(
    pool: Path, tmp_path: Path, tiny_encoder: Path, own_cache: Path
) -> None:
    others = tmp_path / "others.jsonl"
    load_sample()[20:60].write_ndjson(others)
    common = "score", pool, "--indicators", "knn_2", "--encoder", tiny_encoder
    run(*common, "--reference", others, "-o", tmp_path / "a.parquet")
    made = ReferenceSet.load(tmp_path / "a.reference.npz")
    assert (made.name, len(made.keys)) == ("others.jsonl", 40)
    run(*common, "--reference", tmp_path / "a.reference.npz", "-o", tmp_path / "b.parquet")
    first, second = (Scores.read(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert first.frame.equals(second.frame)
    assert first.fingerprints == second.fingerprints
    assert first.fingerprints["knn_2"]["reference"]["sha256"] == made.sha256
    expected = imine.score(
        imine.read(pool), ["knn_2"], settings=ScoreSettings(encoder=str(tiny_encoder), reference=made)
    )
    assert first.frame.equals(expected.frame)
    assert not (tmp_path / "b.reference.npz").exists()


def test_a_reference_of_another_encoder_is_refused(
    pool: Path, tmp_path: Path, tiny_encoder: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_reference("ours", load_sample()[:20], ScoreSettings(encoder=str(tiny_encoder)))
    ReferenceSet(made.name, made.keys, made.embeddings, "0" * 64).save(tmp_path / "x.npz")
    message = fails(
        capsys, "score", pool, "--indicators", "knn_2", "--encoder", tiny_encoder,
        "--reference", tmp_path / "x.npz", "-o", tmp_path / "a.parquet",
    )  # fmt: skip
    assert "the reference set 'ours' was embedded with weights 0000000000000000" in message
    elsewhere = fails(
        capsys, "score", pool, "--indicators", "mtld", "--neighbors", "faiss", "-o", tmp_path / "a.parquet"
    )
    assert "--neighbors: none of the indicators has to do with neighbours: mtld" in elsewhere
    missing = fails(capsys, "score", pool, "--reference", tmp_path / "y.npz", "-o", tmp_path / "a.parquet")
    assert "y.npz: no such file; --reference takes a reference set (.npz) or a pool" in missing


def test_select_passes_them_on_and_refuses_them_with_scores(
    pool: Path, tmp_path: Path, tiny_encoder: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    runs = pl.DataFrame({"knn_2": rng.normal(0.5, 0.05, 20)})
    runs = runs.with_columns(log_loss=pl.col("knn_2") + rng.normal(0, 0.001, 20))
    imine.fit(runs, terms=["knn_2"], target="log_loss").write(tmp_path / "rule.json")
    common = "select", pool, "--rule", tmp_path / "rule.json", "--top", 5
    others = tmp_path / "others.parquet"
    load_sample()[30:60].write_parquet(others)
    run(*common, "--encoder", tiny_encoder, "--reference", others, "-o", tmp_path / "mined.jsonl")
    scores = Scores.read(tmp_path / "mined.scores.parquet")
    made = ReferenceSet.load(tmp_path / "mined.reference.npz")
    assert scores.fingerprints["knn_2"]["reference"]["sha256"] == made.sha256
    assert scores.fingerprints["knn_2"]["encoder"]["name"] == str(tiny_encoder)
    message = fails(
        capsys, *common, "--scores", tmp_path / "mined.scores.parquet", "--neighbors", "exact",
        "-o", tmp_path / "again.jsonl",
    )  # fmt: skip
    assert "--neighbors: with --scores nothing is scored" in message
