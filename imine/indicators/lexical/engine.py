"""The way over a column: blocks of rows, several threads, each text read once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from imine.columns.parameters import LexicalParameters
from imine.indicators.arrow_text import BLOCK_ROWS, TextChunk, for_each_block, text_chunks
from imine.indicators.lexical.passes import PASSES, Block
from imine.indicators.lexical.scratch import Buffers, Outputs

# Text of a block: with its words and their numbers it fits into the second-level cache.
_BLOCK_BYTES = 1 << 18


def measure_column(
    text: pl.Series,
    passes: Iterable[str],
    parameters: LexicalParameters | None = None,
    *,
    prompt: pl.Series | None = None,
    threads: int | None = None,
    buffers: Buffers | None = None,
) -> Outputs:
    """Quantities of every row of a column.

    They are the same to the last bit for any number of threads and any chunking of the column.

    Args:
        text: String column (or Binary, read as UTF-8); nulls are allowed.
        passes: names of :data:`imine.indicators.lexical.passes.PASSES`.
        parameters: free numbers of the measures.
        prompt: String column of the same length, for the pass ``copied``.
        threads: number of threads; by default ``NUMBA_NUM_THREADS``, else the cores of this process.
        buffers: to be used again by the next call from the same thread.

    Returns:
        By name, an array (rows,) or (rows, values).

    Raises:
        TypeError: a column is not a String column.

    Examples:
        >>> measure_column(pl.Series(["so so", None]), ["words", "types"])["words"].tolist()
        [2, -1]
    """
    wanted = tuple(passes)
    out = {name: _empty(len(text), kind) for each in wanted for name, kind in PASSES[each].quantities.items()}
    other = None if prompt is None else _one_chunk(prompt)
    own = buffers or Buffers(BLOCK_ROWS)

    def worker() -> Any:
        return _Worker(wanted, parameters or LexicalParameters(), out, other, own)

    for_each_block(worker, text_chunks(text), threads)
    return out


def _empty(rows: int, kind: Any) -> Any:
    if not isinstance(kind, tuple):
        return np.empty(rows, kind)
    # Each value of all rows in one piece, as the formulas read it. One row too many leaves gaps between them: for an
    # array without gaps, as a single block of rows would be, numba compiles the kernel once more.
    return np.empty((kind[0], rows + 1), kind[1]).T[:rows]


def _one_chunk(series: pl.Series) -> TextChunk | None:
    chunks = text_chunks(series.rechunk())
    return chunks[0] if chunks else None


class _Worker:
    """One thread's work."""

    def __init__(
        self,
        passes: tuple[str, ...],
        parameters: LexicalParameters,
        out: Outputs,
        prompt: TextChunk | None,
        buffers: Buffers,
    ) -> None:
        self._passes = [PASSES[name] for name in passes]
        needs = {each.needs for each in self._passes}
        self._split, self._numbered = needs != {"bytes"}, "numbers" in needs
        self._out, self._parameters = out, parameters
        self._words, self._prompt = buffers.words, buffers.prompt
        self._prompt_chunk = prompt

    def __call__(self, chunk: TextChunk, start: int, stop: int) -> None:
        while start < stop:
            start += self._measure(chunk, start, stop)

    def _measure(self, chunk: TextChunk, start: int, stop: int) -> int:
        """Measure the first block of the rows; the rows that it has."""
        words, prompt = self._words, None
        if self._prompt_chunk is not None:
            # The block has the rows whose prompts, and whose texts, are not too long together.
            column, prompt = self._prompt_chunk.column, self._prompt
            stop = start + words.locate(chunk.column, start, stop, _BLOCK_BYTES)
            first, last = chunk.start + start, chunk.start + stop
            stop = start + prompt.read(column, first, last, _BLOCK_BYTES, numbered=False)
        if self._split:
            rows = words.read(chunk.column, start, stop, _BLOCK_BYTES, numbered=self._numbered)
        else:
            rows = words.locate(chunk.column, start, stop, _BLOCK_BYTES)
        place = slice(chunk.start + start, chunk.start + start + rows)
        out = {name: values[place] for name, values in self._out.items()}
        block = Block(words, prompt, self._parameters, out)
        for each in self._passes:
            each.run(block)
        return rows
