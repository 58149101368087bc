"""What is computed of a block of rows: one function a pass, from the block's words or bytes to quantities.

A quantity is an array (rows,) or (rows, values); the formulas make measures of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imine.columns.parameters import LexicalParameters
from imine.indicators.arrow_text import text_chunks
from imine.indicators.lexical.scratch import Outputs, Words

# What two kernels count, in their order.
CHARACTER_COUNTS = ("characters", "digits", "upper", "punctuation", "non_ascii", "white_space", "longest_run")
PART_COUNTS = (
    "lines",
    "duplicate_lines",
    "duplicate_line_characters",
    "paragraphs",
    "duplicate_paragraphs",
    "duplicate_paragraph_characters",
)

_LOG_TABLE_SIZE = 4096
_LIMITS_SIZE = 1024


@dataclass(slots=True)
class Block:
    """A block of rows with what the passes share.

    Attributes:
        rows: their number.
        addresses, lengths: where the texts lie, see :func:`imine_kernels.views.locate_rows`.
        words: the words of the texts.
        prompt: the words of the same rows of the prompt, where a pass needs them.
        prompt_lengths: (rows,) their bytes, -1 where a prompt is null; none where there are no prompts.
        parameters: free numbers of the measures.
        out: receives the quantities, (rows,) or (rows, values).
    """

    rows: int
    addresses: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    words: Words
    prompt: Words | None
    prompt_lengths: NDArray[np.int64]
    parameters: LexicalParameters
    out: Outputs


@dataclass(frozen=True, slots=True)
class Pass:
    """One way over a block.

    Attributes:
        run: computes the quantities.
        quantities: name, and dtype or (number of values a row, dtype).
        needs: ``bytes``, ``words`` (split and hashed) or ``numbers`` (numbered and counted too).
    """

    run: Callable[[Block], None]
    quantities: dict[str, Any]
    needs: str = "numbers"


def _words(block: Block) -> None:
    block.out["words"][:] = np.where(block.lengths[: block.rows] < 0, -1, block.words.n_words)


def _types(block: Block) -> None:
    words, rows = block.words, block.rows
    block.out["types"][:] = words.types[:rows]
    block.out["word_characters"][:] = words.lengths[:rows]
    block.out["squared_word_characters"][:] = words.squared_lengths[:rows]


@cache
def _logs() -> NDArray[np.float64]:
    numbers = np.arange(_LOG_TABLE_SIZE, dtype=np.float64)
    numbers[1:] *= np.log2(numbers[1:])
    numbers.setflags(write=False)
    return numbers


def _spectrum(block: Block) -> None:
    from imine_kernels.diversity import measure_spectrum

    words, out = block.words, block.out
    measure_spectrum(
        words.counts,
        words.offsets,
        words.types,
        block.rows,
        block.parameters.draws,
        _logs(),
        words.absent,
        out["squared_counts"],
        out["entropy"],
        out["hdd"],
    )


def _moving(block: Block) -> None:
    from imine_kernels.diversity import measure_moving

    words = block.words
    window = block.parameters.window
    # The positions are scratch of no pass that runs at the same time.
    measure_moving(
        words.ids, words.offsets, words.types, block.rows, window, words.positions, block.out["mattr"]
    )


@cache
def _limits(threshold: float) -> NDArray[np.int64]:
    """The largest number of types whose ratio to n words is not above the threshold, divided as the measure does."""
    return _largest(lambda types, words: types / words > threshold, threshold)


@cache
def _strict_limits(threshold: float, shortest: int) -> NDArray[np.int64]:
    """The largest number of types whose ratio to n words is below the threshold; -1 below ``shortest`` words."""
    limits = _largest(lambda types, words: types / words >= threshold, threshold).copy()
    limits[:shortest] = -1
    limits.setflags(write=False)
    return limits


def _largest(too_many: Callable[[Any, Any], Any], threshold: float) -> NDArray[np.int64]:
    words = np.arange(1, _LIMITS_SIZE)
    types = np.minimum(np.floor(threshold * words).astype(np.int64) + 1, words)
    for _ in range(3):
        types = np.where(too_many(types, words), types - 1, types)
    limits = np.concatenate([[0], types]).astype(np.int64)
    limits.setflags(write=False)
    return limits


def _mtld(block: Block) -> None:
    from imine_kernels.diversity import measure_mtld

    words, parameters = block.words, block.parameters
    words.stamp = measure_mtld(
        words.ids,
        words.offsets,
        block.rows,
        float(parameters.threshold),
        _limits(float(parameters.threshold)),
        parameters.min_words,
        words.seen,
        words.stamp,
        block.out["mtld"],
    )


def _strict_mtld(block: Block) -> None:
    from imine_kernels.diversity import measure_strict_mtld

    words, parameters = block.words, block.parameters
    words.stamp = measure_strict_mtld(
        words.ids,
        words.offsets,
        block.rows,
        float(parameters.threshold),
        _strict_limits(float(parameters.threshold), parameters.shortest_factor),
        parameters.min_words,
        parameters.shortest_factor,
        words.seen,
        words.stamp,
        block.out["mtld_lexical_diversity"],
    )


def _moving_mtld(name: str, wrap: bool) -> Callable[[Block], None]:
    def run(block: Block) -> None:
        from imine_kernels.diversity import measure_moving_mtld

        words, parameters = block.words, block.parameters
        words.stamp = measure_moving_mtld(
            words.ids,
            words.offsets,
            block.rows,
            float(parameters.threshold),
            _strict_limits(float(parameters.threshold), parameters.shortest_factor),
            parameters.min_words,
            parameters.shortest_factor,
            wrap,
            words.seen,
            words.stamp,
            block.out[name],
        )

    return run


def _repetition(block: Block) -> None:
    from imine_kernels.repetition import measure_repetition

    words = block.words
    measure_repetition(
        words.ids,
        words.characters,
        words.counts,
        words.offsets,
        block.rows,
        words.table,
        words.table_ids,
        words.positions,
        block.out["duplicate_ngrams"],
        block.out["top_ngrams"],
    )


def _characters(block: Block) -> None:
    from imine_kernels.characters import count_characters
    from imine_kernels.unicode_tables import character_tables

    count_characters(
        block.addresses, block.lengths, block.rows, character_tables(), block.out["character_counts"]
    )


def _lines(block: Block) -> None:
    from imine_kernels.lines import count_duplicates
    from imine_kernels.unicode_tables import character_tables

    count_duplicates(block.addresses, block.lengths, block.rows, character_tables(), block.out["part_counts"])


def _sentences(block: Block) -> None:
    from imine_kernels.sentences import count_sentences
    from imine_kernels.unicode_tables import character_tables

    count_sentences(block.addresses, block.lengths, block.rows, character_tables(), block.out["sentences"])


def _syllables(block: Block) -> None:
    from imine_kernels.syllables import count_syllables

    words = block.words
    count_syllables(words.folded, words.starts, block.rows, block.out["syllables"])


def _compression(block: Block) -> None:
    from imine.indicators.lexical.compression import compressed_sizes

    rows = block.rows
    block.out["bytes"][:] = np.maximum(block.lengths[:rows], 0)
    compressed_sizes(block.addresses[:rows], block.lengths[:rows], block.out["compressed_bytes"])


@cache
def _stop_words() -> NDArray[np.uint64]:
    """Hash table of the stop words, as :func:`imine_kernels.repetition.count_members` reads it."""
    from imine.indicators.stop_words import STOP_WORDS
    from imine_kernels.views import locate_rows

    text = pl.Series([" ".join(sorted(STOP_WORDS))])
    addresses, lengths = np.empty(1, np.uint64), np.empty(1, np.int64)
    (chunk,) = text_chunks(text)
    _, n_bytes = locate_rows(chunk.column, 0, 1, 1, addresses, lengths)
    words = Words(1)
    words.read(addresses, lengths, 1, n_bytes)
    table = np.zeros(4 * 1 << int(words.n_words[0]).bit_length(), dtype=np.uint64)
    for word in words.hashes[: words.n_words[0]]:
        slot = int(word) % len(table)
        while table[slot] != 0:
            slot = (slot + 1) % len(table)
        table[slot] = word
    table.setflags(write=False)
    return table


def _stop(block: Block) -> None:
    from imine_kernels.repetition import count_members

    words = block.words
    count_members(words.hashes, words.offsets, block.rows, _stop_words(), block.out["stop_words"])


def _copied(block: Block) -> None:
    from imine_kernels.repetition import count_copied

    words, prompt, out = block.words, block.prompt, block.out["copied"]
    assert prompt is not None
    count_copied(
        words.hashes,
        words.offsets,
        prompt.hashes,
        prompt.offsets,
        block.rows,
        prompt.table,
        out,
    )
    # Of a null prompt as many words are copied as a null text has.
    out[block.prompt_lengths < 0] = -1


PASSES: dict[str, Pass] = {
    "words": Pass(_words, {"words": np.int64}, needs="words"),
    "types": Pass(
        _types, {"types": np.int64, "word_characters": np.int64, "squared_word_characters": np.int64}
    ),
    "spectrum": Pass(_spectrum, {"squared_counts": np.int64, "entropy": np.float64, "hdd": np.float64}),
    "moving": Pass(_moving, {"mattr": np.float64}),
    "mtld": Pass(_mtld, {"mtld": np.float64}),
    "mtld_lexical_diversity": Pass(_strict_mtld, {"mtld_lexical_diversity": np.float64}),
    "mtld_ma_bid": Pass(_moving_mtld("mtld_ma_bid", False), {"mtld_ma_bid": np.float64}),
    "mtld_ma_wrap": Pass(_moving_mtld("mtld_ma_wrap", True), {"mtld_ma_wrap": np.float64}),
    "repetition": Pass(_repetition, {"duplicate_ngrams": (9, np.int64), "top_ngrams": (3, np.int64)}),
    "copied": Pass(_copied, {"copied": np.int64}, needs="words"),
    "stop": Pass(_stop, {"stop_words": np.int64}, needs="words"),
    "syllables": Pass(_syllables, {"syllables": np.int64}, needs="words"),
    "characters": Pass(_characters, {"character_counts": (len(CHARACTER_COUNTS), np.int64)}, needs="bytes"),
    "lines": Pass(_lines, {"part_counts": (len(PART_COUNTS), np.int64)}, needs="bytes"),
    "sentences": Pass(_sentences, {"sentences": np.int64}, needs="bytes"),
    "compression": Pass(_compression, {"bytes": np.int64, "compressed_bytes": np.int64}, needs="bytes"),
}
