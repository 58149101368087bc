"""The lexical measures against other packages, one thread each, on the same words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import polars as pl
import pytest
from pools import Pool, text_bytes

from imine.bench.plugin import Paired
from imine.columns.lexical import MEASURES
from imine.indicators.lexical import LEXICAL, score_lexical

# In ASCII text that has been lowered and joined by spaces, imine's words are the parts between the spaces.
WORD = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")


@dataclass(frozen=True)
class Words:
    """Responses as lists of words, and as text of the same words."""

    lists: list[list[str]]

    @cached_property
    def frame(self) -> pl.DataFrame:
        return pl.DataFrame({"output": [" ".join(words) for words in self.lists]})

    @property
    def bytes(self) -> int:
        return text_bytes(self.frame, ("output",))


@pytest.fixture(scope="session")
def words(pool: Pool, quick: bool, note: Callable[[str], None]) -> Words:
    """Responses of ten words or more, each only once, drawn with a fixed seed."""
    ascii_only = pl.col("output").str.contains(r"^[\x00-\x7F]+$")
    texts = pool.rows.filter(ascii_only)["output"].unique(maintain_order=True).shuffle(seed=0)
    lists = [found for text in texts if lettered(found := WORD.findall(text.lower())) >= 10]
    chosen = Words(lists[: 4_000 if quick else 20_000])
    count = sum(map(len, chosen.lists))
    note(
        f"peers: {len(chosen.lists):,} ASCII responses of {count:,} words, lowered and joined by spaces; "
        "imine splits and hashes them in its time, the other package only where it is given text"
    )
    return chosen


def lettered(words: list[str]) -> int:
    """Words that begin with a letter: lexicalrichness drops digits, and fails where it finds no word."""
    return sum(word[0].isalpha() for word in words)


@pytest.mark.peer("lexicalrichness")
def bench_mtld_ready_words(paired: Paired, words: Words) -> None:
    """MTLD, the other package given lists of words; both agree on every row to 1e-9, or the benchmark fails."""
    from lexicalrichness import LexicalRichness

    ready = [LexicalRichness(one, preprocessor=None, tokenizer=None) for one in words.lists]

    def theirs() -> list[float]:
        return [one.mtld(threshold=0.72) for one in ready]

    ours = score_lexical(words.frame, ["mtld"], threads=1)["mtld"]
    assert ours.to_list() == pytest.approx(theirs(), rel=1e-9, abs=0)
    pair(paired, words, theirs)


@pytest.mark.peer("lexicalrichness")
def bench_mtld_from_text(paired: Paired, words: Words) -> None:
    """MTLD, both given text, which each splits in its own way: what a user of either waits for."""
    from lexicalrichness import LexicalRichness

    texts = words.frame["output"].to_list()
    pair(paired, words, lambda: [LexicalRichness(text).mtld(threshold=0.72) for text in texts])


def pair(paired: Paired, words: Words, theirs: Callable[[], object]) -> None:
    paired(
        lambda: score_lexical(words.frame, ["mtld"], threads=1),
        theirs,
        name="lexicalrichness",
        rows=len(words.lists),
        bytes=words.bytes,
        target=">= 20",
    )


# The paper that the repetition measures come from.
GOPHER = [name for name in LEXICAL if name in MEASURES and "2112.11446" in MEASURES[name].reference]


@pytest.mark.peer("datatrove")
@pytest.mark.skipif(not GOPHER, reason="this imine has no repetition measures of Gopher")
def bench_gopher_datatrove(paired: Paired, words: Words) -> None:
    """The repetition measures against datatrove's functions, which its filter calls, without its early exits."""
    from datatrove.pipeline.filters import gopher_repetition_filter as gopher

    texts = words.frame["output"].to_list()

    def theirs() -> None:
        for text, one in zip(texts, words.lists, strict=True):
            gopher.find_duplicates(text.split("\n\n"))
            gopher.find_duplicates(text.split("\n"))
            for n in (2, 3, 4):
                gopher.find_top_duplicate(gopher.get_n_grams(one, n))
            for n in (5, 6, 7, 8, 9, 10):
                gopher.find_all_duplicate(one, n)

    paired(
        lambda: score_lexical(words.frame, GOPHER, threads=1),
        theirs,
        name="datatrove",
        rows=len(words.lists),
        bytes=words.bytes,
    )
