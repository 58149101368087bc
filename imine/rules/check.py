"""Whether runs still give a rule: the fit again, coefficient by coefficient."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from imine.errors import FingerprintMismatchError, RuleError
from imine.rules.fingerprints import compare_fingerprints, describe_differences
from imine.rules.load import load_rule
from imine.rules.rule import Rule
from imine.rules.text import aligned, or_dash

RTOL = 1e-6
"""Allowed change as a share of the coefficient, unless told otherwise: six digits."""


@dataclass(frozen=True, slots=True)
class CoefficientCheck:
    """One coefficient of a rule beside that of another fit.

    Attributes:
        name: ``intercept`` or a term.
        expected, found: the two coefficients, in log loss per unit of the indicator.
        std_error: standard error of the expected one; ``None`` where the rule has none.
        found_std_error: of the one found.
        allowed: largest change that agrees, ``rtol * |expected| + se * std_error``.
    """

    name: str
    expected: float
    found: float
    std_error: float | None
    found_std_error: float | None
    allowed: float

    @property
    def change(self) -> float:
        """``found - expected``."""
        return self.found - self.expected

    @property
    def agrees(self) -> bool:
        """Whether the change is allowed."""
        return abs(self.change) <= self.allowed

    @property
    def in_std_errors(self) -> float | None:
        """The change in standard errors of the expected coefficient; ``None`` where that has none, or it is 0."""
        if not self.std_error:
            return None
        return self.change / self.std_error

    @property
    def relative(self) -> float | None:
        """The change as a share of the expected coefficient; ``None`` where that is 0."""
        return self.change / abs(self.expected) if self.expected else None


@dataclass(frozen=True, slots=True, eq=False)
class RuleCheck:
    """A rule beside another fit of the same terms.

    Attributes:
        expected: the rule that is held.
        found: the fit it was compared with.
        coefficients: one entry a coefficient that both have, the intercept first, in the rule's order.
        apart: what keeps the two from being the same kind of rule (another target, other terms); empty for a
            fit made by :func:`check_rule`.
        rtol, se: the tolerance, as a share of the coefficient and in standard errors.
        same_runs: whether both were fitted on the same runs, by their hash; ``None`` where one has no hash.
        notes: what was not compared.
    """

    expected: Rule
    found: Rule
    coefficients: tuple[CoefficientCheck, ...]
    apart: tuple[str, ...]
    rtol: float
    se: float
    same_runs: bool | None
    notes: tuple[str, ...] = ()

    @property
    def moved(self) -> tuple[CoefficientCheck, ...]:
        """Coefficients whose change is larger than allowed."""
        return tuple(c for c in self.coefficients if not c.agrees)

    @property
    def agrees(self) -> bool:
        """Whether terms and target are the same and every coefficient agrees."""
        return not self.apart and not self.moved

    def to_text(self) -> str:
        """The table of all coefficients, with the verdict, as plain text."""
        columns = ("coefficient", "expected", "found", "change", "relative", "in std errors", "agrees")
        rows = [
            (
                c.name,
                f"{c.expected:.8g}",
                f"{c.found:.8g}",
                f"{c.change:+.3g}",
                or_dash(c.relative, "+.1e"),
                or_dash(c.in_std_errors, "+.3g"),
                "yes" if c.agrees else "MOVED",
            )
            for c in self.coefficients
        ]
        lines = [
            *self._heading(),
            "",
            *aligned(columns, rows, left=["coefficient", "agrees"]),
            "",
            *self.apart,
        ]
        lines.append(
            f"Allowed: |change| <= {self.rtol:g} x |coefficient| + {self.se:g} x std error of the rule."
        )
        return "\n".join([*lines, *self.notes, self._verdict()])

    def _heading(self) -> list[str]:
        runs = {True: " (the same)", False: " (others)", None: ""}[self.same_runs]
        return [f"expected: rule {_in_words(self.expected)}", f"found: {_in_words(self.found, runs)}"]

    def _verdict(self) -> str:
        if self.agrees:
            return f"All {len(self.coefficients)} coefficients agree."
        moved = [
            f"{c.name} by {or_dash(c.in_std_errors, '+.3g')} std errors" if c.std_error else c.name
            for c in self.moved
        ]
        said = [f"Moved: {', '.join(moved)}."] if moved else []
        return " ".join([*said, f"{len(self.moved)} of {len(self.coefficients)} coefficients do not agree."])

    def to_json(self) -> str:
        """The check as JSON, for programs; numbers that do not exist are null."""
        document: dict[str, Any] = {
            "agrees": self.agrees,
            "rtol": self.rtol,
            "se": self.se,
            "same_runs": self.same_runs,
            "apart": list(self.apart),
            "notes": list(self.notes),
            "expected": _about(self.expected),
            "found": _about(self.found),
            "coefficients": [
                asdict(c)
                | {
                    "change": c.change,
                    "relative": c.relative,
                    "in_std_errors": c.in_std_errors,
                    "agrees": c.agrees,
                }
                for c in self.coefficients
            ],
        }
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def check_rule(
    rule: Rule | str | Path,
    runs: pl.DataFrame | str | Path,
    *,
    rtol: float = RTOL,
    se: float = 0.0,
    drop_incomplete: bool = False,
    allow_mismatch: bool = False,
) -> RuleCheck:
    """Fit a rule's terms again on runs, and compare every coefficient.

    A coefficient agrees when ``|refit - rule| <= rtol * |rule| + se * std error of the rule``. The two parts
    add up, as in :func:`numpy.allclose`. The default asks for six digits: right for the same runs on any
    machine. For runs made anew give ``se``: of two independent fits of the same truth a coefficient differs by
    more than 2.77 of its standard errors (1.96 times the root of 2) in one case of twenty.

    Args:
        rule: the rule, its name, or its file.
        runs: as for :func:`imine.fit`: the file of a study, whose fingerprints must be those of the rule, or a
            frame, of which it is not known how it was made.
        rtol: allowed change as a share of the coefficient.
        se: allowed change in standard errors of the rule.
        drop_incomplete: leave out runs with a missing value instead of refusing them.
        allow_mismatch: go on, with a note, where the runs' indicators were made in another way.

    Returns:
        The comparison; its ``agrees`` is the verdict.

    Raises:
        RuleError: no such rule; ``se`` for a rule without standard errors.
        RegressionError: the runs cannot be read or fitted, or lack the rule's columns.
        FingerprintMismatchError: the runs' indicators were made in another way than the rule's.
        ValueError: a tolerance that is negative or not finite.

    Examples:
        >>> import polars as pl
        >>> import imine
        >>> made_up = pl.DataFrame({
        ...     "mtld": [40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0],
        ...     "loss": [2.02, 1.97, 1.96, 1.91, 1.88, 1.87, 1.80, 1.79],
        ... })
        >>> rule = imine.fit(made_up, name="made-up")
        >>> check_rule(rule, made_up).agrees
        True
        >>> later = made_up.with_columns(pl.col("loss") * (1 + 0.001 * (pl.col("mtld") - 57)))
        >>> check_rule(rule, later, se=1.0).moved[0].name
        'intercept'
    """
    from imine.regression.fitting import refit

    _check_tolerance(rtol, se)
    rule = rule if isinstance(rule, Rule) else load_rule(rule)
    found = refit(rule, runs, drop_incomplete=drop_incomplete)
    notes = _compare_making(rule, found, isinstance(runs, pl.DataFrame), allow_mismatch)
    return compare_coefficients(rule, found, rtol=rtol, se=se, notes=notes)


def compare_coefficients(
    expected: Rule, found: Rule, *, rtol: float = RTOL, se: float = 0.0, notes: tuple[str, ...] = ()
) -> RuleCheck:
    """Compare two rules that should be the same, as :func:`check_rule` does with a rule and its refit.

    Args:
        expected: the rule that is held; its standard errors are the unit.
        found: the rule beside it.
        rtol, se: the tolerance.
        notes: to be shown with the result.

    Raises:
        RuleError: ``se`` for a rule without standard errors.
        ValueError: a tolerance that is negative or not finite.

    Examples:
        >>> rule = load_rule("instructmining-v1")
        >>> compare_coefficients(rule, rule, rtol=0.0).agrees
        True
    """
    _check_tolerance(rtol, se)
    both = [name for name in expected.coefficients if name in found.coefficients]
    rows = []
    for name in both:
        old, new = expected.coefficients[name], found.coefficients[name]
        if se and old.std_error is None:
            raise RuleError(
                f"rule {expected.name!r} has no standard error of {name}, so no tolerance in standard errors can "
                "be asked of it; give rtol alone"
            )
        allowed = rtol * abs(old.coefficient) + se * (old.std_error or 0.0)
        rows.append(
            CoefficientCheck(name, old.coefficient, new.coefficient, old.std_error, new.std_error, allowed)
        )
    hashes = [rule.provenance.runs_sha256 for rule in (expected, found)]
    same_runs = None if None in hashes else hashes[0] == hashes[1]
    return RuleCheck(expected, found, tuple(rows), tuple(_apart(expected, found)), rtol, se, same_runs, notes)


def _check_tolerance(rtol: float, se: float) -> None:
    for name, value in (("rtol", rtol), ("se", se)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number of at least 0; got {value!r}")


def _apart(expected: Rule, found: Rule) -> list[str]:
    lines = []
    if expected.target != found.target:
        lines.append(f"Another target: {found.target}, not {expected.target}.")
    for only, there, here in (("the rule held", expected, found), ("the one found", found, expected)):
        names = [name for name in there.indicators if name not in here.indicators]
        if names:
            lines.append(f"Only in {only}: {', '.join(names)}.")
    return lines


def _compare_making(rule: Rule, found: Rule, is_frame: bool, allow: bool) -> tuple[str, ...]:
    if not rule.fingerprints:
        return ("The rule holds no fingerprints: how the runs' indicators were made was not compared.",)
    if is_frame:
        return ("The runs came as a frame: how their indicators were made was not compared.",)
    differences = compare_fingerprints(rule.fingerprints, found.fingerprints)
    if not differences:
        return ()
    text = (
        f"the indicators of the runs were not made as rule {rule.name!r} expects:\n"
        f"{describe_differences(differences)}"
    )
    if not allow:
        raise FingerprintMismatchError(
            f"{text}\nCheck the rule against runs made in its way, or go on regardless (--allow-mismatch; "
            "allow_mismatch=True)."
        )
    return (f"Mismatch allowed: {text}",)


def _in_words(rule: Rule, runs: str = "") -> str:
    held_out = "no held-out error" if rule.held_out is None else f"PRESS R2 {rule.held_out.press_r2:.3f}"
    if rule.held_out is not None and rule.choice is not None and rule.choice.saw_losses:
        held_out += " (terms not chosen anew)"
    return f"{rule.name}, {or_dash(rule.n_runs, 'd')} runs{runs}, {held_out}"


def _about(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "sha256": rule.sha256,
        "n_runs": rule.n_runs,
        "sigma": rule.sigma,
        "press_r2": rule.held_out.press_r2 if rule.held_out else None,
        "runs_sha256": rule.provenance.runs_sha256,
    }
