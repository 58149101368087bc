"""MTLD and the scores: against lexicalrichness, a plain twin, and other chunks and threads."""

from __future__ import annotations

import importlib.util
import math
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from imine.errors import UnknownIndicatorError
from imine.indicators.arrow_text import for_each_block, text_chunks
from imine.indicators.lexical import LexicalParameters, lexical_fingerprint, measure_text, score_lexical
from imine.indicators.lexical.engine import measure_column
from imine.indicators.lexical.formulas import FORMULAS
from imine_kernels.jit import kernel
from imine_kernels.unicode_tables import UNICODE_VERSION

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("naive_lexical", ROOT / "tests" / "naive_lexical.py")
naive = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(naive)


@pytest.fixture(scope="module")
def data() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real pools at {folder}")
    return folder


def zipf_texts(n_rows: int, seed: int = 3) -> list[str]:
    """Texts of 0 to 600 words whose words recur as in language."""
    rng = np.random.default_rng(seed)
    return [
        " ".join(f"w{k}" for k in np.minimum(rng.zipf(rng.uniform(1.2, 2.0), size), 5000))
        for size in rng.integers(0, 600, n_rows)
    ]


def oracle_mtld(text: str, threshold: float = 0.72) -> float:
    lexicalrichness = pytest.importorskip("lexicalrichness")
    lex = lexicalrichness.LexicalRichness(text, preprocessor=None, tokenizer=naive.words)
    return lex.mtld(threshold)


def mtld(texts: list[str] | pl.Series, **parameters: float) -> np.ndarray:
    values = measure_column(pl.Series(texts, dtype=pl.String), ["mtld"], LexicalParameters(**parameters))
    return values["mtld"]


def bits(column: pl.Series, threads: int | None = None) -> bytes:
    passes = ["words", "types", "spectrum", "moving", "mtld", "mtld_ma_wrap"]
    found = measure_column(column, passes, threads=threads)
    return b"".join(found[name].tobytes() for name in sorted(found))


some_words = st.lists(
    st.sampled_from(["a", "b", "c", "d", "e", "F", "f", "g", "don't", "don’t", "東", "x9", "é"]),
    min_size=1,
    max_size=80,
)


@given(st.lists(some_words, max_size=6), st.floats(0.05, 0.95))
@settings(max_examples=200)
def test_mtld_is_that_of_the_twin(rows: list[list[str]], threshold: float) -> None:
    texts = [" ".join(row) for row in rows]
    found = mtld(texts, threshold=threshold, min_words=1)
    assert found.tolist() == [naive.mtld(naive.words(text), threshold) for text in texts]


@pytest.mark.parametrize("threshold", [0.5, 0.66, 0.72, 0.75])
def test_mtld_is_that_of_lexicalrichness_on_made_texts(threshold: float) -> None:
    texts = [text for text in zipf_texts(150) if text]
    found = mtld(texts, threshold=threshold, min_words=1)
    np.testing.assert_allclose(found, [oracle_mtld(text, threshold) for text in texts], rtol=1e-12, atol=0)


def test_mtld_is_that_of_lexicalrichness_on_every_row_of_alpaca(data: Path) -> None:
    pytest.importorskip("lexicalrichness")
    output = pl.read_parquet(data / "alpaca.parquet")["output"]
    for text, found in zip(output, mtld(output, min_words=1), strict=True):
        if naive.words(text):
            assert abs(found - oracle_mtld(text)) <= 1e-9 * found
        else:
            assert math.isnan(found)
            with pytest.raises(ZeroDivisionError, match="division by zero"):
                oracle_mtld(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two three four five six seven eight nine ten eleven", 11.0),  # no word recurs: one factor
        ("a " * 10, 2.0),  # every second word ends a factor
        ("a a b c d e f g h i", (10 / 1 + 10 / (0.1 / 0.28)) / 2),  # forward, the partial factor is 0
    ],
)
def test_mtld_of_edge_texts(text: str, expected: float) -> None:
    (found,) = mtld([text])
    assert found == pytest.approx(oracle_mtld(text), rel=1e-12)
    assert found == pytest.approx(expected, rel=1e-12)


def test_scores_and_reasons() -> None:
    frame = pl.DataFrame(
        {
            "id": list("abcde"),
            "instruction": ["Name two", "Why?", "", None, "x"],
            "input": ["colours.", "", "only this", "y", None],
            "output": ["Red, blue.", "word", "a b c d e f g h i j", None, ""],
        }
    )
    expected = pl.DataFrame(
        {
            "mtld": [None, None, 10.0, None, None],
            "mtld__why": [
                "response has 2 words, fewer than 10",
                "response has 1 word, fewer than 10",
                None,
                "response is null",
                "response has 0 words, fewer than 10",
            ],
            "input_words": [3, 1, 2, None, 1],
            "input_words__why": [None, None, None, "prompt is null", None],
            "output_words": [2, 1, 10, None, 0],
            "output_words__why": [None, None, None, "response is null", None],
        }
    )
    assert_frame_equal(score_lexical(frame, ["mtld", "input_words", "output_words"]), expected)
    assert score_lexical(frame, ["mtld"], parameters=LexicalParameters(min_words=2))["mtld"][0] == 2.0


def test_empty_frame_has_the_columns_and_no_rows() -> None:
    empty = pl.DataFrame(schema={"instruction": pl.String, "input": pl.String, "output": pl.String})
    scores = score_lexical(empty, ["input_words", "output_words", "mtld"])
    kinds = {"input_words": pl.Int64, "output_words": pl.Int64, "mtld": pl.Float64}
    expected = {name: kind for n, k in kinds.items() for name, kind in ((n, k), (f"{n}__why", pl.String))}
    assert dict(scores.schema) == expected
    assert scores.height == 0


def test_docs_name_the_splitter_and_the_unicode_version() -> None:
    assert lexical_fingerprint("mtld")["unicode"] in (ROOT / "docs" / "lexical.md").read_text()
    assert lexical_fingerprint("mtld")["splitter"] in (ROOT / "docs" / "lexical.md").read_text()


def test_a_column_of_nulls_has_no_words() -> None:
    assert measure_text(pl.Series("output", [None, None]), ["words"])["words"].to_list() == [None, None]


@pytest.fixture(scope="module")
def column() -> pl.Series:
    texts: list[str | None] = list(zipf_texts(3000, seed=5))
    texts[::7] = [None] * len(texts[::7])
    texts[1::7] = ["Kürzer als 12"] * len(texts[1::7])
    return pl.Series("output", texts)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("rows_a_chunk", [1, 13, 700, 1024, 2500])
def test_same_bits_for_any_chunks_and_threads(column: pl.Series, rows_a_chunk: int, threads: int) -> None:
    pieces = [column[start : start + rows_a_chunk] for start in range(0, len(column), rows_a_chunk)]
    chunked = pl.concat(pieces, rechunk=False)
    assert chunked.n_chunks() == len(pieces)
    assert bits(chunked, threads) == bits(column, 1)


@pytest.mark.parametrize(("start", "length"), [(0, 1), (1, 9), (3, 2000), (1030, 1), (2999, 1)])
def test_slices_are_rows_of_the_whole(column: pl.Series, start: int, length: int) -> None:
    whole, part = mtld(column), mtld(column.slice(start, length))
    assert part.tobytes() == whole[start : start + length].tobytes()


def test_filtered_and_gathered_columns(column: pl.Series) -> None:
    whole = mtld(column)
    order = np.random.default_rng(0).permutation(len(column))
    assert mtld(column[order]).tobytes() == whole[order].tobytes()
    kept = np.arange(len(column)) % 3 == 1
    assert mtld(column.filter(pl.Series(kept))).tobytes() == whole[kept].tobytes()


def test_text_is_not_copied() -> None:
    series = pl.Series(["a text of more than twelve bytes"] * 3)
    address = text_chunks(series)[0].column.addresses.tolist()
    assert len(address) == 1
    assert text_chunks(series[1:])[0].column.addresses.tolist() == address
    many = pl.concat([series[:1], series[2:]], rechunk=False)
    assert [a for chunk in text_chunks(many) for a in chunk.column.addresses] == address


def test_calls_from_several_threads_at_once(column: pl.Series) -> None:
    expected = bits(column, 1)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: bits(column, 2), range(8)))
    assert found == [expected] * 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_work_after_its_parent(column: pl.Series) -> None:
    expected = bits(column, 2)

    def child() -> None:
        os._exit(0 if bits(column, 2) == expected else 1)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_an_error_in_a_block_ends_the_others() -> None:
    chunks = text_chunks(pl.Series(["a"] * 200_000))

    def work(chunk: object, start: int, stop: int) -> None:
        if start == 8192:
            raise RuntimeError("block 2")

    with pytest.raises(RuntimeError, match="block 2"):
        for_each_block(lambda: work, chunks, threads=2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"threshold": 1.0}, ValueError, "threshold must lie between 0 and 1, and is 1.0"),
        ({"threshold": 10**400}, ValueError, "threshold must lie between 0 and 1, and is beyond any float"),
        ({"threshold": float("nan")}, ValueError, "threshold must lie between"),
        ({"min_words": 0}, ValueError, "min_words must be at least 1, and is 0"),
        ({"window": 0}, ValueError, "window must be at least 1, and is 0"),
        (
            {"min_words": 2**63},
            ValueError,
            "min_words must be at most 9,223,372,036,854,775,807 .*, and is 9,2",
        ),
        ({"window": 10**30}, ValueError, "window must be at most"),
        ({"draws": 42.5}, TypeError, "draws must be a whole number, and is 42.5"),
        ({"window": True}, TypeError, "window must be a whole number, and is True"),
        ({"threads": 0}, ValueError, "threads must be at least 1, and is 0"),
        ({"names": ["mtld", "perplexity"]}, UnknownIndicatorError, "not a lexical indicator: perplexity"),
    ],
)
def test_wrong_arguments(arguments: dict, error: type[Exception], message: str) -> None:
    frame = pl.DataFrame({"instruction": ["a"], "input": [""], "output": ["b"]})
    own = {key: value for key, value in arguments.items() if key not in ("threads", "names")}
    rest = {key: value for key, value in arguments.items() if key not in own}
    with pytest.raises(error, match=message):
        score_lexical(frame, parameters=LexicalParameters(**own), **rest)


def test_every_value_is_a_finite_number_or_has_a_reason_whatever_the_bytes() -> None:
    rng = np.random.default_rng(0)
    # Combining marks, stray bytes and halves of characters among letters, stops and spaces.
    parts = [bytes([byte]) for byte in range(256)] + [
        b"a",
        b" ",
        b". ",
        b"\n",
        b"\xcc\x81",
        b"\xe2",
        b"\xf0\x9f",
    ] * 30
    rows = [b"".join(parts[k] for k in rng.integers(0, len(parts), rng.integers(0, 90))) for _ in range(4000)]
    text, prompt = pl.Series([*rows, None], dtype=pl.Binary), pl.Series([None, *rows], dtype=pl.Binary)
    found = measure_text(text, list(FORMULAS), prompt=prompt)
    for name in FORMULAS:
        values, why = found[name], found[f"{name}__why"]
        assert values.cast(pl.Float64).is_finite().drop_nulls().all(), name
        assert (values.is_null() == why.is_not_null()).all(), name
        assert (why.drop_nulls().str.len_bytes() > 0).all(), name


def test_a_column_that_is_no_text() -> None:
    with pytest.raises(TypeError, match="column 'output' must be String, and is Int64"):
        score_lexical(pl.DataFrame({"output": [1]}), ["mtld"])


def test_fingerprints_name_what_changes_the_numbers() -> None:
    assert lexical_fingerprint("mtld", LexicalParameters(min_words=5)) == {
        "indicator": "mtld",
        "version": 1,
        "splitter": "imine-words/1",
        "unicode": UNICODE_VERSION,
        "threshold": 0.72,
        "min_words": 5,
    }
    assert "threshold" not in lexical_fingerprint("input_words")
    with pytest.raises(UnknownIndicatorError, match="knn_6"):
        lexical_fingerprint("knn_6")


def _python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True
    )
    return done.stdout.strip()


def test_kernels_import_nothing_of_the_package_above_them() -> None:
    code = (
        "import sys, imine_kernels, imine_kernels.words, imine_kernels.repetition, imine_kernels.diversity\n"
        "print(sorted({'imine', 'polars', 'pyarrow', 'torch'} & set(sys.modules)))"
    )
    assert _python(code, ROOT / "kernels") == "[]"


def test_importing_the_indicators_loads_no_numba() -> None:
    assert _python("import sys, imine.indicators.lexical; print('numba' in sys.modules)", ROOT) == "False"


@pytest.mark.parametrize(("switch", "kind"), [("0", "NullCache"), ("1", "FunctionCache")])
def test_one_switch_turns_the_disk_cache_off(monkeypatch: pytest.MonkeyPatch, switch: str, kind: str) -> None:
    monkeypatch.setenv("IMINE_NUMBA_CACHE", switch)
    made = kernel(naive.mtld)
    assert type(getattr(made, "cached", made)._cache).__name__ == kind


def test_a_cache_that_fails_is_left_out() -> None:
    made = kernel(naive.ttr)

    def broken(*_: object) -> None:
        raise EOFError("Ran out of input")

    made.cached, made.plain = broken, lambda words: len(words)
    with pytest.warns(RuntimeWarning, match="the cache of compiled kernels in .* is left out: EOFError"):
        assert made(["a", "b"]) == 2
    assert made(["a"]) == 1
