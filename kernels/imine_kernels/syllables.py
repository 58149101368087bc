"""Syllables of the English words of a block of folded rows, by the rule in docs/lexical_characters.md.

Each letter's places in 60 bytes are one number, a bit a byte, and the rule is arithmetic on those numbers: a
neighbour is a shift, and the first vowel of a word is found by a carry through its consonants.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imine_kernels.folding import PADDING
from imine_kernels.jit import helper, kernel
from imine_kernels.masks import SCRATCH, WINDOW, mask_of, window_at
from imine_kernels.views import count_ones

# What a rule looks at lies at most this many bytes before or after.
_REACH = 4
_STEP = WINDOW - 2 * _REACH

_open_vowels = mask_of("aeiou")
_y = mask_of("y")
_a, _d, _e, _g, _h, _i, _l, _m, _n, _o, _s, _t, _u = (mask_of(letter) for letter in "adeghilmnostu")
_apostrophes = mask_of("'")
_parted = mask_of(0, "-")
_before_ia = mask_of("cgst")
_before_io = mask_of("cgstx")
_before_ua = mask_of("gq")
_hissing = mask_of("cgsxz")
_c_or_s = mask_of("cs")
_d_or_t = mask_of("dt")

# Typed: numba compiles a helper once more for a plain literal.
_NONE = np.int64(0)
_ONE = np.uint64(1)
_TWO = np.uint64(2)
_THREE = np.uint64(3)
_FOUR = np.uint64(4)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@helper
def _silent(window, vowels, consonants, ends):
    """Letters e that are silent unless they are the first vowel of their part."""
    e, el, s = _e(window), _l(window), _s(window)
    after_consonant = e & (consonants << _ONE)
    after_l = (el & (consonants << _ONE)) << _ONE
    hissing = _hissing(window) | (_h(window) & (_c_or_s(window) << _ONE))
    final = ends >> _ONE & ~after_l
    before_s = (s & (ends >> _ONE)) >> _ONE & ~after_l & ~(hissing << _ONE)
    before_d = (_d(window) & (ends >> _ONE)) >> _ONE & ~(_d_or_t(window) << _ONE)
    ly = (el & (_y(window) >> _ONE)) >> _ONE
    ment = (_m(window) >> _ONE) & (e >> _TWO) & (_n(window) >> _THREE) & (_t(window) >> _FOUR)
    return after_consonant & (final | before_s | before_d | ((ly | ment) & (vowels << _TWO)))


@helper
def _added(window, vowels, ends):
    """Number of syllables beyond one for each group of vowels."""
    i, n, s, t = _i(window), _n(window), _s(window), _t(window)
    ia = i & (_a(window) >> _ONE) & ~(_before_ia(window) << _ONE)
    io = i & (_o(window) >> _ONE) & ~(_before_io(window) << _ONE)
    ua = _u(window) & (_a(window) >> _ONE) & ~(_before_ua(window) << _ONE)
    iet = i & (_e(window) >> _ONE) & (t >> _TWO)
    ending = (ends | (s & (ends >> _ONE))) >> _THREE
    ing = i & (n >> _ONE) & (_g(window) >> _TWO) & ending & (vowels << _ONE)
    ism = i & (s >> _ONE) & (_m(window) >> _TWO) & (ends >> _THREE)
    nt = n & (_apostrophes(window) >> _ONE) & (t >> _TWO) & ((_d(window) | s) << _ONE)
    # No two of these begin at one letter: after i comes a, o, e, n or s.
    return ia | io | ua | iet | ing | ism | nt


@helper
def _count_window(window, low, high, carried):
    """Syllables of the bytes ``low`` to ``high`` of a window, and whether a part without a vowel so far goes on.

    Args:
        carried: 1 where such a part goes on at ``low``.
    """
    inside = (_ALL >> np.uint64(WINDOW - high)) & (_ALL << np.uint64(low))
    parted, open_vowels = _parted(window), _open_vowels(window)
    between_vowels = (open_vowels << _ONE) & (open_vowels >> _ONE)
    vowels = open_vowels | (_y(window) & ~between_vowels)
    consonants = ~(parted | vowels)
    ends = parted | _apostrophes(window)
    # The first byte of a text has no byte before it: it begins a part as after a space.
    begins = ~parted & ((parted << _ONE) | np.uint64(low == 0))
    begins = (begins & inside) | (np.uint64(carried) << np.uint64(low))
    # A one added at the beginning of a part is carried through its first consonants.
    run = consonants & inside
    met = ((run + (begins & run)) & ~run) | (begins & ~run)
    silent = _silent(window, vowels, consonants, ends) & ~met
    groups = vowels & ~(vowels << _ONE)
    count = count_ones(groups & inside) + count_ones(met & parted & inside)
    count += count_ones(_added(window, vowels, ends) & inside)
    count -= count_ones(silent & inside)
    return np.int64(count), np.int64(met >> np.uint64(high) & _ONE)


@helper
def _count_row(address, length, readable, scratch):
    """Syllables of a folded row; a zero is read after it."""
    count, carried, low, base = 0, _NONE, _NONE, _NONE
    while base + low <= length:
        high = min(WINDOW - _REACH, length + 1 - base)
        found, carried = _count_window(window_at(address, base, readable, scratch), low, high, carried)
        count, low, base = count + found, _REACH, base + _STEP
    return count


@kernel
def count_syllables(
    folded: NDArray[np.uint8],
    starts: NDArray[np.int64],
    rows: int,
    syllables: NDArray[np.int64],
) -> None:
    """Count the syllables of the words of a block of rows, by a rule for English.

    Args:
        folded, starts: of :func:`imine_kernels.folding.fold_rows`.
        rows: rows of the block.
        syllables: (at least ``rows``,) receives the syllables of all words of each row: at least one for each part
            of a word between hyphens, so that a word without a letter from a to z counts one.
    """
    scratch = np.empty(SCRATCH, dtype=np.uint8)
    base, size = np.uint64(folded.ctypes.data), np.int64(folded.size)
    for row in range(rows):
        start = starts[row]
        length, spare = starts[row + 1] - start - PADDING, np.uint64(scratch.ctypes.data)
        # Zeros and the next row may be read after this one; the window masks them.
        syllables[row] = _count_row(base + np.uint64(start), length, size - start, spare)
