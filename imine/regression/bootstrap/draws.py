"""Which runs make up each resample: drawn in blocks, each with a stream of its own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Repeats that share a stream. Part of what a seed means: another number gives other resamples.
BLOCK = 50


def block_sizes(repeats: int) -> list[int]:
    """Number of repeats in each block.

    Examples:
        >>> block_sizes(120)
        [50, 50, 20]
    """
    return [min(BLOCK, repeats - first) for first in range(0, repeats, BLOCK)]


def draw_block(seed: int, block: int, n: int) -> npt.NDArray[np.int64]:
    """Runs of the repeats of one block, drawn with replacement, shape (BLOCK, n).

    The stream of a block depends on the seed and its number alone: not on threads, nor on how many repeats
    there are.

    Examples:
        >>> draw_block(0, 0, 4)[:2].tolist()
        [[3, 3, 0, 1], [3, 2, 0, 0]]
    """
    stream = np.random.SeedSequence(seed, spawn_key=(block,))
    return np.random.Generator(np.random.PCG64(stream)).integers(0, n, size=(BLOCK, n), dtype=np.int64)
