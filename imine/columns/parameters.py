"""The free numbers of the lexical measures."""

from __future__ import annotations

from dataclasses import dataclass

_MOST = 2**63 - 1  # the kernels count in int64


@dataclass(frozen=True, slots=True)
class LexicalParameters:
    """The free numbers of the lexical measures; the defaults are the customary ones.

    Attributes:
        threshold: type-token ratio at which a factor of MTLD ends, between 0 and 1.
        min_words: words below which a text has no MTLD, at least 1.
        shortest_factor: words that a factor has at least in the variants of MTLD that ask for it, at least 1.
        draws: words drawn for HD-D, at least 1.
        window: words of a window of MATTR, at least 1.

    Raises:
        TypeError: what must be whole is not.
        ValueError: a number is out of its range.

    Examples:
        >>> LexicalParameters(window=100).draws
        42
    """

    threshold: float = 0.72
    min_words: int = 10
    shortest_factor: int = 10
    draws: int = 42
    window: int = 50

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "threshold", float(self.threshold))
        except OverflowError:
            raise ValueError("threshold must lie between 0 and 1, and is beyond any float") from None
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold must lie between 0 and 1, and is {self.threshold}")
        for name in ("min_words", "shortest_factor", "draws", "window"):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise TypeError(f"{name} must be a whole number, and is {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, and is {value}")
            if value > _MOST:
                raise ValueError(f"{name} must be at most {_MOST:,} (64 bits), and is {value:,}")
            object.__setattr__(self, name, int(value))


_FACTORS = ("threshold", "min_words", "shortest_factor")
# The parameters that matter to a measure; the others have none.
PARAMETERS_OF: dict[str, tuple[str, ...]] = {
    "mtld": ("threshold", "min_words"),
    "mtld_lexical_diversity": _FACTORS,
    "mtld_ma_bid": _FACTORS,
    "mtld_ma_wrap": _FACTORS,
    "hdd": ("draws",),
    "mattr": ("window",),
}
