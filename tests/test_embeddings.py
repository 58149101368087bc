"""Sentence embeddings: recipes of folders, cutting, the store on disk, agreement with sentence-transformers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from imine.errors import CacheWarning, ModelNotFoundError
from imine.indicators import embeddings as module
from imine.indicators.cache_folder import cache_entries
from imine.indicators.encoders import EncoderRecipe, read_recipe, resolve_dtype
from imine.indicators.models import load_encoder
from imine.indicators.score import score
from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.neighbors import embed_records
from imine.indicators.vectors import VectorStore
from imine.progress import SilentProgress
from imine.records import content_keys
from imine.sample import load_sample
from tests.tiny import unit_vectors

TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
NORMALIZE = {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}


@pytest.fixture
def folder(tmp_path: Path, tiny_encoder: Path) -> Path:
    """The tiny encoder as a sentence-transformers folder."""
    made = tmp_path / "encoder"
    made.mkdir()
    for file in tiny_encoder.iterdir():
        (made / file.name).symlink_to(file)
    (made / "modules.json").write_text(json.dumps([TRANSFORMER, POOLING, NORMALIZE]))
    (made / "1_Pooling").mkdir()
    describe(made, "mean_tokens")
    return made


def describe(folder: Path, mode: str, length: int = 64, **more: Any) -> None:
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({
        "word_embedding_dimension": 32,
        **{f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", "max_tokens", "lasttoken")},
    }))  # fmt: skip
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length, **more}))


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def embedded(pool: pl.DataFrame, folder: Path, notes: Any = None, **more: Any) -> np.ndarray:
    found: np.ndarray = embed_records(
        pool, ScoreSettings(encoder=str(folder), **({"cache": False} | more)), notes or SilentProgress()
    )
    return found


@pytest.mark.parametrize(
    ("mode", "short"), [("mean_tokens", "mean"), ("cls_token", "cls"), ("max_tokens", "max")]
)
def test_equals_sentence_transformers(folder: Path, own_cache: Path, mode: str, short: str) -> None:
    peer = pytest.importorskip("sentence_transformers")
    describe(folder, mode, length=48)
    assert read_recipe(folder) == EncoderRecipe(short, 48)
    pool = load_sample()[:40]
    theirs = peer.SentenceTransformer(str(folder), device="cpu").encode(
        module._texts(pool), normalize_embeddings=True, show_progress_bar=False
    )
    np.testing.assert_allclose(embedded(pool, folder), theirs, atol=2e-6)


def test_a_prompt_and_lower_case_are_those_of_the_folder(folder: Path, own_cache: Path) -> None:
    plain = embedded(load_sample()[:3], folder)
    describe(folder, "mean_tokens", do_lower_case=True)
    prompts = {"prompts": {"passage": "passage: "}, "default_prompt_name": "passage"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    recipe = read_recipe(folder)
    assert recipe == EncoderRecipe("mean", 64, True, "passage: ")
    assert recipe.fingerprint()["prompt"] == "passage: "
    changed = load_sample()[:3].with_columns(
        pl.concat_str(pl.lit("passage: "), pl.col("instruction").str.to_lowercase()).alias("instruction"),
        pl.col("input", "output").str.to_lowercase(),
    )
    found = embedded(load_sample()[:3], folder)
    assert not np.allclose(found, plain)
    (folder / "config_sentence_transformers.json").unlink()
    np.testing.assert_allclose(found, embedded(changed, folder), atol=1e-6)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (
            [TRANSFORMER, POOLING, {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}],
            "module Dense",
        ),
        ([TRANSFORMER], "needs a Transformer in the folder itself and a Pooling"),
        ([{**TRANSFORMER, "path": "0_Transformer"}, POOLING], "Transformer in '0_Transformer'"),
        ([{"path": "", "type": "sentence_transformers.models.StaticEmbedding"}], "module StaticEmbedding"),
    ],
)
def test_modules_that_are_not_supported_are_named(folder: Path, modules: list[Any], message: str) -> None:
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelNotFoundError, match=message):
        read_recipe(folder)


def test_poolings_that_are_not_supported_are_named(folder: Path) -> None:
    describe(folder, "lasttoken")
    with pytest.raises(ModelNotFoundError, match="the pooling lasttoken is not supported"):
        read_recipe(folder)
    describe(folder, "none")
    with pytest.raises(ModelNotFoundError, match="the pooling of no kind is not supported"):
        read_recipe(folder)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "cls"}))
    assert read_recipe(folder).pooling == "cls"
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(ModelNotFoundError, match="is missing: how the encoder pools"):
        read_recipe(folder)


def test_the_positions_of_the_model_bound_the_length(folder: Path) -> None:
    describe(folder, "mean_tokens", length=5000)
    assert read_recipe(folder).max_tokens == 512


def test_rows_that_were_cut_are_counted_also_when_they_come_from_the_store(
    folder: Path, own_cache: Path
) -> None:
    describe(folder, "mean_tokens", length=20)
    short = "a b"
    pool = pl.DataFrame({
        "instruction": [short, "word " * 300, short + " c", "other " * 5000], "input": [""] * 4, "output": [""] * 4
    })  # fmt: skip
    first, second = Notes(), Notes()
    fresh = embedded(pool, folder, first, cache=True)
    again = embedded(pool, folder, second, cache=True)
    line = f"embeddings: 2 of 4 rows are longer than 20 tokens of {folder}, only their first 20 count"
    assert (first.lines, second.lines) == (["embeddings: nothing is in the cache yet", line], [line])
    np.testing.assert_array_equal(fresh, again)


def test_the_scores_tell_how_many_tokens_of_each_row_were_cut(folder: Path, own_cache: Path) -> None:
    describe(folder, "mean_tokens", length=20)
    pool = pl.DataFrame({
        "instruction": ["a b", "a " * 300, "a b c", "b " * 18, "b " * 19], "input": [""] * 5, "output": [""] * 5
    })  # fmt: skip
    tokenizer = load_encoder(str(folder)).tokenizer
    whole = [len(tokenizer(text)["input_ids"]) for text in module._texts(pool)]
    for _ in ("computed", "from the store"):
        frame = score(pool, ["knn_1", "density_2"], settings=ScoreSettings(encoder=str(folder))).frame
        assert frame["knn_1__cut"].to_list() == [max(0, tokens - 20) for tokens in whole]
        assert frame["density_2__cut"].to_list() == frame["knn_1__cut"].to_list()
    assert frame["knn_1__cut"].to_list() != [0] * 5


def test_a_text_that_just_fits_was_not_cut(folder: Path, own_cache: Path) -> None:
    pool = load_sample()[:1]
    length = len(
        module.tokenize(load_encoder(str(folder)), module._texts(pool), EncoderRecipe(max_tokens=512))[0]
    )
    for room, cut in ((length, 0), (length - 1, 1)):
        notes = Notes()
        describe(folder, "mean_tokens", length=room)
        embedded(pool, folder, notes)
        assert len(notes.lines) == cut


def test_chunks_of_rows_change_nothing(
    folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = load_sample()[:30]
    whole = embedded(pool, folder)
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(embedded(pool, folder), whole, atol=1e-6)


def test_bfloat16_is_near_and_in_the_fingerprint(folder: Path, own_cache: Path) -> None:
    from imine.indicators.score import planned_fingerprints

    pool = load_sample()[:20]
    exact, rough = (embedded(pool, folder, encoder_dtype=d) for d in ("float32", "bfloat16"))
    assert (exact * rough).sum(axis=1).min() > 0.999
    assert not np.array_equal(exact, rough)
    for dtype in ("float32", "bfloat16"):
        settings = ScoreSettings(encoder=str(folder), encoder_dtype=dtype)  # type: ignore[arg-type]
        assert planned_fingerprints(["knn_6"], settings)["knn_6"]["encoder"]["dtype"] == dtype


@pytest.mark.models
def test_bfloat16_of_the_embedded_encoder_keeps_the_cosine(embedded_models: None) -> None:
    pool = load_sample()[:12]
    exact, rough = (
        embed_records(pool, ScoreSettings(cache=False, encoder_dtype=d), SilentProgress())  # type: ignore[arg-type]
        for d in ("float32", "bfloat16")
    )
    assert (exact * rough).sum(axis=1).min() >= 0.9998


def test_auto_is_bfloat16_where_the_processor_has_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for flags, dtype in (("avx512_bf16", "bfloat16"), ("amx_bf16", "bfloat16"), ("avx512f", "float32")):
        monkeypatch.setattr(
            Path, "read_text", lambda _, text=flags: f"processor : 0\nflags : fpu {text} sse\n"
        )
        assert resolve_dtype("auto") == dtype
    assert resolve_dtype("float32") == "float32"


def store() -> VectorStore:
    return VectorStore("embeddings", {"encoder": "made up"})


KEYS = content_keys(
    pl.DataFrame({"instruction": [str(i) for i in range(10)], "input": [""] * 10, "output": [""] * 10})
)
CUT = np.arange(10) % 3


def test_what_was_taken_is_there_in_another_run_as_a_memory_map(own_cache: Path) -> None:
    points = unit_vectors(10, 6)
    first = store()
    assert first.missing(KEYS) == list(range(10))
    with first:
        first.add(KEYS[:4], points[:4], CUT[:4])
        first.flush()
        first.add(KEYS[4:8], points[4:8], CUT[4:8])
    assert len(list(first.folder.glob("*.keys.npy"))) == 1, "parts of a run are merged"
    second = store()
    assert second.missing([*KEYS, KEYS[9], KEYS[0]]) == [8, 9]
    assert all(isinstance(part.vectors, np.memmap) for part in second._parts)
    vectors, cut = second.take([KEYS[5], KEYS[0], KEYS[5]])
    np.testing.assert_array_equal(vectors, points[[5, 0, 5]])
    assert cut.tolist() == CUT[[5, 0, 5]].tolist()


def test_a_stopped_run_goes_on(own_cache: Path) -> None:
    points, stopped = unit_vectors(10, 6), store()

    def run() -> None:
        with stopped:
            stopped.add(KEYS[:6], points[:6], CUT[:6])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert store().missing(KEYS) == [6, 7, 8, 9]


def test_a_part_without_keys_is_not_there_and_an_unreadable_one_is_set_aside(own_cache: Path) -> None:
    points = unit_vectors(10, 6)
    for rows in (slice(0, 3), slice(3, 6), slice(6, 10)):
        with store() as one:
            one.add(KEYS[rows], points[rows], CUT[rows])
    first, second, _ = sorted(one.folder.glob("*.keys.npy"))
    first.unlink()
    vectors = second.with_name(second.name.replace("keys", "vectors"))
    vectors.write_bytes(vectors.read_bytes()[:-8])
    again = store()
    with pytest.warns(CacheWarning, match="set aside, it cannot be read"):
        assert again.missing(KEYS) == [0, 1, 2, 3, 4, 5]
    assert store().missing(KEYS) == [0, 1, 2, 3, 4, 5], "set aside for good"


def test_a_part_of_an_earlier_version_is_passed_over(own_cache: Path) -> None:
    with store() as one:
        one.add(KEYS, unit_vectors(10, 6), CUT)
    (path,) = one.folder.glob("*.keys.npy")
    about = np.load(path)
    np.save(path, about.astype([("key", "V16"), ("cut", "u1")]))
    again = store()
    assert again.missing(KEYS) == list(range(10))
    with again:
        again.add(KEYS, unit_vectors(10, 6), CUT)
    assert store().missing(KEYS) == []


def test_without_a_disk_nothing_is_written(own_cache: Path) -> None:
    points = unit_vectors(10, 6)
    with VectorStore("embeddings", {}, on_disk=False) as kept:
        assert kept.missing(KEYS) == list(range(10))
        kept.add(KEYS, points, CUT)
    np.testing.assert_array_equal(kept.take(KEYS[::-1])[0], points[::-1])
    assert not own_cache.exists()


def test_embedding_says_why_something_is_computed_anew(folder: Path, own_cache: Path) -> None:
    pool, told = load_sample()[:6], {}
    for name, rows, length in (("first", 4, 64), ("again", 4, 64), ("more", 6, 64), ("shorter", 6, 32)):
        describe(folder, "mean_tokens", length=length)
        notes = Notes()
        embedded(pool[:rows], folder, notes, cache=True)
        told[name] = [line for line in notes.lines if "cache" in line]
    assert told["first"] == ["embeddings: nothing is in the cache yet"]
    assert told["again"] == []
    (more,), (shorter,) = told["more"], told["shorter"]
    assert more.startswith("embeddings: 4 of 6 different rows are in the cache; the others are new")
    assert "made in another way: max_tokens is 32 now, 64 there" in shorter
    notes = Notes()
    embedded(pool, folder, notes)
    assert not [line for line in notes.lines if "cache" in line], "nothing is kept, so nothing is missed"


def test_rows_of_vectors_are_counted_and_reading_is_use(own_cache: Path) -> None:
    with store() as one:
        one.add(KEYS, unit_vectors(10, 6), CUT)
    for path in (one.folder, *one.folder.iterdir()):
        os.utime(path, (1e9, 1e9))
    (entry,) = cache_entries()
    assert (entry.kind, entry.rows, entry.last_used.year) == ("embeddings", 10, 2001)
    assert store().missing(KEYS) == []
    assert cache_entries()[0].last_used.year > 2020
