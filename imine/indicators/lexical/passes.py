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
        words: the texts and their words.
        prompt: the prompts of the same rows and their words, where a pass needs them.
        parameters: free numbers of the measures.
        out: receives the quantities, (rows,) or (rows, values).
    """

    words: Words
    prompt: Words | None
    parameters: LexicalParameters
    out: Outputs


@dataclass(frozen=True, slots=True)
class Pass:
    """One way over a block.

    Attributes:
        run: computes the quantities.
        quantities: name, and dtype or (number of values a row, dtype).
        needs: ``bytes`` (where they lie), ``words`` (split and hashed) or ``numbers`` (numbered and counted too).
    """

    run: Callable[[Block], None]
    quantities: dict[str, Any]
    needs: str = "numbers"


def _words(block: Block) -> None:
    block.out["words"][:] = block.words.arrays.n_words[: block.words.rows]


def _types(block: Block) -> None:
    for name in ("types", "word_characters", "squared_word_characters"):
        block.out[name][:] = getattr(block.words.arrays, name)[: block.words.rows]


@cache
def _logs() -> NDArray[np.float64]:
    numbers = np.arange(_LOG_TABLE_SIZE, dtype=np.float64)
    numbers[1:] *= np.log2(numbers[1:])
    numbers.setflags(write=False)
    return numbers


def _spectrum(block: Block) -> None:
    from imine_kernels.diversity import measure_spectrum

    words, arrays, out = block.words, block.words.arrays, block.out
    measure_spectrum(
        arrays.counts,
        arrays.offsets,
        arrays.types,
        words.rows,
        block.parameters.draws,
        _logs(),
        words.absent,
        out["squared_counts"],
        out["entropy"],
        out["hdd"],
    )


def _moving(block: Block) -> None:
    from imine_kernels.diversity import measure_moving

    words, arrays = block.words, block.words.arrays
    measure_moving(
        arrays.ids,
        arrays.offsets,
        arrays.types,
        words.rows,
        block.parameters.window,
        # The positions are scratch of no pass that runs at the same time.
        words.positions,
        block.out["mattr"],
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
        words.arrays.ids,
        words.arrays.offsets,
        words.rows,
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
        words.arrays.ids,
        words.arrays.offsets,
        words.rows,
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
            words.arrays.ids,
            words.arrays.offsets,
            words.rows,
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

    words, arrays = block.words, block.words.arrays
    measure_repetition(
        arrays.ids,
        arrays.characters,
        arrays.counts,
        arrays.offsets,
        words.rows,
        arrays.table,
        arrays.table_ids,
        words.positions,
        block.out["duplicate_ngrams"],
        block.out["top_ngrams"],
    )


def _texts(block: Block) -> tuple[NDArray[np.uint64], NDArray[np.int64], int]:
    return block.words.arrays.addresses, block.words.arrays.lengths, block.words.rows


def _characters(block: Block) -> None:
    from imine_kernels.characters import count_characters
    from imine_kernels.unicode_tables import character_tables

    count_characters(*_texts(block), character_tables(), block.out["character_counts"])


def _lines(block: Block) -> None:
    from imine_kernels.lines import count_duplicates
    from imine_kernels.unicode_tables import character_tables

    count_duplicates(*_texts(block), character_tables(), block.out["part_counts"])


def _sentences(block: Block) -> None:
    from imine_kernels.sentences import count_sentences
    from imine_kernels.unicode_tables import character_tables

    count_sentences(*_texts(block), character_tables(), block.out["sentences"])


def _syllables(block: Block) -> None:
    from imine_kernels.syllables import count_syllables

    arrays = block.words.arrays
    count_syllables(arrays.folded, arrays.starts, block.words.rows, block.out["syllables"])


def _compression(block: Block) -> None:
    from imine.indicators.lexical.compression import compressed_sizes

    rows, arrays = block.words.rows, block.words.arrays
    block.out["bytes"][:] = np.maximum(arrays.lengths[:rows], 0)
    compressed_sizes(arrays.addresses[:rows], arrays.lengths[:rows], block.out["compressed_bytes"])


@cache
def _stop_words() -> NDArray[np.uint64]:
    """Hash table of the stop words, as :func:`imine_kernels.repetition.count_members` reads it."""
    from imine.indicators.stop_words import STOP_WORDS

    (chunk,) = text_chunks(pl.Series([" ".join(sorted(STOP_WORDS))]))
    words = Words(1)
    words.read(chunk.column, 0, 1, 1, numbered=False)
    hashes = words.arrays.hashes[: words.arrays.offsets[1]]
    table = np.zeros(4 * 1 << len(hashes).bit_length(), dtype=np.uint64)
    for word in hashes:
        slot = int(word) % len(table)
        while table[slot] != 0:
            slot = (slot + 1) % len(table)
        table[slot] = word
    table.setflags(write=False)
    return table


def _stop(block: Block) -> None:
    from imine_kernels.repetition import count_members

    arrays, rows = block.words.arrays, block.words.rows
    count_members(arrays.hashes, arrays.offsets, rows, _stop_words(), block.out["stop_words"])


def _copied(block: Block) -> None:
    from imine_kernels.repetition import count_copied

    assert block.prompt is not None
    arrays, prompt, out = block.words.arrays, block.prompt.arrays, block.out["copied"]
    rows = block.words.rows
    count_copied(arrays.hashes, arrays.offsets, prompt.hashes, prompt.offsets, rows, prompt.table, out)
    # Of a null prompt as many words are copied as a null text has.
    out[prompt.lengths[:rows] < 0] = -1


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
