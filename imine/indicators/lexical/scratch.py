"""Buffers that a thread uses again for every block of rows."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Words:
    """The words of one block of rows: hashes, lengths, numbers, counts.

    The arrays belong to the block last read, and grow with the largest. ``n_words`` are the words of its rows.

    Args:
        max_rows: rows of a block.
    """

    def __init__(self, max_rows: int) -> None:
        from imine_kernels.unicode_tables import word_tables

        self.rows, self.n_words = 0, np.empty(0, dtype=np.int64)
        self._tables = word_tables()
        self.starts = np.empty(max_rows + 1, dtype=np.int64)
        self.offsets = np.zeros(max_rows + 1, dtype=np.int64)
        self.types = np.empty(max_rows, dtype=np.int64)
        self.lengths = np.empty(max_rows, dtype=np.int64)
        self.squared_lengths = np.empty(max_rows, dtype=np.int64)
        self._grow_text(0)
        self._grow_words(0)

    def _grow_text(self, size: int) -> None:
        self.folded = np.zeros(size, dtype=np.uint8)
        # A word has a byte at least, and a zero after it; eight positions are written at once.
        capacity = size // 2 + 8
        self._edges = np.empty(2 * capacity, dtype=np.int64)
        self.hashes = np.empty(capacity, dtype=np.uint64)
        self.characters = np.empty(capacity, dtype=np.uint32)
        self.ids = np.empty(capacity, dtype=np.uint32)
        self.counts = np.empty(capacity, dtype=np.int64)

    def _grow_words(self, longest: int) -> None:
        from imine_kernels.words import table_size

        self.longest = longest
        self.table = np.zeros(table_size(longest), dtype=np.uint64)
        self.table_ids = np.zeros(len(self.table), dtype=np.uint32)
        # Scratch of the measures; `seen` belongs to `stamp`, see imine_kernels.diversity.
        self.seen = np.zeros(2 * longest, dtype=np.int64)
        self.stamp = 0
        self.absent = np.empty(longest + 1)
        self.positions = np.zeros(5 * (longest + 1), dtype=np.int64)

    def read(
        self, addresses: NDArray[np.uint64], lengths: NDArray[np.int64], rows: int, n_bytes: int
    ) -> None:
        """Fold, split and hash the texts of a block.

        Args:
            addresses, lengths: of :func:`imine_kernels.views.locate_rows`.
            rows: rows of the block.
            n_bytes: their bytes together.
        """
        from imine_kernels.folding import folded_size
        from imine_kernels.words import read_words

        self.rows = rows
        if len(self.folded) < folded_size(rows, n_bytes):
            self._grow_text(2 * folded_size(rows, n_bytes))
        longest = read_words(
            addresses,
            lengths,
            rows,
            self._tables,
            self.folded,
            self.starts,
            self._edges,
            self.offsets,
            self.hashes,
            self.characters,
        )
        self.n_words = self.offsets[1 : rows + 1] - self.offsets[:rows]
        if longest > self.longest:
            self._grow_words(2 * longest)

    def number(self) -> None:
        """Number and count the different words of every row."""
        from imine_kernels.words import number_words

        number_words(
            self.hashes,
            self.characters,
            self.offsets,
            self.rows,
            self.table,
            self.table_ids,
            self.ids,
            self.counts,
            self.types,
            self.lengths,
            self.squared_lengths,
        )


class Buffers(threading.local):
    """A thread's own buffers, made when it first asks for them, for as long as this object lives.

    Attributes:
        addresses, lengths: (max_rows,) of :func:`imine_kernels.views.locate_rows`.
        words, prompt: words of a block of the texts, and of the prompts beside them.

    Args:
        max_rows: rows of a block.
    """

    def __init__(self, max_rows: int) -> None:
        self.addresses = np.empty(max_rows, dtype=np.uint64)
        self.lengths = np.empty(max_rows, dtype=np.int64)
        self.words, self.prompt = Words(max_rows), Words(max_rows)


Outputs = dict[str, NDArray[Any]]
