"""Kernels of characters, sentences, syllables and lines against their plain twins; the facts of the other measures."""

from __future__ import annotations

import codecs
import ctypes
import importlib.util
import mmap
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imine.columns.characters import CHARACTERS
from imine.indicators.arrow_text import text_chunks
from imine.indicators.lexical import measure_text
from imine.indicators.stop_words import STOP_WORDS
from imine_kernels.characters import COUNTS, count_characters
from imine_kernels.folding import fold_rows
from imine_kernels.jit import kernel
from imine_kernels.lines import DUPLICATES, count_duplicates
from imine_kernels.sentences import count_sentences
from imine_kernels.syllables import count_syllables
from imine_kernels.unicode_tables import UNICODE_VERSION, character_tables, word_tables
from imine_kernels.views import locate_rows
from imine_kernels.words import folded_size

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
TABLES, WORDS = character_tables(), word_tables()
FOLD_ROWS = kernel(fold_rows)


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


naive = _load(ROOT / "tests" / "naive_characters.py")
naive_words = _load(ROOT / "tests" / "naive_lexical.py")
generator = _load(ROOT / "tools" / "generate_unicode_tables.py")
CLASSES = TABLES.stage2.reshape(-1, 128)[TABLES.stage1].ravel()


def same_unicode(char: str) -> bool:
    """False for a character that this Python knows and the Unicode version of the tables did not."""
    return CLASSES[ord(char)] == generator.character_class(ord(char))


def replace_one(error: UnicodeDecodeError) -> tuple[str, int]:
    """Each byte outside a well-formed sequence is one U+FFFD; a surrogate's three bytes are one unknown character."""
    piece = error.object[error.start : error.start + 3]
    try:
        return piece.decode("utf-8", "surrogatepass")[0], error.start + 3
    except UnicodeDecodeError:
        return "\ufffd", error.start + 1


codecs.register_error("imine_one_by_one", replace_one)


def blocks(series: pl.Series) -> Iterator[tuple[np.ndarray, np.ndarray, int, int]]:
    for chunk in text_chunks(series):
        addresses, lengths = np.empty(chunk.n_rows, np.uint64), np.empty(chunk.n_rows, np.int64)
        rows, n_bytes = locate_rows(chunk.column, 0, chunk.n_rows, 2**62, addresses, lengths)
        yield addresses, lengths, rows, n_bytes


def filled(kernel: Callable[..., None], shape: tuple[int, ...], *arguments: object) -> list:
    # Transposed and with a gap, as the engine hands them over.
    out = np.full((*shape[1:], shape[0] + 1), -7, dtype=np.int64).T[: shape[0]]
    kernel(*arguments, out)
    return out.tolist()


def characters(series: pl.Series) -> list[list[int]]:
    return [
        row
        for addresses, lengths, rows, _ in blocks(series)
        for row in filled(count_characters, (rows, len(COUNTS)), addresses, lengths, rows, TABLES)
    ]


def sentences(series: pl.Series) -> list[int]:
    return [
        row
        for addresses, lengths, rows, _ in blocks(series)
        for row in filled(count_sentences, (rows,), addresses, lengths, rows, TABLES)
    ]


def duplicates(series: pl.Series) -> list[list[int]]:
    return [
        row
        for addresses, lengths, rows, _ in blocks(series)
        for row in filled(count_duplicates, (rows, len(DUPLICATES)), addresses, lengths, rows, TABLES)
    ]


def syllables(series: pl.Series) -> list[int]:
    counts = []
    for addresses, lengths, rows, n_bytes in blocks(series):
        folded = np.full(folded_size(rows, n_bytes), ord("a"), dtype=np.uint8)
        starts = np.empty(rows + 1, dtype=np.int64)
        FOLD_ROWS(addresses, lengths, rows, WORDS, folded, starts)
        in_larger = filled(count_syllables, (rows,), folded, starts, rows)
        assert filled(count_syllables, (rows,), folded[: starts[rows]].copy(), starts, rows) == in_larger
        counts += in_larger
    return counts


def agree(texts: list[str]) -> None:
    series = pl.Series(texts, dtype=pl.String)
    assert characters(series) == [naive.character_counts(text) for text in texts]
    assert sentences(series) == [naive.sentences(text) for text in texts]
    assert duplicates(series) == [naive.duplicates(text) for text in texts]
    assert syllables(series) == [naive.syllables(naive_words.words(text)) for text in texts]


MARKS = "abcdeghilmnostuxyzAI059 \n\t\r.!?…,;:'’\"”»)]*_-#•$~\0。？「」．éÉñǅ½Ⅷ٣あ東กি\u0301\u00a0\u2028\u3000\x1c❤𝔸𐐀۔।"
PIECES = ["ing", "ly", "ment", "es", "ed", "le", "n't", "ism", "ia", "iet", "...", "1."]
tricky = st.sampled_from([*MARKS, *PIECES, "\n\n", ". ", "1. "])
known = st.characters(exclude_categories=["Cs"]).filter(same_unicode)
tricky_text = st.lists(tricky, max_size=60).map("".join)
long_text = st.lists(st.tuples(tricky_text, st.integers(1, 90)), max_size=4).map(
    lambda parts: "".join(text * n if len(text) < 3 else text for text, n in parts)
)


def test_tables_are_what_the_generator_makes() -> None:
    if unicodedata.unidata_version != UNICODE_VERSION:
        pytest.skip(f"tables of Unicode {UNICODE_VERSION}, this Python has {unicodedata.unidata_version}")
    stage1, stage2 = generator.build_characters()
    np.testing.assert_array_equal(TABLES.stage1, stage1)
    np.testing.assert_array_equal(TABLES.stage2, stage2)


def test_every_code_point_is_counted_as_unicodedata_has_it() -> None:
    chars = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    chars = [char for char in chars if same_unicode(char)]
    assert len(chars) > 1_000_000
    texts = ["".join(chars[start : start + 100]) for start in range(0, len(chars), 100)]
    found = np.array(characters(pl.Series(texts)))
    np.testing.assert_array_equal(found, np.array([naive.character_counts(text) for text in texts]))


@given(st.lists(st.one_of(tricky_text, long_text, st.text(known)), min_size=1, max_size=4))
@settings(max_examples=600, deadline=None)
def test_kernels_agree_with_their_twins(texts: list[str]) -> None:
    agree(texts)


@pytest.mark.parametrize("length", [*range(1, 12), *range(55, 75), *range(115, 140), 191, 192, 193, 257])
def test_kernels_agree_at_every_length_around_a_window(length: int) -> None:
    for piece in ("a", "ab. ", "é", "x.\n\n", "quiet ", "1. A\n", "ba-", "...", "東。", "make", "b"):
        text = piece * length
        agree([text[:length], "y" + text[:length], text[: length // 2] + "z" * length, text[:length] + "e"])


def test_null_and_empty_rows_and_chunks() -> None:
    series = pl.concat([pl.Series(["One. Two.", None]), pl.Series(["", "a\na" * 20])], rechunk=False)
    assert [row[0] for row in characters(series)] == [9, 0, 0, 60]
    assert sentences(series) == [2, 0, 0, 1]
    assert [row[:2] for row in duplicates(series)] == [[1, 0], [1, 0], [1, 0], [21, 19]]
    assert syllables(series) == [2, 0, 0, 21]
    assert sentences(series.slice(2)) == [0, 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("... --- !", 0),
        ("no mark", 1),
        ("One. Two! Three? Four…", 4),
        ("Pi is 3.14 or so. Yes.", 2),
        ('He said "Go." She went.', 2),
        ("He said (twice.) She went.", 2),
        ("**Bold.** Next", 2),
        ("What?! Really...", 2),
        ("approx. ten", 1),
        ("well... no", 1),
        ("Stop! no", 2),
        ("J. R. Smith came. He left.", 2),
        ("in the U.S. Army", 1),
        ("e.g. Berlin", 1),
        ("1. First\n2. Second\n3. Third", 3),
        ("**1. First** thing. Then", 2),
        ("It has 10. Then more", 2),
        ("In 2019. Then", 2),
        ("2019. Then", 2),
        ("- a\n- b\n* c\n• d", 4),
        ("hard\nwrapped", 1),
        ("title\n\ntext", 2),
        ("title\n \n text", 2),
        ("title\r\n\r\ntext", 2),
        ("今日は。元気？「はい。」と", 4),
        ("Mr. Smith", 2),
        ("vitamin C. It", 1),
        ("see imine.score and end.Next", 1),
    ],
)
def test_sentences_of_known_texts(text: str, expected: int) -> None:
    assert naive.sentences(text) == expected
    assert sentences(pl.Series([text, text + " " * 70])) == [expected] * 2


KNOWN_SYLLABLES = {
    "the cat sat on mats": 5,
    "table tables little": 6,
    "make makes maker": 4,
    "boxes wishes churches places": 8,
    "wanted played needed": 5,
    "nicely movement": 4,
    "being doing things": 5,
    "eyes player": 3,
    "quiet diet": 4,
    "nation social media radio": 10,
    "didn't can't": 3,
    "tourism": 3,
    "language actual": 5,
    "we've someone's": 3,
    "2024 東京 mr x2": 5,
    "café-42": 2,
    "well-being": 3,
    "rhythm": 1,
    "dn't": 2,
}


@pytest.mark.parametrize(("text", "expected"), KNOWN_SYLLABLES.items())
def test_syllables_of_known_words(text: str, expected: int) -> None:
    assert naive.syllables(naive_words.words(text)) == expected
    assert syllables(pl.Series([text.upper()])) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [1, 0, 0, 1, 0, 0]),
        ("\n", [2, 1, 0, 1, 0, 0]),
        ("a\nb\na", [3, 1, 1, 1, 0, 0]),
        ("é é\n\né é\n\n\né é", [3, 2, 6, 3, 2, 6]),
        (" a\n\na", [2, 0, 0, 2, 1, 1]),
        ("a b\nc\n\na b\nc\n\nd", [5, 2, 4, 3, 1, 5]),
        ("same line of more than eight bytes\n" * 3, [4, 2, 68, 1, 0, 0]),
    ],
)
def test_duplicates_of_known_texts(text: str, expected: list[int]) -> None:
    assert naive.duplicates(text) == expected
    assert duplicates(pl.Series([text])) == [expected]


def test_many_lines_share_one_table() -> None:
    texts = ["x\n" * n for n in (3, 2000, 1, 500)] + [
        "\n".join(f"line {n % 700}" for n in range(3000)),
        "a\na",
    ]
    assert duplicates(pl.Series(texts)) == [naive.duplicates(text) for text in texts]


def test_lines_made_of_the_same_pieces_are_told_apart() -> None:
    # Under a hash of two states that met unmixed, these two were one line.
    pair = "abcdefghijklmnop\nyjklmnopqbcdefgh"
    rng = np.random.default_rng(0)
    pieces = ["line of text ", "again ", "a ", "0", "of 8 bytes", "abcdefgh"]
    many = "\n".join("".join(rng.choice(pieces, size)) for size in rng.integers(0, 7, 20_000))
    assert duplicates(pl.Series([pair, many])) == [naive.duplicates(pair), naive.duplicates(many)]
    assert naive.duplicates(many)[0] > 10_000


def datatrove_shares(text: str) -> list[float]:
    module = pytest.importorskip("datatrove.pipeline.filters.gopher_repetition_filter")
    gopher = module.GopherRepetitionFilter()
    shares = []
    for parts in (gopher._line_splitter.split(text), gopher.paragraph_exp.split(text.strip())):
        n_duplicates, n_characters = module.find_duplicates(parts)
        shares += [n_duplicates / len(parts), n_characters / len(text)]
    return shares


def imine_shares(texts: list[str]) -> list[list[float]]:
    series = pl.Series(texts)
    return [
        [d[1] / d[0], d[2] / c[0], d[4] / d[3], d[5] / c[0]]
        for d, c in zip(duplicates(series), characters(series), strict=True)
    ]


def test_duplicate_shares_are_those_of_datatrove_on_made_up_texts() -> None:
    texts = [
        "a\nb\na\n",
        "\n\na\n\na\n\n",
        " x \n x\n\nx",
        "p q\n\np q\n\n\np q\r\n",
        "東\n\n東",
        "\u2028\na\n\na",
    ]
    assert imine_shares(texts) == [datatrove_shares(text) for text in texts]


@pytest.mark.parametrize("name", ["alpaca", "dolly", "oasst", "stackexchange", "wikihow"])
def test_real_rows_agree_with_datatrove_and_the_twins(name: str) -> None:
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip("needs the shared data sets")
    frame = pl.read_parquet(path).with_columns(both=pl.concat_str("instruction", "output", separator="\n"))
    texts = [text for text in frame["both"].drop_nulls().gather_every(40).to_list() if text]
    assert len(texts) > 4
    assert imine_shares(texts) == [datatrove_shares(text) for text in texts]
    agree(texts)


@st.composite
def broken_utf8(draw: st.DrawFn) -> bytes:
    whole = draw(st.one_of(tricky_text, st.text(known))).encode()
    at = draw(st.integers(0, len(whole)))
    return whole[:at] + draw(st.binary(max_size=3)) + whole[at + draw(st.integers(0, 3)) :]


@given(st.lists(st.one_of(st.binary(max_size=150), broken_utf8()), min_size=1, max_size=4))
@settings(max_examples=400, deadline=None)
def test_bytes_outside_wellformed_utf8_are_characters_by_themselves(rows: list[bytes]) -> None:
    pairs = [(row, row.decode("utf-8", "imine_one_by_one")) for row in rows]
    pairs = [(row, text) for row, text in pairs if all(map(same_unicode, text))]
    series, texts = pl.Series([row for row, _ in pairs], dtype=pl.Binary), [text for _, text in pairs]
    assert characters(series) == [naive.character_counts(text) for text in texts]
    assert sentences(series) == [naive.sentences(text) for text in texts]
    # The characters of duplicates are left out: they are counted by first bytes, which stray bytes need not be.
    lines = [naive.duplicates(row.decode("latin-1"))[:2] for row, _ in pairs]
    assert [row[:2] for row in duplicates(series)] == lines
    assert len(syllables(series)) == len(texts)


@pytest.fixture(scope="module")
def page_end() -> tuple[mmap.mmap, int]:
    """A page that may be written, and its address; the page behind it may not be read: reading ends the process."""
    mprotect = getattr(ctypes.CDLL(None), "mprotect", None)
    if mprotect is None:
        pytest.skip("no mprotect on this system")
    memory = mmap.mmap(-1, 3 * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, 2):
        assert (
            mprotect(ctypes.c_void_p(address + page * mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
        )
    return memory, address


TAILS = [
    b"word",
    b"a.",
    b"1.",
    b". \n",
    b"\n\n",
    b"aaaa",
    b"it'",
    "it’".encode(),
    b"a\xe2\x80",
    b"a\xf0\x9f\x98",
    b"\xc3",
]


@pytest.mark.parametrize("tail", TAILS)
def test_no_byte_is_read_outside_a_row(page_end: tuple[mmap.mmap, int], tail: bytes) -> None:
    memory, address = page_end
    page = mmap.PAGESIZE
    lengths = [*range(len(tail), len(tail) + 20), *range(60, 70), *range(124, 134)]
    for at_start in (True, False):
        for length in lengths:
            text = (b"x. y\nyy " * 20)[: length - len(tail)] + tail
            start = page if at_start else 2 * page - length
            memory[start : start + length] = text
            row = np.array([address + start], dtype=np.uint64), np.array([length], dtype=np.int64), 1, TABLES
            decoded = text.decode("utf-8", "imine_one_by_one")
            assert filled(count_characters, (1, 7), *row) == [naive.character_counts(decoded)]
            assert filled(count_sentences, (1,), *row) == [naive.sentences(decoded)]
            assert filled(count_duplicates, (1, 6), *row)[0][0] == naive.duplicates(decoded)[0]


def test_folded_text_is_not_read_outside(page_end: tuple[mmap.mmap, int]) -> None:
    memory, address = page_end
    for n_words in range(20):
        text = b"\0".join([b"quietly"] * n_words) + bytes(16)
        for start in (mmap.PAGESIZE, 2 * mmap.PAGESIZE - len(text)):
            memory[start : start + len(text)] = text
            folded = np.ctypeslib.as_array((ctypes.c_uint8 * len(text)).from_address(address + start))
            starts = np.array([0, len(text)], dtype=np.int64)
            assert filled(count_syllables, (1,), folded, starts, 1) == [3 * n_words]


def test_work_grows_with_the_length_of_a_text() -> None:
    # Each of these would take minutes if a rule looked back to the start of the text at every mark.
    n = 200_000
    texts = [piece * n for piece in (". ", "1. ", "\n\n", "…", "é.", "-\n", "1.\n", "a\n", " \n")]
    assert sentences(pl.Series(texts)) == [0, n - 1, 0, 0, 1, 0, n, 1, 0]
    assert [row[0] for row in duplicates(pl.Series(texts[-2:]))] == [n + 1, n + 1]


def test_compression_is_zlib_of_each_row() -> None:
    texts = ["a", "to be or not to be " * 40, "東京" * 9, None, "", "word"] * 400
    series = pl.concat([pl.Series(texts), pl.Series(texts[:5])], rechunk=False)
    found = measure_text(series, ["compression_ratio"], threads=2)
    expected = [len(t.encode()) / len(zlib.compress(t.encode(), 6)) if t else None for t in series]
    assert found["compression_ratio"].to_list() == expected
    assert found["compression_ratio__why"][3:5].to_list() == ["text is null", "text is empty"]


def test_stop_words_are_words_in_their_folded_form() -> None:
    assert len(STOP_WORDS) == 278
    assert [word for word in STOP_WORDS if naive_words.words(word) != [word]] == []


def test_specs_state_every_field() -> None:
    assert len({spec.name for spec in CHARACTERS}) == len(CHARACTERS) == 17
    stop_words = next(spec for spec in CHARACTERS if spec.name == "stop_word_share")
    assert str(len(STOP_WORDS)) in stop_words.definition
    for spec in CHARACTERS:
        assert all((spec.doc, spec.unit, spec.direction, spec.definition, spec.null_when)), spec.name
        assert spec.formula or spec.dtype == "Int64", spec.name


def test_counts_stand_in_the_order_that_the_formulas_read() -> None:
    from imine.indicators.lexical.passes import CHARACTER_COUNTS, PART_COUNTS

    assert CHARACTER_COUNTS == COUNTS
    assert PART_COUNTS == DUPLICATES
