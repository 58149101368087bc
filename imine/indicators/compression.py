"""How far zlib compresses the text of each row."""

from __future__ import annotations

import ctypes
import zlib
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from imine.indicators.arrow_text import TextChunk, for_each_block, text_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

# zlib's own default: on instruction data the highest level, 9, saves another 0.004 %.
ZLIB_LEVEL = 6

_NO_LIMIT = 2**62


def zlib_version() -> str:
    """The library that compresses; another one may give other sizes for the same text.

    Examples:
        >>> zlib_version().startswith("zlib ")
        True
    """
    return f"zlib {zlib.ZLIB_RUNTIME_VERSION}"


def compression_ratios(series: pl.Series, *, threads: int | None = None) -> NDArray[np.float64]:
    """Bytes of the UTF-8 text of every row over the bytes of its zlib stream at level 6.

    The stream counts whole, with its 6 bytes of header and checksum. A short text is smaller than its stream:
    the ratio of one letter is 1/9.

    Args:
        series: String column; nulls are allowed.
        threads: number of threads; by default ``NUMBA_NUM_THREADS``, else the cores of this process.

    Returns:
        (rows,) ratios; NaN where the text is null or empty.

    Raises:
        TypeError: the column is not a String column.
        ValueError: ``threads`` is below 1.

    Examples:
        >>> compression_ratios(pl.Series("output", ["a", "ha " * 100, "", None])).round(2).tolist()
        [0.11, 20.0, nan, nan]
    """
    from imine_kernels.views import locate_rows

    ratios = np.full(len(series), np.nan)

    def work(chunk: TextChunk, start: int, stop: int) -> None:
        addresses = np.empty(stop - start, dtype=np.uint64)
        lengths = np.empty(stop - start, dtype=np.int64)
        locate_rows(chunk.column, start, stop, _NO_LIMIT, addresses, lengths)
        _compress_rows(addresses, lengths, ratios[chunk.start + start :])

    for_each_block(work, text_chunks(series), threads)
    return ratios


def _compress_rows(
    addresses: NDArray[np.uint64], lengths: NDArray[np.int64], ratios: NDArray[np.float64]
) -> None:
    pairs = zip(addresses.tolist(), lengths.tolist(), strict=True)
    for row, (address, length) in enumerate(pairs):
        if length > 0:
            # A stream of its own for each row: a copy of a prepared one takes longer than zlib's own set-up.
            ratios[row] = length / len(zlib.compress(ctypes.string_at(address, length), ZLIB_LEVEL))
