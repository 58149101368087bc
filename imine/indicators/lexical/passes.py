"""What is computed of a block of rows: one function a pass, from the block's words or bytes to quantities.

A quantity is an array with one entry a row (the last axis); the formulas make measures of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imine.indicators.lexical.parameters import LexicalParameters
from imine.indicators.lexical.scratch import Outputs, Words

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
        parameters: free numbers of the measures.
        out: receives the quantities, (..., rows).
    """

    rows: int
    addresses: NDArray[np.uint64]
    lengths: NDArray[np.int64]
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
    words = np.arange(1, _LIMITS_SIZE)
    types = np.minimum(np.floor(threshold * words).astype(np.int64) + 1, words)
    for _ in range(3):
        types = np.where(types / words > threshold, types - 1, types)
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


_VARIANTS = ("mtld_lexical_diversity", "mtld_ma_bid", "mtld_ma_wrap")


def _mtld_variant(name: str) -> Callable[[Block], None]:
    def run(block: Block) -> None:
        from imine_kernels.diversity import measure_mtld_variants

        words, parameters, none = block.words, block.parameters, np.empty(0)
        outputs = [block.out[name] if variant == name else none for variant in _VARIANTS]
        words.stamp = measure_mtld_variants(
            words.ids,
            words.offsets,
            block.rows,
            float(parameters.threshold),
            parameters.min_words,
            parameters.shortest_factor,
            words.seen,
            words.stamp,
            *outputs,
        )

    return run


def _repetition(block: Block) -> None:
    from imine_kernels.repetition import measure_repetition

    words, rows = block.words, block.rows
    duplicate, top = np.empty((9, rows), np.int64), np.empty((3, rows), np.int64)
    measure_repetition(
        words.ids,
        words.characters,
        words.counts,
        words.offsets,
        rows,
        words.table,
        words.table_ids,
        words.positions,
        duplicate,
        top,
    )
    block.out["duplicate_ngrams"][:], block.out["top_ngrams"][:] = duplicate, top


def _copied(block: Block) -> None:
    from imine_kernels.repetition import count_copied

    words, prompt = block.words, block.prompt
    assert prompt is not None
    count_copied(
        words.hashes,
        words.offsets,
        prompt.hashes,
        prompt.offsets,
        block.rows,
        prompt.table,
        block.out["copied"],
    )


PASSES: dict[str, Pass] = {
    "words": Pass(_words, {"words": np.int64}, needs="words"),
    "types": Pass(
        _types, {"types": np.int64, "word_characters": np.int64, "squared_word_characters": np.int64}
    ),
    "spectrum": Pass(_spectrum, {"squared_counts": np.int64, "entropy": np.float64, "hdd": np.float64}),
    "moving": Pass(_moving, {"mattr": np.float64}),
    "mtld": Pass(_mtld, {"mtld": np.float64}),
    **{name: Pass(_mtld_variant(name), {name: np.float64}) for name in _VARIANTS},
    "repetition": Pass(_repetition, {"duplicate_ngrams": (9, np.int64), "top_ngrams": (3, np.int64)}),
    "copied": Pass(_copied, {"copied": np.int64}, needs="words"),
}
