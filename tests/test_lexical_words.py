"""The word splitter against its plain twin, on all of Unicode and on bytes that are no text."""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import random
import unicodedata
from pathlib import Path
from string import ascii_lowercase
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imine.indicators.arrow_text import text_chunks
from imine.indicators.lexical import measure_text
from imine.indicators.lexical.scratch import Words
from imine_kernels.unicode_tables import UNICODE_VERSION, word_tables
from imine_kernels.views import ViewColumn, locate_rows
from imine_kernels.words import WordBuffers

ROOT = Path(__file__).resolve().parents[1]
TABLES = word_tables()
CYRILLIC = "абвгдежзийклмнопрс"
CLASSES = {" ": 0, "W": 1, "M": 2, "S": 3, "J": 4}


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


naive = _load(ROOT / "tests" / "naive_lexical.py")


def _unpacked_tables() -> tuple[list[int], list[int]]:
    code_points = np.arange(0x110000)
    blocks = TABLES.stage1[code_points >> 7].astype(np.int64)
    kinds, deltas = TABLES.properties[TABLES.stage2[blocks * 128 + (code_points & 127)]].T
    return kinds.tolist(), (code_points + deltas).tolist()


KINDS, FOLDED = _unpacked_tables()


def same_unicode(char: str) -> bool:
    """False for a character that this Python knows and the Unicode version of the tables did not."""
    return KINDS[ord(char)] == CLASSES[naive.letter_class(char)]


def read_words(column: ViewColumn, n_rows: int) -> WordBuffers:
    words = Words(n_rows)
    assert words.read(column, 0, n_rows, np.iinfo(np.int64).max, numbered=False) == n_rows
    return words.arrays


def kernel_hashes(series: pl.Series) -> list[list[int]]:
    found = []
    for chunk in text_chunks(series):
        words = read_words(chunk.column, chunk.n_rows)
        found += [part.tolist() for part in np.split(words.hashes, words.offsets[1:])[:-1]]
    return found


def naive_hashes(text: str) -> list[int]:
    return [naive.word_hash(word) for word in naive.words(text)]


tricky = st.sampled_from(
    list("aB9'’-‐‑ \n\t.,_İıΣςσẞßǅⅧ½²あアーｱ東〇京กำ้๙é1❤𝔸𐐀𠮷\u0301\u0345\u200c\u200d\u00ad\ufe0f\u20e3")
)
known = st.characters(exclude_categories=["Cs"]).filter(same_unicode)
any_text = st.text(st.one_of(tricky, known))


def test_tables_hold_every_code_point_of_their_unicode_version() -> None:
    for code_point in range(0x110000):
        char = chr(code_point)
        if same_unicode(char):
            expected = ord(naive.fold(char)) if KINDS[code_point] else code_point
            assert FOLDED[code_point] == expected, hex(code_point)
        else:
            assert unicodedata.unidata_version != UNICODE_VERSION, hex(code_point)


def test_tables_are_what_the_generator_makes() -> None:
    if unicodedata.unidata_version != UNICODE_VERSION:
        pytest.skip(f"tables of Unicode {UNICODE_VERSION}, this Python has {unicodedata.unidata_version}")
    generator = _load(ROOT / "tools" / "generate_unicode_tables.py")
    stage1, stage2, properties = generator.build()
    np.testing.assert_array_equal(TABLES.stage1, stage1)
    np.testing.assert_array_equal(TABLES.stage2, stage2)
    np.testing.assert_array_equal(TABLES.properties, properties)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Don't don’t", ["don't", "don't"]),
        ("'tis rock 'n' roll's'", ["tis", "rock", "n", "roll's"]),
        ("re-use re‐use re‑use", ["re-use"] * 3),
        ("a--b -c d- e-'f 'g-h'", ["a", "b", "c", "d", "e", "f", "g-h"]),
        ("3.14 1,000 2nd x_y", ["3", "14", "1", "000", "2nd", "x", "y"]),
        ("CAFÉ café", ["café", "café"]),
        ("CAFE\u0301", ["cafe\u0301"]),
        ("İstanbul ΟΔΟΣ οδος", ["istanbul", "οδοσ", "οδοσ"]),
        ("東京タワー2号", ["東", "京", "タ", "ワ", "ー", "2", "号"]),
        ("ab東cd", ["ab", "東", "cd"]),
        ("東-京 a-東", ["東", "京", "a", "東"]),
        ("か\u3099き", ["か\u3099", "き"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("๒๕๖๐", ["๒๕๖๐"]),
        ("❤\ufe0f \u0301", []),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("हिन्दी 한국어", ["हिन्दी", "한국어"]),
        ("m² ½ Ⅷ", ["m²", "½", "ⅷ"]),
    ],
)
def test_words_of_known_texts(text: str, expected: list[str]) -> None:
    assert naive.words(text) == expected
    assert kernel_hashes(pl.Series([text])) == [[naive.word_hash(word) for word in expected]]


@given(st.lists(any_text, min_size=1, max_size=5))
@settings(max_examples=300)
def test_words_of_any_text_are_those_of_the_twin(texts: list[str]) -> None:
    assert kernel_hashes(pl.Series(texts)) == [naive_hashes(text) for text in texts]


@given(st.lists(tricky, max_size=40))
@settings(max_examples=500)
def test_words_of_tricky_neighbours_are_those_of_the_twin(chars: list[str]) -> None:
    text = "".join(chars)
    assert kernel_hashes(pl.Series([text])) == [naive_hashes(text)]


@pytest.mark.parametrize("inserted", ["", "é", "’", "東", "\u0301"])
def test_runs_of_ascii_of_every_length_are_folded_as_by_the_twin(inserted: str) -> None:
    chance = random.Random(len(inserted.encode()))
    texts = []
    for length in range(200):
        chars = chance.choices("azAZ09'-' @[`{/:", k=length)
        chars.insert(chance.randint(0, length), inserted)
        texts.append("".join(chars))
    assert kernel_hashes(pl.Series(texts)) == [naive_hashes(text) for text in texts]


@given(st.lists(any_text, min_size=1, max_size=5))
def test_types_and_lengths_are_those_of_the_twin(texts: list[str]) -> None:
    found = measure_text(pl.Series(texts), ["types", "mean_word_length", "sd_word_length"])
    for text, (types, mean, sd) in zip(texts, found.select(pl.exclude("^.*__why$")).iter_rows(), strict=True):
        words = naive.words(text)
        assert types == len(set(words))
        if words:
            assert (mean, sd) == pytest.approx(naive.word_lengths(words), rel=1e-12, abs=1e-12)
        else:
            assert mean is None and sd is None  # noqa: PT018


@st.composite
def broken_utf8(draw: st.DrawFn) -> bytes:
    whole = draw(any_text).encode()
    at = draw(st.integers(0, len(whole)))
    return whole[:at] + draw(st.binary(max_size=2)) + whole[at + draw(st.integers(0, 3)) :]


@given(st.lists(st.one_of(st.binary(max_size=60), broken_utf8()), min_size=1, max_size=5))
@settings(max_examples=400)
def test_bytes_outside_wellformed_utf8_separate_words(rows: list[bytes]) -> None:
    # Random bytes may make a character that only the tables or only this Python knows as one of a word.
    texts = [row.decode("utf-8", "replace") for row in rows]
    pairs = [(row, text) for row, text in zip(rows, texts, strict=True) if all(map(same_unicode, text))]
    found = kernel_hashes(pl.Series([row for row, _ in pairs], dtype=pl.Binary))
    assert found == [naive_hashes(text) for _, text in pairs]


def test_no_byte_is_read_after_the_end_of_a_buffer() -> None:
    mprotect = getattr(ctypes.CDLL(None), "mprotect", None)
    if mprotect is None:
        pytest.skip("no mprotect on this system")
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    # The second page may not be read: reading it ends the process.
    assert mprotect(ctypes.c_void_p(address + page), ctypes.c_size_t(page), 0) == 0
    for tail in (
        b"word",
        b"it'",
        "it’".encode(),
        b"a\xe2\x80",
        b"a\xe2",
        b"a\xf0\x9f\x98",
        b"\xe6\x9d\xb1",
        b"\xc3",
        *(b"word's " * 20 + b"w" * length for length in range(70)),
    ):
        text = b"x " * 10 + tail
        memory[page - len(text) : page] = text
        column = ViewColumn(
            views=np.array([len(text), 0, 0, page - len(text)], dtype=np.int32),
            addresses=np.array([address], dtype=np.uint64),
            sizes=np.array([page], dtype=np.int64),
            validity=np.empty(0, dtype=np.uint8),
            offset=0,
        )
        words = read_words(column, 1)
        assert words.hashes[: words.offsets[1]].tolist() == naive_hashes(text.decode("utf-8", "replace"))


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ([-1, 0, 0, 0], "points to no buffer"),
        ([20, 0, 1, 0], "points to no buffer"),
        ([20, 0, -1, 0], "points to no buffer"),
        ([20, 0, 0, -4], "points to no buffer"),
        ([20, 0, 0, 13], "ends outside its buffer"),
        ([2**31 - 1, 0, 0, 2**31 - 1], "ends outside its buffer"),
    ],
)
def test_a_view_outside_its_buffers_is_refused(view: list[int], message: str) -> None:
    text = np.zeros(32, dtype=np.uint8)
    column = ViewColumn(
        views=np.array(view, dtype=np.int32),
        addresses=np.array([text.ctypes.data], dtype=np.uint64),
        sizes=np.array([32], dtype=np.int64),
        validity=np.empty(0, dtype=np.uint8),
        offset=0,
    )
    with pytest.raises(ValueError, match=message):
        locate_rows(column, 0, 1, 100, np.empty(1, np.uint64), np.empty(1, np.int64))


def test_scratch_grows_with_the_longest_row() -> None:
    texts = ["a b " * n for n in (1, 400, 3, 50_000, 2)] + ["東" * 70_000, "a東" * 30_000]
    expected = [2, 800, 6, 100_000, 4, 70_000, 60_000]
    assert measure_text(pl.Series(texts), ["words"])["words"].to_list() == expected


SIMILAR = {
    "counted": [f"w{n}" for n in range(100_000)],
    "binary": [f"{n:b}" for n in range(100_000)],
    "four numbers": [
        f"{a:04d}{b:04d}{c:04d}{d:04d}"
        for a in (1, 2)
        for b in range(20)
        for c in range(50)
        for d in range(50)
    ],
    "three letters": [
        f"abcdefg{a}hij{b}klm{c}" for a in ascii_lowercase for b in ascii_lowercase for c in ascii_lowercase
    ],
    "cyrillic": [f"аbв{a}г{b}д{c}ежз" for a in CYRILLIC for b in CYRILLIC for c in CYRILLIC],
}


@pytest.mark.parametrize("kind", list(SIMILAR))
def test_similar_words_have_distinct_hashes(kind: str) -> None:
    words = SIMILAR[kind]
    found = measure_text(pl.Series([" ".join(words)]), ["types"])["types"].item()
    assert found == len(set(words)) == len(words)
    lines = measure_text(pl.Series(["\n".join(words)]), ["duplicate_line_share"])
    assert lines["duplicate_line_share"].item() == 0.0


def test_the_deviation_of_lengths_of_a_huge_word_is_right() -> None:
    texts = pl.Series(["a " * 1_000_000 + "b" * 3_200_000, "a " * 100_000 + "b" * 10**7])
    expected = []
    for n, long in ((1_000_001, 3_200_000), (100_001, 10**7)):
        mean = (n - 1 + long) / n
        expected.append((((n - 1) * (1 - mean) ** 2 + (long - mean) ** 2) / n) ** 0.5)
    found = measure_text(texts, ["sd_word_length"])["sd_word_length"].to_list()
    assert found == pytest.approx(expected, rel=1e-9)
