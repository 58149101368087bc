from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import imine
from imine.columns import DEFAULT_INDICATORS, require_column
from imine.errors import CacheWarning, FormatError, ModelNotFoundError, UnknownIndicatorError
from imine.indicators.cache import ScoreStore
from imine.indicators.models import (
    EMBEDDED,
    load_fast_tokenizer,
    load_tokenizer,
)
from imine.indicators.score import planned_fingerprints
from imine.indicators.settings import ScoreSettings
from imine.indicators.templates import TEMPLATES
from imine.indicators.tokens import count_tokens
from imine.sample import load_sample


@pytest.fixture
def settings(tiny_llama: Path, tiny_encoder: Path, own_cache: Path) -> ScoreSettings:
    return ScoreSettings(model=str(tiny_llama), encoder=str(tiny_encoder))


def test_a_value_or_a_reason_never_both(settings: ScoreSettings) -> None:
    sample = load_sample()
    scores = imine.score(sample, settings=settings)
    assert scores.frame["id"].to_list() == sample["id"].to_list()
    assert list(scores.fingerprints) == list(DEFAULT_INDICATORS)
    for name in DEFAULT_INDICATORS:
        spec = require_column(name)
        column, why = scores.frame[name], scores.frame[spec.why]
        assert column.dtype == getattr(pl, spec.dtype)
        assert (column.is_null() == why.is_not_null()).all(), name
        assert column.drop_nulls().is_finite().all()
        assert spec.low is not None
        assert column.drop_nulls().min() >= spec.low
    assert scores.frame["perplexity"].null_count() == 3, "the three rows with an empty output"
    logarithms = scores.frame["perplexity"].log()
    assert (scores.frame["log_perplexity"] - logarithms).abs().max() < 1e-12
    assert set(scores.timings) == {"lexical", "tokens", "likelihood", "neighbors"}


def test_side_car_keeps_everything(settings: ScoreSettings, tmp_path: Path) -> None:
    scores = imine.score(load_sample()[:30], ["lexical", "output_length"], settings=settings)
    scores.write(tmp_path / "scores.parquet")
    read = imine.Scores.read(tmp_path / "scores.parquet")
    assert read.frame.equals(scores.frame)
    assert read.fingerprints == scores.fingerprints
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["scores.parquet"]


def test_the_order_of_rows_changes_nothing(settings: ScoreSettings) -> None:
    sample = load_sample()[:50]
    forward = imine.score(
        sample, settings=ScoreSettings(settings.model, encoder=settings.encoder, cache=False)
    ).frame
    backward = imine.score(
        sample.reverse(), settings=ScoreSettings(settings.model, encoder=settings.encoder, cache=False)
    ).frame.reverse()
    assert forward.drop("perplexity", "knn_6").equals(backward.drop("perplexity", "knn_6"))
    for name in ("perplexity", "knn_6"):
        assert (forward[name] - backward[name]).abs().max() <= 1e-5 * forward[name].max()


def test_other_files_are_no_side_car(tmp_path: Path) -> None:
    load_sample().drop("id").write_parquet(tmp_path / "pool.parquet")
    with pytest.raises(FormatError, match="no side-car of scores: it needs a column id"):
        imine.Scores.read(tmp_path / "pool.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(FormatError, match="no side-car of scores"):
        imine.Scores.read(tmp_path / "text.parquet")
    with pytest.raises(FormatError, match="no side-car of scores"):
        imine.Scores.read(tmp_path / "absent.parquet")


def test_scores_from_elsewhere_have_no_fingerprints(tmp_path: Path) -> None:
    pl.DataFrame({"id": [1, 2], "reward": [0.5, 1.5]}).write_parquet(tmp_path / "rewards.parquet")
    scores = imine.Scores.read(tmp_path / "rewards.parquet")
    assert scores.fingerprints == {}
    assert scores.frame.rows() == [("1", 0.5), ("2", 1.5)]


def test_unknown_indicator_is_named() -> None:
    with pytest.raises(UnknownIndicatorError, match=r"no indicator 'mtdl'; did you mean mtld"):
        imine.score(load_sample(), ["mtdl"])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"instruction": ["a"]}), "no column 'output'"),
        (pl.DataFrame({"instruction": ["a"], "output": [1]}), "must be text"),
        (pl.DataFrame({"instruction": ["a", "b"], "output": ["x", None]}), "1 nulls, the first in row 1"),
    ],
)
def test_records_that_do_not_fit_are_refused(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        imine.score(frame, ["lexical"])


def test_a_missing_model_fails_before_any_work(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imine.indicators.lexical.score_lexical", None)  # would fail if it were called
    with pytest.raises(ModelNotFoundError, match="nothing was done") as raised:
        imine.score(load_sample(), ["mtld", "perplexity", "output_length", "knn_6"])
    for part in (
        "output_length, perplexity: ",
        "imine models get smollm2-135m",
        "knn_6: ",
        "all-minilm-l6-v2",
    ):
        assert part in str(raised.value)


def test_fingerprints_are_known_before_scoring(settings: ScoreSettings) -> None:
    planned = planned_fingerprints(list(DEFAULT_INDICATORS), settings)
    made = imine.score(load_sample()[:9], settings=settings).fingerprints
    assert planned.pop("knn_6")["reference"] == {"kind": "self"}
    assert made.pop("knn_6")["reference"]["n"] == 9
    assert planned == made


def test_an_unreadable_part_of_the_cache_is_set_aside(own_cache: Path) -> None:
    for value in (1.5, 2.5):
        with ScoreStore("perplexity", {"model": "a"}, pl.Float64) as store:
            store.add(f"k{value}", value)
    first, _ = sorted(store.folder.glob("*.parquet"))
    first.write_bytes(first.read_bytes()[:20])
    again = ScoreStore("perplexity", {"model": "a"}, pl.Float64)
    with pytest.warns(CacheWarning, match="set aside"):
        assert again.missing(["k1.5", "k2.5"]) == [0]
    assert len(list(again.folder.glob("*.unreadable"))) == 1
    assert again.missing(["k1.5", "k2.5"]) == [0]


@pytest.mark.parametrize("blank", ["", " ", "\n\t ", "\u00a0\u2003"])
def test_lengths_of_a_prompt_are_those_of_the_prompt_that_is_rendered(
    blank: str, settings: ScoreSettings
) -> None:
    pool = pl.DataFrame(
        {"instruction": ["Add it.", "Add it."], "input": [blank, "1 2"], "output": ["3", "3"]}
    )
    rendered = pl.Series(
        [TEMPLATES["plain"].render(*row) for row in pool.select("instruction", "input").rows()]
    )
    names = ["input_length", "input_characters"]
    made = imine.score(pool, names, settings=settings).frame
    texts = rendered.str.strip_suffix("\n")
    assert made["input_characters"].to_list() == texts.str.len_chars().to_list()
    tokenizer = load_fast_tokenizer(settings.model)
    assert made["input_length"].to_list() == count_tokens(texts, tokenizer).to_list()


def test_weights_that_could_run_code_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((tiny_llama / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelNotFoundError, match="no safetensors file; other weight formats can run code"):
        imine.score(load_sample(), ["perplexity"], settings=ScoreSettings(model=str(tmp_path)))


@pytest.mark.parametrize("changes", [{"template": "nope"}, {"max_tokens": 3}])
def test_settings_are_checked(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"(template|max_tokens) must be"):
        ScoreSettings(**changes)  # type: ignore[arg-type]


def test_store_keeps_fingerprints_apart_and_nulls_with_reasons(own_cache: Path) -> None:
    with ScoreStore("perplexity", {"model": "a"}, pl.Float64) as store:
        assert store.missing(["k1", "k2", "k1"]) == [0, 1]
        store.add("k1", 2.5)
        store.flush()
        store.add("k2", None, "no text")
    again = ScoreStore("perplexity", {"model": "a"}, pl.Float64)
    assert again.missing(["k2", "k1", "k3"]) == [2]
    assert again.column(["k1", "k2"]).rows() == [(2.5, None), (None, "no text")]
    assert len(list(again.folder.glob("*.parquet"))) == 1, "the parts of one run become one"
    assert ScoreStore("perplexity", {"model": "b"}, pl.Float64).missing(["k1"]) == [0]
    assert ScoreStore("perplexity", {"model": "a"}, pl.Float64, on_disk=False).missing(["k1"]) == [0]


def test_lengths_are_those_of_transformers(settings: ScoreSettings) -> None:
    sample = load_sample()
    tokenizer = load_tokenizer(settings.model)
    frame = imine.score(sample, ["tokens"], settings=settings).frame
    prompts = [a + (f"\n{b}" if b else "") for a, b in sample.select("instruction", "input").iter_rows()]
    for column, texts in (("input_length", prompts), ("output_length", sample["output"].to_list())):
        ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
        assert frame[column].to_list() == [len(one) for one in ids]


@pytest.mark.models
def test_lengths_by_the_embedded_tokenizers_are_those_of_transformers(embedded_models: None) -> None:
    texts = [
        *load_sample()["output"].to_list(),
        "long " * 600,
        " two  spaces ",
        "<|im_end|>",
        "e\u0301 \u1e69\U0001f9ec",
    ]
    for name in EMBEDDED:
        ids = load_tokenizer(name)(texts, add_special_tokens=False, truncation=False)["input_ids"]
        assert count_tokens(pl.Series(texts), load_fast_tokenizer(name)).to_list() == [
            len(one) for one in ids
        ]
