"""A rule as a formula."""

from __future__ import annotations

from collections.abc import Sequence


def formula_text(target: str, intercept: float, terms: Sequence[tuple[str, float]]) -> str:
    """The rule as one line of text, every coefficient to six digits.

    Args:
        target: the loss whose logarithm is predicted.
        intercept: in log loss.
        terms: names with their coefficients.

    Examples:
        >>> formula_text("loss", 1.0694, [("reward", -0.1498), ("output_length", 8.257e-5)])
        'log(loss) = 1.0694 - 0.1498 reward + 8.257e-05 output_length'
    """
    parts = [f"{'-' if value < 0 else '+'} {abs(value):.6g} {name}" for name, value in terms]
    return " ".join([f"log({target}) = {intercept:.6g}", *parts])
