"""Measures of vocabulary from the numbered words of a block of rows; what they mean is in docs/lexical.md."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from imine_kernels.jit import helper, kernel
from imine_kernels.views import address_of, longs_at, uints_at


@kernel
def measure_spectrum(
    counts: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    types: NDArray[np.int64],
    rows: int,
    draws: int,
    log_table: NDArray[np.float64],
    absent: NDArray[np.float64],
    squares: NDArray[np.int64],
    entropy: NDArray[np.float64],
    hdd: NDArray[np.float64],
) -> None:
    """Sum of the squared counts of types, entropy and HD-D of each row.

    Args:
        counts, offsets, types: of :class:`imine_kernels.words.WordBuffers`.
        rows: rows of the block.
        draws: words drawn for HD-D, at least 1.
        log_table: ``log_table[n]`` is ``n log2(n)``; of larger counts it is computed.
        absent: (at least the words of the longest row, and one more,) scratch: the chance that the drawn words hold
            none of a type, by its count.
        squares: (rows,) receives the sum of the squared counts.
        entropy: (rows,) receives the entropy of the words in bits; NaN without words.
        hdd: (rows,) receives HD-D; NaN with fewer words than ``draws``.
    """
    absent[0], count_of = 1.0, uints_at(address_of(counts))
    for row in range(rows):
        first, n_words = offsets[row], offsets[row + 1] - offsets[row]
        total, logs, known, present = 0, 0.0, 0, 0.0
        for k in range(first, first + types[row]):
            count = np.int64(count_of[k])
            total += count * count
            logs += log_table[count] if count < log_table.size else count * math.log2(count)
            while known < count:
                left = max(n_words - draws - known, 0)
                absent[known + 1] = absent[known] * (left / (n_words - known))
                known += 1
            present += 1.0 - absent[count]
        squares[row] = total
        # Rounding may leave a little less than zero where one word fills the text.
        entropy[row] = max(math.log2(n_words) - logs / n_words, 0.0) if n_words > 0 else np.nan
        hdd[row] = present / draws if n_words >= draws else np.nan


@kernel
def measure_moving(
    ids: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    types: NDArray[np.int64],
    rows: int,
    window: int,
    counts: NDArray[np.int64],
    mattr: NDArray[np.float64],
) -> None:
    """Moving-average type-token ratio of each row.

    Args:
        ids, offsets, types: of :class:`imine_kernels.words.WordBuffers`.
        rows: rows of the block.
        window: words of a window, at least 1.
        counts: (at least the words of the longest row,) scratch.
        mattr: (rows,) receives the mean over all windows; NaN with fewer words than ``window``.
    """
    id_of, count_of = uints_at(address_of(ids)), longs_at(address_of(counts))
    for row in range(rows):
        first, stop = offsets[row], offsets[row + 1]
        if stop - first < window:
            mattr[row] = np.nan
            continue
        for k in range(types[row]):
            count_of[k] = 0
        inside = 0
        for k in range(first, first + window):
            inside += np.int64(count_of[id_of[k]] == 0)
            count_of[id_of[k]] += 1
        total = inside
        for k in range(first + window, stop):
            gone, come = id_of[k - window], id_of[k]
            left = count_of[gone] - 1
            count_of[gone] = left
            found = count_of[come]
            count_of[come] = found + 1
            inside += np.int64(found == 0) - np.int64(left == 0)
            total += inside
        mattr[row] = total / window / (stop - first - window + 1)


@helper
def _partial(n_types, n_words, threshold):
    return (1.0 - n_types / n_words) / (1.0 - threshold) if n_words > 0 else 0.0


@helper
def _words_a_factor(count, factors):
    # No factor at all means that no word occurs twice: the text counts as one factor.
    return count / factors if factors > 0.0 else float(count)


@kernel
def measure_mtld(
    ids: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    rows: int,
    threshold: float,
    limits: NDArray[np.int64],
    min_words: int,
    seen: NDArray[np.int64],
    stamp: int,
    mtld: NDArray[np.float64],
) -> int:
    """MTLD of each row, as lexicalrichness has it: a ratio at the threshold ends a factor.

    Both passes run at once, each with its own half of ``seen``: a word has occurred in the current factor of a pass
    if it bears the stamp of that factor. The ratio is compared by a table, for with a division a word this took
    three times as long.

    Args:
        ids, offsets: of :class:`imine_kernels.words.WordBuffers`.
        rows: rows of the block.
        threshold: type-token ratio at which a factor ends.
        limits: ``limits[n]`` is the largest number of types whose ratio to ``n`` words is not above the threshold.
        min_words: words below which a row has none.
        seen: (at least twice the words of the longest row,) scratch, at first zeros, that belongs to ``stamp``.
        stamp: the last stamp that was used in ``seen``.
        mtld: (rows,) receives the mean of both passes; NaN below ``min_words``.

    Returns:
        The last stamp used.
    """
    id_of, seen_in, limit_of = (
        uints_at(address_of(ids)),
        longs_at(address_of(seen)),
        longs_at(address_of(limits)),
    )
    n_limits = limits.size
    for row in range(rows):
        first, last = offsets[row], offsets[row + 1] - 1
        count = last - first + 1
        if count < max(min_words, 1):
            mtld[row] = np.nan
            continue
        ahead, back = stamp + 1, stamp + 1
        words_ahead, words_back, types_ahead, types_back = 0, 0, 0, 0
        for k in range(count):
            word = 2 * np.int64(id_of[first + k])
            words_ahead += 1
            types_ahead += np.int64(seen_in[word] != ahead)
            seen_in[word] = ahead
            if words_ahead < n_limits:
                ended = types_ahead <= limit_of[words_ahead]
            else:
                ended = types_ahead / words_ahead <= threshold
            if ended:
                words_ahead, types_ahead, ahead = 0, 0, ahead + 1
            word = 2 * np.int64(id_of[last - k]) + 1
            words_back += 1
            types_back += np.int64(seen_in[word] != back)
            seen_in[word] = back
            if words_back < n_limits:
                ended = types_back <= limit_of[words_back]
            else:
                ended = types_back / words_back <= threshold
            if ended:
                words_back, types_back, back = 0, 0, back + 1
        forward = (ahead - stamp - 1) + _partial(types_ahead, words_ahead, threshold)
        backward = (back - stamp - 1) + _partial(types_back, words_back, threshold)
        stamp = max(ahead, back)
        mtld[row] = (_words_a_factor(count, forward) + _words_a_factor(count, backward)) / 2.0
    return stamp


@helper
def _ends(n_types, n_words, limit_of, n_limits, threshold, shortest):
    """Whether the ratio is below the threshold in a factor that is long enough."""
    if n_words < n_limits:
        return n_types <= limit_of[n_words]
    return n_words >= shortest and n_types / n_words < threshold


@helper
def _strict_factors(id_of, first, step, count, seen_in, stamp, limit_of, n_limits, threshold, shortest):
    """Factors of a pass, the last one always in part, and the last stamp used in ``seen_in``."""
    factors, n_words, n_types, at = 0, 0, 0, first
    stamp += 1
    for _ in range(count - 1):
        word = id_of[at]
        at += step
        n_words += 1
        n_types += np.int64(seen_in[word] != stamp)
        seen_in[word] = stamp
        if _ends(n_types, n_words, limit_of, n_limits, threshold, shortest):
            factors += 1
            n_words, n_types = 0, 0
            stamp += 1
    n_types += np.int64(seen_in[id_of[at]] != stamp)
    return factors + _partial(n_types, n_words + 1, threshold), stamp


@helper
def _moving_mtld(id_of, first, step, count, wrap, seen_in, stamp, limit_of, n_limits, threshold, shortest):
    """Mean length of the factors that begin at each word in turn; the last stamp used in ``seen_in``.

    With ``wrap`` the text is followed by itself; without, a start that reaches the end has no factor.
    """
    total, factors = 0, 0
    for start in range(count):
        stamp += 1
        n_types = 0
        for k in range(start, 2 * count if wrap else count):
            word = id_of[first + step * (k if k < count else k - count)]
            n_types += np.int64(seen_in[word] != stamp)
            seen_in[word] = stamp
            if _ends(n_types, k - start + 1, limit_of, n_limits, threshold, shortest):
                total += k - start + 1
                factors += 1
                break
    return (total / factors if factors > 0 else np.nan), stamp


@kernel
def measure_strict_mtld(
    ids: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    rows: int,
    threshold: float,
    limits: NDArray[np.int64],
    min_words: int,
    shortest: int,
    seen: NDArray[np.int64],
    stamp: int,
    mtld: NDArray[np.float64],
) -> int:
    """MTLD of each row as ``mtld`` of the package lexical-diversity has it.

    Args:
        ids, offsets, rows, threshold, min_words, seen, stamp: as for :func:`measure_mtld`.
        limits: ``limits[n]`` is the largest number of types whose ratio to ``n`` words is below the threshold; -1
            for fewer words than ``shortest``.
        shortest: words that a factor has at least.
        mtld: (rows,) receives the mean of both passes; NaN below ``min_words``, and where no factor ends.

    Returns:
        The last stamp used.
    """
    id_of, seen_in, limit_of = (
        uints_at(address_of(ids)),
        longs_at(address_of(seen)),
        longs_at(address_of(limits)),
    )
    size = limits.size
    for row in range(rows):
        first, last = offsets[row], offsets[row + 1] - 1
        n = last - first + 1
        mtld[row] = np.nan
        if n < max(min_words, 1):
            continue
        ahead, stamp = _strict_factors(
            id_of, first, 1, n, seen_in, stamp, limit_of, size, threshold, shortest
        )
        back, stamp = _strict_factors(id_of, last, -1, n, seen_in, stamp, limit_of, size, threshold, shortest)
        if ahead > 0.0 and back > 0.0:
            mtld[row] = (n / ahead + n / back) / 2.0
    return stamp


@kernel
def measure_moving_mtld(
    ids: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    rows: int,
    threshold: float,
    limits: NDArray[np.int64],
    min_words: int,
    shortest: int,
    wrap: bool,
    seen: NDArray[np.int64],
    stamp: int,
    mtld: NDArray[np.float64],
) -> int:
    """Moving-average MTLD of each row as the package lexical-diversity has it.

    Args:
        ids, offsets, rows, threshold, limits, min_words, shortest, seen, stamp: as for :func:`measure_strict_mtld`.
        wrap: ``mtld_ma_wrap``, one pass over the text followed by itself; else ``mtld_ma_bid``, the mean of both
            directions.
        mtld: (rows,) receives the values; NaN below ``min_words``, and where no factor ends.

    Returns:
        The last stamp used.
    """
    id_of, seen_in, limit_of = (
        uints_at(address_of(ids)),
        longs_at(address_of(seen)),
        longs_at(address_of(limits)),
    )
    size = limits.size
    for row in range(rows):
        first, last = offsets[row], offsets[row + 1] - 1
        n = last - first + 1
        mtld[row] = np.nan
        if n < max(min_words, 1):
            continue
        ahead, stamp = _moving_mtld(
            id_of, first, 1, n, wrap, seen_in, stamp, limit_of, size, threshold, shortest
        )
        if not wrap:
            back, stamp = _moving_mtld(
                id_of, last, -1, n, wrap, seen_in, stamp, limit_of, size, threshold, shortest
            )
            ahead = (ahead + back) / 2.0
        mtld[row] = ahead
    return stamp
