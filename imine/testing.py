"""Helpers for tests that hold rules in place, for pytest or any other runner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from imine.rules import Rule

__all__ = ["assert_rule_close"]


def assert_rule_close(
    rule: Rule | str | Path,
    expected: Rule | pl.DataFrame | str | Path,
    *,
    rtol: float = 1e-6,
    se: float = 0.0,
    drop_incomplete: bool = False,
    allow_mismatch: bool = False,
) -> None:
    """Fail, with the table of what moved, unless a rule is the expected one or what runs give.

    A coefficient agrees when ``|change| <= rtol * |coefficient| + se * std error``, both of the rule that is
    held: of ``expected`` where that is a rule, of ``rule`` where ``expected`` is runs, as in
    :func:`imine.check_rule`. Terms and target must be the same.

    Args:
        rule: a rule, its name, or its file.
        expected: a rule, its name or its file; or runs: a frame, or a file whose name ends in ``.parquet``.
        rtol: allowed change as a share of the coefficient.
        se: allowed change in standard errors.
        drop_incomplete, allow_mismatch: for runs, as for :func:`imine.check_rule`.

    Raises:
        AssertionError: they differ; the message is the table.
        ImineError: the comparison cannot be made, e.g. no such file, or runs made in another way.
        TypeError: ``rule`` or ``expected`` is of another kind.
        ValueError: a tolerance that is negative or not finite.

    Examples:
        >>> import polars as pl
        >>> import imine
        >>> runs = pl.DataFrame({
        ...     "mtld": [40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0],
        ...     "loss": [2.02, 1.97, 1.96, 1.91, 1.88, 1.87, 1.80, 1.79],
        ... })
        >>> rule = imine.fit(runs, name="made-up")
        >>> assert_rule_close(rule, runs)
        >>> doubled = imine.fit(runs.with_columns(pl.col("mtld") * 2), name="doubled")
        >>> assert_rule_close(doubled, rule)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        AssertionError: expected: rule made-up, 8 runs, PRESS R2 0.960
        found: doubled, 8 runs (others), PRESS R2 0.960
        <BLANKLINE>
        coefficient       expected          found    change  relative  in std errors  agrees
        -----------  -------------  -------------  --------  --------  -------------  ------
        intercept       0.84014365     0.84014365 ...
        mtld         -0.0034625172  -0.0017312586  +0.00173  +5.0e-01          +7.86  MOVED
        <BLANKLINE>
        Allowed: |change| <= 1e-06 x |coefficient| + 0 x std error of the rule.
        Moved: mtld by +7.86 std errors. 1 of 2 coefficients do not agree.
    """
    import polars as pl

    from imine.rules import Rule, check_rule, compare_coefficients, load_rule

    __tracebackhide__ = True
    if not isinstance(rule, Rule | str | Path):
        raise TypeError(f"rule must be a rule, its name or file; got {type(rule).__name__}")
    if not isinstance(expected, Rule | pl.DataFrame | str | Path):
        kind = type(expected).__name__
        raise TypeError(f"expected must be a rule, its name or file, or runs (frame or .parquet); got {kind}")
    if isinstance(expected, pl.DataFrame) or (
        not isinstance(expected, Rule) and str(expected).endswith(".parquet")
    ):
        check = check_rule(
            rule, expected, rtol=rtol, se=se, drop_incomplete=drop_incomplete, allow_mismatch=allow_mismatch
        )
    else:
        found = rule if isinstance(rule, Rule) else load_rule(rule)
        held = expected if isinstance(expected, Rule) else load_rule(expected)
        check = compare_coefficients(held, found, rtol=rtol, se=se)
    if not check.agrees:
        raise AssertionError(check.to_text())
