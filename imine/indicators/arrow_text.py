"""The text of a polars String column as the kernels read it: Arrow string views, nothing copied."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from imine_kernels.views import ViewColumn

# Rows of one call of a kernel: some hundred kilobytes of usual text, against some 30 microseconds a call.
BLOCK_ROWS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class TextChunk:
    """One chunk of a column.

    Attributes:
        column: its buffers, for the kernels.
        start: index of its first row in the column.
        n_rows: its rows.
        owner: the Arrow array that keeps the buffers alive.
    """

    column: ViewColumn
    start: int
    n_rows: int
    owner: Any


def text_chunks(series: pl.Series) -> list[TextChunk]:
    """The chunks of a String or Binary column that have rows, without copying any text.

    Args:
        series: column of any number of chunks, sliced or not, with or without nulls.

    Returns:
        Chunks in order; together they have the rows of the column.

    Raises:
        TypeError: the column is neither String nor Binary.

    Examples:
        >>> [chunk.n_rows for chunk in text_chunks(pl.Series("output", ["one", "two", None])[1:])]
        [2]
    """
    if series.dtype == pl.Null:
        series = series.cast(pl.String)
    if series.dtype not in (pl.String, pl.Binary):
        raise TypeError(f"column {series.name!r} must be String, and is {series.dtype}: cast it first")
    if series.n_chunks() > 1 + len(series) // BLOCK_ROWS:
        # Thousands of tiny chunks cost more than their rows; this joins the 16-byte views, not the text.
        series = series.rechunk()
    chunks, start = [], 0
    for piece in series.get_chunks():
        if len(piece):
            chunks.append(_text_chunk(piece, start))
            start += len(piece)
    return chunks


def _text_chunk(piece: pl.Series, start: int) -> TextChunk:
    from imine_kernels.views import ViewColumn

    # to_arrow() would rechunk a column of several chunks, and its default layout copies all bytes.
    array = piece.to_arrow(compat_level=pl.CompatLevel.newest())
    bitmap, views, *data = array.buffers()
    column = ViewColumn(
        views=_frozen(np.frombuffer(views, dtype=np.int32)),
        addresses=_frozen(np.array([buffer.address for buffer in data], dtype=np.uint64)),
        sizes=_frozen(np.array([buffer.size for buffer in data], dtype=np.int64)),
        validity=_frozen(np.empty(0, np.uint8) if bitmap is None else np.frombuffer(bitmap, dtype=np.uint8)),
        offset=array.offset,
    )
    return TextChunk(column, start, len(piece), array)


def _frozen(array: np.ndarray) -> np.ndarray:
    # numba compiles anew for a writable array, and pyarrow gives either kind.
    array.setflags(write=False)
    return array


Work = Callable[[TextChunk, int, int], None]


def for_each_block(worker: Callable[[], Work], chunks: list[TextChunk], threads: int | None = None) -> None:
    """Call ``work(chunk, start, stop)`` for all rows, a block of rows at a time, in several threads.

    Threads take the next block when they are free. Results must not depend on the order of the blocks, so
    that they are the same for any number of threads.

    Args:
        worker: makes one thread's ``work``, with buffers of its own; it releases the global lock, and its rows are
            counted within the chunk.
        chunks: chunks of a column.
        threads: number of threads; by default ``NUMBA_NUM_THREADS``, else the cores of this process.

    Raises:
        ValueError: ``threads`` is below 1.

    Examples:
        >>> seen = []
        >>> for_each_block(lambda: lambda chunk, start, stop: seen.append((start, stop)),
        ...                text_chunks(pl.Series(["a"] * 5000)), threads=1)
        >>> seen
        [(0, 4096), (4096, 5000)]
    """
    most = checked_threads(threads)
    blocks = (
        (chunk, start, min(start + BLOCK_ROWS, chunk.n_rows))
        for chunk in chunks
        for start in range(0, chunk.n_rows, BLOCK_ROWS)
    )
    n_blocks = sum(-(-chunk.n_rows // BLOCK_ROWS) for chunk in chunks)
    n_workers = min(most, n_blocks)
    if n_workers <= 1:
        work = worker()
        for block in blocks:
            work(*block)
        return
    queue = _Blocks(blocks)
    with ThreadPoolExecutor(n_workers) as pool:
        try:
            for finished in [pool.submit(_work_off, worker, queue) for _ in range(n_workers)]:
                finished.result()
        except BaseException:  # an interrupt by the user must not wait for all rows
            queue.stop()
            raise


def checked_threads(threads: int | None) -> int:
    """The number of threads asked for, or ``NUMBA_NUM_THREADS``, else the cores of this process.

    Raises:
        ValueError: it is below 1.

    Examples:
        >>> checked_threads(2)
        2
    """
    from imine_kernels.jit import default_threads

    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, and is {threads}")
    return threads or default_threads()


_Block = tuple[TextChunk, int, int]


class _Blocks:
    """Blocks that several threads take from."""

    def __init__(self, blocks: Iterator[_Block]) -> None:
        self._blocks = blocks
        self._lock = threading.Lock()

    def take(self) -> _Block | None:
        with self._lock:
            return next(self._blocks, None)

    def stop(self) -> None:
        with self._lock:
            self._blocks = iter(())


def _work_off(worker: Callable[[], Work], queue: _Blocks) -> None:
    try:
        work = worker()
        while (block := queue.take()) is not None:
            work(*block)
    except BaseException:
        queue.stop()
        raise
