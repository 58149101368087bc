"""The sizes that a search may try: equal steps in the logarithm."""

from __future__ import annotations

import math
from collections.abc import Iterable

from imine.errors import SearchError


def size_lattice(low: int, high: int, steps: int = 4, also: Iterable[int] = ()) -> tuple[int, ...]:
    """Sizes between two ends, both included, so many to a doubling.

    A loss hardly differs between 1,000 and 1,050 examples; on a lattice searches of different strategies meet at the
    same sizes, and share their finetunes.

    Args:
        low: smallest size.
        high: largest size; it takes the place of a size less than half a step below it.
        steps: sizes to a doubling.
        also: further sizes; those outside the ends are left out.

    Returns:
        The sizes, ascending.

    Raises:
        SearchError: the ends are not in order.

    Examples:
        >>> size_lattice(512, 2048, steps=2)
        (512, 724, 1024, 1448, 2048)
        >>> size_lattice(512, 1100, steps=1, also=[600, 9999])
        (512, 600, 1100)
    """
    if not 1 <= low <= high:
        raise SearchError(f"the smallest size is {low:,} and the largest {high:,}; name --min below --max")
    count = math.floor(math.log2(high / low) * steps + 1e-9)
    sizes = {round(low * 2 ** (k / steps)) for k in range(count + 1)}
    last = max(sizes)
    if last != low and last * 2 ** (0.5 / steps) > high:
        sizes.discard(last)
    return tuple(sorted(sizes | {low, high} | {size for size in also if low <= size <= high}))


def spread(sizes: tuple[int, ...], count: int) -> tuple[int, ...]:
    """So many sizes, spread evenly over the lattice, its ends among them.

    Examples:
        >>> spread((1, 2, 4, 8, 16), 3), spread((1, 2), 9), spread((1, 2, 4), 1)
        ((1, 4, 16), (1, 2), (1,))
    """
    if count >= len(sizes):
        return sizes
    if count == 1:
        return sizes[:1]
    last = len(sizes) - 1
    return tuple(sizes[round(k * last / (count - 1))] for k in range(count))
