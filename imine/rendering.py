"""Numbers as text for people."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share or a confidence level that somebody chose, in per cent, as exact as it was chosen.

    Examples:
        >>> percent(0.95), percent(0.975), percent(0.999), percent(0.29)
        ('95%', '97.5%', '99.9%', '29%')
    """
    return f"{100 * share:.10g}%"


def format_p(p: float) -> str:
    """A p-value for people: four decimals, or two digits where those would hide it.

    Examples:
        >>> format_p(0.03125), format_p(2.5e-7)
        ('0.0312', '2.5e-07')
    """
    return f"{p:.4f}" if not p < 1e-4 else f"{p:.2g}"
