"""The hash of words and lines: eight bytes a step, 64 bits."""

from __future__ import annotations

import numpy as np

from imine_kernels.jit import helper

SEED = np.uint64(0x9E3779B97F4A7C15)
FACTOR = np.uint64(0xD6E8FEB86659FD93)
HALF = np.uint64(32)
_NOTHING = np.uint64(0)


@helper
def mix_last(state, chunk):
    """The state after the last chunk of a text: one-to-one in the chunk, so that texts of one chunk never collide."""
    mixed = (state ^ chunk) * FACTOR
    return mixed ^ (mixed >> HALF)


@helper
def mix_inner(state, chunk):
    """The state after a chunk that another one follows.

    A product carries a change only upwards, and the next chunk could undo what one product and one shift leave of it
    ("abcdefgahijyklmy" met "abcdefgfhijdklmd"): after two of each, every bit of the chunk has reached both halves.
    """
    return mix_last(mix_last(state, chunk), _NOTHING)
