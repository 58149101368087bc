"""The NIST StRD problems of linear regression as float64 design matrices, and digits of agreement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent / "data" / "nist"
NAMES = (
    "norris", "pontius", "noint1", "noint2", "filip", "longley",
    "wampler1", "wampler2", "wampler3", "wampler4", "wampler5",
)  # fmt: skip
_DEGREES = {"norris": 1, "pontius": 2, "filip": 10} | {f"wampler{i}": 5 for i in range(1, 6)}


@dataclass(frozen=True)
class Nist:
    name: str
    X: np.ndarray
    y: np.ndarray
    intercept: bool

    @property
    def columns(self) -> np.ndarray:
        """With the ones."""
        return np.column_stack([np.ones(len(self.y)), self.X]) if self.intercept else self.X


def load(name: str) -> Nist:
    rows = np.loadtxt(FOLDER / f"{name}.csv", delimiter=",", skiprows=1)
    y, X = rows[:, 0], rows[:, 1:]
    if name in _DEGREES:
        X = np.column_stack([X[:, 0] ** power for power in range(1, _DEGREES[name] + 1)])
    return Nist(name, X, y, not name.startswith("noint"))


def digits(found: np.ndarray, exact: list[Fraction]) -> float:
    """Digits of the worst number: minus the decimal logarithm of its relative error.

    Where the exact number is zero, of the error itself: zero counts as every digit, anything else as the digits
    after the point that are zero. At most 16, and every digit where the float64 is the one nearest to the exact number.
    """
    worst = math.inf
    for value, truth in zip(found.tolist(), exact, strict=True):
        if value == float(truth):
            continue
        if not math.isfinite(value):
            return -math.inf
        error = abs(Fraction(value) - truth) / (abs(truth) or 1)
        worst = min(worst, -math.log10(error) if error else math.inf, 16.0)
    return worst
