"""How many of the rows in line make a subset: a number of examples, or a budget of response tokens."""

from __future__ import annotations

import numpy as np

from imine.errors import StudyConfigError
from imine.study.designs.candidates import Rows

WINDOW = 200
"""Rows in line among which those are looked for that close the gap between a subset and its budget."""

TOLERANCE = 0.02
"""Largest difference of a subset's response tokens from its budget, as a share of the budget."""

_EXCHANGES = 3


def take_tokens(line: Rows, lengths: Rows, budget: int) -> Rows:
    """The first rows in line whose response tokens come to a budget as closely as may be.

    The rows are taken in order as long as all of them fit. The gap that is left is closed by at most one more row
    of the next 200 in line and then by at most three exchanges of a row that was taken for one of these 200: each
    time the one that leaves the smallest gap, on either side of the budget, if it is smaller than before. All
    other rows are those that the draw put first.

    Args:
        line: candidates in the order of their draw, each once.
        lengths: response tokens of every candidate.
        budget: response tokens wanted.

    Returns:
        The rows taken, shape (rows,).

    Raises:
        StudyConfigError: all rows in line have fewer tokens, or the result misses the budget by more than 2 %.

    Examples:
        >>> import numpy as np
        >>> take_tokens(np.array([0, 1, 2, 3]), np.array([4, 5, 3, 1]), 10).tolist()
        [0, 1, 3]
    """
    sums = np.cumsum(lengths[line])
    count = int(np.searchsorted(sums, budget, side="right"))
    taken, waiting = line[:count].copy(), line[count : count + WINDOW]
    gap = budget - int(sums[count - 1]) if count else budget
    if len(waiting) and abs(gap - lengths[waiting]).min() < abs(gap):
        best = int(np.argmin(abs(gap - lengths[waiting])))
        gap -= int(lengths[waiting[best]])
        taken, waiting = np.append(taken, waiting[best]), np.delete(waiting, best)
    for _ in range(_EXCHANGES):
        if not gap or not len(taken) or not len(waiting):
            break
        gains = lengths[waiting][None, :] - lengths[taken][:, None]
        out, into = np.unravel_index(np.argmin(abs(gap - gains)), gains.shape)
        if abs(gap - gains[out, into]) >= abs(gap):
            break
        gap -= int(gains[out, into])
        taken[out], waiting[into] = waiting[into], taken[out]
    if abs(gap) > TOLERANCE * budget:
        raise StudyConfigError(
            f"design.response_tokens: {budget:,} response tokens a subset cannot be met within {TOLERANCE:.0%}: "
            f"the rows drawn come to {budget - gap:,}. Allowed is what the candidates can give; their responses "
            f"have {int(lengths[line].sum()):,} tokens together, the longest {int(lengths[line].max()):,}"
        )
    return taken
