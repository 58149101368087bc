"""What is asked of a selection."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypedDict

from imine.errors import SelectionError
from imine.selection.diversity import Diversity
from imine.selection.quotas import Quota

By = Literal["prediction", "upper"]

TOKENS = "output_length"
"""Column that a token budget counts by, unless told otherwise: tokens of the response."""

_AMOUNTS = ("top", "fraction", "threshold", "tokens")


class RequestOptions(TypedDict, total=False):
    """The fields of :class:`Request`, as keyword arguments of the functions that select."""

    top: int | None
    fraction: float | None
    threshold: float | None
    tokens: int | None
    token_column: str
    by: By
    cannot_tell: Literal["keep", "drop"] | None
    band: float | None
    level: float | None
    quota: Quota | None
    duplicates: float | None
    diversity: Diversity | None


@dataclass(frozen=True, slots=True)
class Request:
    """How much to keep, exactly one of the first four, and by what.

    Attributes:
        top: number of rows.
        fraction: share of the rows that can be chosen (those with a prediction, less near-duplicates), in (0, 1].
        threshold: highest log loss to keep: of the prediction, or of the upper end of its interval.
        tokens: most tokens to keep; rows are taken in rank order up to the first that does not fit.
        token_column: column of the scores that holds the tokens of a row.
        by: what rows are ranked by, and what a threshold is compared with: ``prediction``, or ``upper``, the upper
            end of its interval, which keeps what is better than a threshold beyond the error of its own prediction.
        cannot_tell: with a threshold, whether rows of the band round it are kept or dropped; by default the
            prediction decides on them.
        band: half width of that band; by default a row is in it when its interval holds the threshold.
        level: confidence level of the intervals; by default the rule's own.
        quota: limits by the values of one column.
        duplicates: cosine from which rows are near-duplicates; only the best-ranked of each group can be chosen.
        diversity: trade predicted loss for diversity; not with a threshold.

    Examples:
        >>> str(Request(tokens=5000))
        '5,000 tokens by output_length'
    """

    top: int | None = None
    fraction: float | None = None
    threshold: float | None = None
    tokens: int | None = None
    token_column: str = TOKENS
    by: By = "prediction"
    cannot_tell: Literal["keep", "drop"] | None = None
    band: float | None = None
    level: float | None = None
    quota: Quota | None = None
    duplicates: float | None = None
    diversity: Diversity | None = None

    def __post_init__(self) -> None:
        given = [name for name in _AMOUNTS if getattr(self, name) is not None]
        if len(given) != 1:
            raise SelectionError(
                f"say how much to keep by exactly one of {', '.join(_AMOUNTS)}; "
                f"got {', '.join(given) or 'none'}"
            )
        self._check_amount()
        self._check_way()

    def _check_amount(self) -> None:
        if self.top is not None and self.top < 1:
            raise SelectionError(f"top must be at least 1; got {self.top}")
        if self.fraction is not None and not 0.0 < self.fraction <= 1.0:
            raise SelectionError(f"fraction must lie in (0, 1]; got {self.fraction}")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise SelectionError(f"threshold must be a finite log loss; got {self.threshold}")
        if self.tokens is not None and self.tokens < 1:
            raise SelectionError(f"tokens must be at least 1; got {self.tokens}")

    def _check_way(self) -> None:
        if self.tokens is None and self.token_column != TOKENS:
            raise SelectionError(
                f"token_column counts a budget of tokens: {self.token_column!r} without tokens"
            )
        if self.by not in ("prediction", "upper"):
            raise SelectionError(f"by must be prediction or upper; got {self.by!r}")
        if self.cannot_tell not in (None, "keep", "drop"):
            raise SelectionError(f"cannot_tell must be keep or drop; got {self.cannot_tell!r}")
        if self.threshold is None and (self.cannot_tell or self.band is not None):
            raise SelectionError("cannot_tell and band need a threshold, round which the band lies")
        if self.cannot_tell and self.by == "upper":
            raise SelectionError(
                "by='upper' keeps only rows whose whole interval is below the threshold: "
                "leave cannot_tell out, or rank by the prediction"
            )
        if self.band is not None and self.by == "upper":
            raise SelectionError(
                "by='upper' drops rows by their intervals, not by a band round the threshold: leave band out, or rank "
                "by the prediction"
            )
        if self.band is not None and not 0.0 < self.band < math.inf:
            raise SelectionError(f"band must be positive and finite; got {self.band}")
        if self.level is not None and not 0.0 < self.level < 1.0:
            raise SelectionError(f"level must lie between 0 and 1; got {self.level}")
        if self.duplicates is not None and not 0.0 < self.duplicates <= 1.0:
            raise SelectionError(f"duplicates must be a cosine in (0, 1]; got {self.duplicates}")
        if self.diversity is not None and self.threshold is not None:
            raise SelectionError(
                "diversity needs top, fraction or tokens: a threshold keeps every row below it"
            )
        if self.diversity is not None and self.tokens is not None and self.quota is not None:
            raise SelectionError("diversity with a token budget knows no quota: give top or fraction")

    @property
    def needs_intervals(self) -> bool:
        """Whether the decision is by intervals of the rows."""
        return self.by == "upper" or (self.cannot_tell is not None and self.band is None)

    @property
    def needs_embeddings(self) -> bool:
        """Whether rows must be embedded."""
        return self.duplicates is not None or self.diversity is not None

    def __str__(self) -> str:
        parts = [self._amount()]
        if self.by == "upper" and self.threshold is None:
            parts.append("ranked by the upper end of the interval")
        if self.cannot_tell:
            kept = "kept" if self.cannot_tell == "keep" else "dropped"
            parts.append(f"{kept} where it cannot be told")
        if self.quota is not None:
            parts.append(f"quota {self.quota}")
        if self.duplicates is not None:
            parts.append(f"near-duplicates from cosine {self.duplicates:g} collapsed")
        if self.diversity is not None:
            parts.append(str(self.diversity))
        return ", ".join(parts)

    def _amount(self) -> str:
        if self.top is not None:
            return f"top {self.top}"
        if self.fraction is not None:
            return f"fraction {self.fraction:g}"
        if self.tokens is not None:
            return f"{self.tokens:,} tokens by {self.token_column}"
        what = "upper end of the interval" if self.by == "upper" else "predicted log loss"
        return f"{what} at most {self.threshold:g}"

    def count(self, predicted: int) -> int:
        """Rows to keep of ``predicted`` ranked ones; not for a threshold or a token budget."""
        if self.top is not None:
            return min(self.top, predicted)
        assert self.fraction is not None
        return min(predicted, max(1, round(self.fraction * predicted)))
