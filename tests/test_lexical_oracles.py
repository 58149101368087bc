"""The lexical measures against lexicalrichness on the same words: made texts, samples, every row of three pools."""

from __future__ import annotations

import importlib.util
import json
import math
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imine.indicators.lexical import LexicalParameters, measure_text, score_lexical

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("naive_lexical", ROOT / "tests" / "naive_lexical.py")
naive = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(naive)

# Measure here, and what the package calls it.
RICHNESS = {
    "words": lambda lex: lex.words,
    "types": lambda lex: lex.terms,
    "ttr": lambda lex: lex.ttr,
    "root_ttr": lambda lex: lex.rttr,
    "corrected_ttr": lambda lex: lex.cttr,
    "herdan_c": lambda lex: lex.Herdan,
    "maas": lambda lex: lex.Maas,
    "yule_k": lambda lex: lex.yulek,
    "simpson_d": lambda lex: lex.simpsond,
    "mtld": lambda lex: lex.mtld(0.72),
    "hdd": lambda lex: lex.hdd(42),
    "mattr": lambda lex: lex.mattr(50),
}


def compare(texts: pl.Series) -> dict[str, int]:
    """Rows where lexicalrichness gives an answer, by measure; each within 1e-9 of ours."""
    lexicalrichness = pytest.importorskip("lexicalrichness")
    ours = measure_text(texts, list(RICHNESS), LexicalParameters(min_words=1))
    answered = dict.fromkeys(RICHNESS, 0)
    for row, text in enumerate(texts):
        lex = lexicalrichness.LexicalRichness(text, preprocessor=None, tokenizer=naive.words)
        for measure, ask in RICHNESS.items():
            found = ours[measure][row]
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    expected = ask(lex)
            except (ZeroDivisionError, ValueError, KeyError):
                expected = math.nan
            if math.isnan(expected):
                assert found is None, (row, measure, found)
                continue
            assert found is not None, (row, measure, ours[f"{measure}__why"][row])
            assert abs(found - expected) <= 1e-9 * max(abs(expected), 1.0), (row, measure, found, expected)
            answered[measure] += 1
    return answered


def pool(name: str) -> pl.Series:
    path = ROOT.parent / "shared" / "data" / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"no real pool at {path}")
    return pl.read_parquet(path)["output"]


@pytest.mark.parametrize("name", ["alpaca", "dolly", "stackexchange"])
def test_a_sample_of_real_rows_is_as_lexicalrichness_has_it(name: str) -> None:
    answered = compare(pool(name).sample(60, seed=1))
    assert min(answered.values()) > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alpaca", "dolly", "stackexchange"])
def test_every_real_row_is_as_lexicalrichness_has_it(name: str) -> None:
    texts = pool(name)
    answered = compare(texts)
    print(name, answered)
    assert answered["mtld"] >= 0.99 * len(texts)


some_words = st.lists(
    st.sampled_from(
        ["a", "b", "c", "d", "e", "F", "f", "g", "don't", "東", "x9", "é", "naïve", "Σ", "ς", "़"]
    ),
    max_size=120,
)
TWINS = {
    "ttr": (1, naive.ttr),
    "yule_k": (1, naive.yule_k),
    "simpson_d": (2, naive.simpson_d),
    "word_entropy": (1, naive.entropy),
    "mtld": (7, naive.mtld),
    "mtld_lexical_diversity": (7, lambda words: naive.strict_mtld(words, shortest=6)),
    "mtld_ma_bid": (7, lambda words: naive.moving_mtld_bidirectional(words, shortest=6)),
    "mtld_ma_wrap": (7, lambda words: naive.moving_mtld(words, words, shortest=6)),
    "hdd": (20, lambda words: naive.hdd(words, 20)),
    "mattr": (9, lambda words: naive.mattr(words, 9)),
}


@given(st.lists(some_words, min_size=1, max_size=6))
@settings(max_examples=150)
def test_every_measure_is_that_of_the_twin(rows: list[list[str]]) -> None:
    texts = pl.Series([" ".join(row) for row in rows])
    parameters = LexicalParameters(min_words=7, shortest_factor=6, draws=20, window=9)
    found = measure_text(texts, list(TWINS), parameters)
    for row, text in enumerate(texts):
        words = naive.words(text)
        for measure, (least, twin) in TWINS.items():
            value = found[measure][row]
            expected = twin(words) if len(words) >= least else None
            if expected is None:
                assert value is None, (measure, words)
            else:
                assert value == pytest.approx(expected, rel=1e-12, abs=1e-12), (measure, words)


@given(st.lists(st.sampled_from(["a", "b", "cc", "D", "d", "東"]), max_size=60))
@settings(max_examples=200)
def test_repetition_is_that_of_the_twin(row: list[str]) -> None:
    check_repetition(" ".join(row))


def check_repetition(text: str) -> None:
    from imine.indicators.lexical.engine import measure_column

    words = naive.words(text)
    found = measure_column(pl.Series([text]), ["repetition"])
    duplicates = [naive.duplicate_characters(words, n) for n in range(2, 11)]
    tops = [naive.top_characters(words, n) if len(words) >= n else -1 for n in range(2, 5)]
    assert found["duplicate_ngrams"][0].tolist() == duplicates
    assert found["top_ngrams"][0].tolist() == tops


@pytest.mark.parametrize("name", ["oasst", "wikihow", "p3"])
def test_repetition_is_that_of_datatrove_on_real_rows(name: str) -> None:
    gopher = pytest.importorskip("datatrove.pipeline.filters.gopher_repetition_filter")
    from imine.indicators.lexical.engine import measure_column

    texts = pool(name).sample(150, seed=2)
    found = measure_column(texts, ["repetition"])
    run_together = 0
    for row, text in enumerate(texts):
        words = naive.words(text)
        for n in range(2, 11):
            grams = {tuple(words[k : k + n]) for k in range(len(words) - n + 1)}
            if len({"".join(gram) for gram in grams}) < len(grams):
                run_together += 1  # datatrove takes "a part" and "apart" for one, imine does not
                continue
            assert found["duplicate_ngrams"][row, n - 2] == gopher.find_all_duplicate(words, n)
        for n in range(2, 5):
            if len(words) >= n:
                expected = gopher.find_top_duplicate(gopher.get_n_grams(words, n))
                assert found["top_ngrams"][row, n - 2] == expected
    assert run_together < 50


def test_copied_words_are_those_of_the_prompt() -> None:
    prompts = pl.Series(["Name a red rose", "", "x " * 3000, None])
    texts = pl.Series(["A ROSE is red.", "nothing", "y x x", "a"])
    found = measure_text(texts, ["copied_share"], prompt=prompts)["copied_share"]
    assert found.to_list() == [0.75, 0.0, 2 / 3, None]
    with pytest.raises(ValueError, match="copied_share needs the prompts"):
        measure_text(texts, ["copied_share"], prompt=prompts[:2])


@pytest.mark.parametrize("threads", [1, 2])
def test_copied_words_where_prompts_are_longer_than_a_block(threads: int) -> None:
    # A block ends where either its texts or its prompts have become too long.
    rows = range(5000)
    words = [[f"w{(7 * row + k) % 50}" for k in range(row % 9)] for row in rows]
    prompts = [" ".join(f"w{k}" for k in range(row % 50)) + " x" * (200 * (row % 40)) for row in rows]
    texts = [" ".join(each) + " y" * (50 * (row % 31)) for row, each in zip(rows, words, strict=True)]
    column = pl.concat([pl.Series(texts[:1234]), pl.Series(texts[1234:])], rechunk=False)
    found = measure_text(column, ["copied_share"], prompt=pl.Series(prompts), threads=threads)["copied_share"]
    for row in rows:
        split, known = texts[row].split(), set(prompts[row].split())
        expected = sum(word in known for word in split) / len(split) if split else None
        assert found[row] == expected, row


def test_nothing_is_copied_from_a_null_prompt() -> None:
    frame = pl.DataFrame(
        {
            "instruction": [None, None, None, "a", ""],
            "input": ["x", "x", None, None, ""],
            "output": ["a b", None, "", "a b", "a b"],
        },
        schema=dict.fromkeys(("instruction", "input", "output"), pl.String),
    )
    expected = [
        (None, "prompt is null"),
        (None, "response is null"),
        (None, "response has 0 words, fewer than 1"),
        (0.5, None),
        (0.0, None),
    ]
    many = pl.concat([frame] * 2000)
    assert score_lexical(many, ["copied_share"]).rows() == expected * 2000
    found = frame.select(pl.col("output").imine.copied_share("instruction"))
    assert found["output"].to_list() == [None, None, None, 0.5, 0.0]


def test_sums_of_long_texts_do_not_lose_digits() -> None:
    text = " ".join(f"w{k % 9973}" for k in range(200_000))
    found = measure_text(pl.Series([text]), ["yule_k", "hdd", "word_entropy", "sd_word_length"]).row(0)
    words = naive.words(text)
    expected = (naive.yule_k(words), naive.hdd(words), naive.entropy(words), naive.word_lengths(words)[1])
    np.testing.assert_allclose(found[::2], expected, rtol=1e-11)


def test_variants_of_mtld_are_those_of_lexical_diversity() -> None:
    path = ROOT / "tests" / "oracles" / "mtld_variants.py"
    spec = importlib.util.spec_from_file_location("mtld_variants", path)
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    expected = json.loads(oracle.TARGET.read_text())
    found = measure_text(pl.Series([" ".join(words) for words in oracle.made_texts()]), list(expected))
    for name, values in expected.items():
        for ours, theirs in zip(found[name], values, strict=True):
            # That package has 0 where no factor ends.
            assert (ours or 0.0) == pytest.approx(theirs, rel=1e-9), name
