"""Numbers as text for people."""

from __future__ import annotations


def format_p(p: float) -> str:
    """A p-value for people: four decimals, or two digits where those would hide it.

    Examples:
        >>> format_p(0.03125), format_p(2.5e-7)
        ('0.0312', '2.5e-07')
    """
    return f"{p:.4f}" if not p < 1e-4 else f"{p:.2g}"
