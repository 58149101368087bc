"""Why a row was kept or rejected, as one number a row; the words are made when they are asked for."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """What became of a row."""

    KEPT = 0
    UNSCORED = 1
    ABOVE = 2
    CANNOT_TELL = 3
    DUPLICATE = 4
    NO_TOKENS = 5
    BUDGET = 6
    QUOTA = 7
    PASSED_OVER = 8
    NOT_LISTED = 9
    NO_ROOM = 10


IN_WORDS = {
    Code.UNSCORED: "without a prediction",
    Code.ABOVE: "above the cut",
    Code.CANNOT_TELL: "where it cannot be told",
    Code.DUPLICATE: "near-duplicates of a better row",
    Code.NO_TOKENS: "without a number of tokens",
    Code.BUDGET: "beyond the token budget",
    Code.QUOTA: "for a full quota",
    Code.NO_ROOM: "for the least numbers of other quotas",
    Code.PASSED_OVER: "passed over for diversity",
    Code.NOT_LISTED: "not on the shortlist of diversity",
}
"""What a count of rejected rows is followed by."""
