"""Buffers that a thread uses again for every block of rows."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from imine_kernels.views import ViewColumn


class Words:
    """The words of one block of rows: hashes, lengths, numbers, counts.

    The arrays belong to the block last read, and grow with the largest.

    Attributes:
        rows: rows of the block.
        arrays: those that :func:`imine_kernels.words.read_words` fills.
        seen, stamp: scratch of the measures, see :func:`imine_kernels.diversity.measure_mtld`.
        absent, positions: scratch of the measures.

    Args:
        max_rows: rows of a block at most.
    """

    def __init__(self, max_rows: int) -> None:
        from imine_kernels.unicode_tables import word_tables

        self.rows, self._max_rows = 0, max_rows
        self._tables = word_tables()
        self._grow(0, 0)

    def _grow(self, folded: int, longest: int) -> None:
        from imine_kernels.words import WordBuffers, most_words, table_size

        rows, words, slots = self._max_rows, most_words(folded), table_size(longest)
        self.arrays = WordBuffers(
            addresses=np.empty(rows, dtype=np.uint64),
            lengths=np.empty(rows, dtype=np.int64),
            folded=np.zeros(folded, dtype=np.uint8),
            starts=np.empty(rows + 1, dtype=np.int64),
            edges=np.empty(2 * words, dtype=np.uint32),
            offsets=np.zeros(rows + 1, dtype=np.int64),
            n_words=np.empty(rows, dtype=np.int64),
            hashes=np.empty(words, dtype=np.uint64),
            characters=np.empty(words, dtype=np.uint32),
            ids=np.empty(words, dtype=np.uint32),
            counts=np.empty(words, dtype=np.uint32),
            types=np.empty(rows, dtype=np.int64),
            word_characters=np.empty(rows, dtype=np.int64),
            squared_word_characters=np.empty(rows, dtype=np.int64),
            table=np.empty(slots, dtype=np.uint64),
            table_ids=np.empty(slots, dtype=np.uint32),
        )
        self._longest = longest
        self.seen = np.zeros(2 * longest, dtype=np.int64)
        self.stamp = 0
        self.absent = np.empty(longest + 1)
        self.positions = np.zeros(5 * (longest + 1), dtype=np.int64)

    def locate(self, column: ViewColumn, start: int, stop: int, max_bytes: int) -> int:
        """Find the texts of a block without reading them; its rows.

        Args:
            column, start, stop, max_bytes: of :func:`imine_kernels.views.locate_rows`.
        """
        from imine_kernels.views import locate_rows

        self.rows, _ = locate_rows(column, start, stop, max_bytes, self.arrays.addresses, self.arrays.lengths)
        return self.rows

    def read(self, column: ViewColumn, start: int, stop: int, max_bytes: int, *, numbered: bool) -> int:
        """Find, split and hash the texts of a block; its rows.

        Args:
            column, start, stop, max_bytes: of :func:`imine_kernels.views.locate_rows`.
            numbered: whether the different words of every row are numbered and counted too.
        """
        from imine_kernels.words import folded_size, read_words

        while True:
            self.rows, n_bytes, longest = read_words(
                column, start, stop, max_bytes, self._tables, self.arrays, numbered
            )
            if longest < 0:
                self._grow(2 * folded_size(self.rows, n_bytes), self._longest)
            elif longest > self._longest:
                self._grow(len(self.arrays.folded), 2 * longest)
            else:
                return self.rows


class Buffers(threading.local):
    """A thread's own buffers, made when it first asks for them, for as long as this object lives.

    Attributes:
        words, prompt: words of a block of the texts, and of the prompts beside them.

    Args:
        max_rows: rows of a block.
    """

    def __init__(self, max_rows: int) -> None:
        self.words, self.prompt = Words(max_rows), Words(max_rows)


Outputs = dict[str, NDArray[Any]]
