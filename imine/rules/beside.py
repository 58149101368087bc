"""What stands beside a rule's coefficients, as plain text: other intervals, stability, further held-out error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from imine.rendering import format_p
from imine.rules.text import aligned, or_dash

if TYPE_CHECKING:
    from imine.rules.choice import OtherIntervals, Stability, TermInterval, Validation
    from imine.rules.rule import Rule

_SELDOM = 0.05
"""Share of the repeats under which a candidate that is no term is only counted, where there are many of them."""
_MANY = 12


def beside_text(rule: Rule) -> str:
    """Intervals by other methods, stability of the choice, and held-out error by further schemes.

    Args:
        rule: any rule.

    Returns:
        Blocks of text parted by empty lines; empty for a rule that holds none of these.

    Examples:
        >>> from imine.rules import load_rule
        >>> beside_text(load_rule("instructmining-v1"))
        ''
    """
    blocks = [*_validations(rule.validation), *_intervals(rule)]
    if rule.stability is not None:
        blocks.append(_stability(rule.stability, rule.indicators))
    return "\n\n".join(blocks)


def interval_text(ci: tuple[float | None, float | None] | None) -> str:
    """An interval for people.

    Examples:
        >>> interval_text((0.5, None)), interval_text(None)
        ('[0.5, unbounded]', '–')
    """
    if ci is None:
        return "–"
    low, high = ("unbounded" if end is None else f"{end:.3g}" for end in ci)
    return f"[{low}, {high}]"


def _validations(validations: tuple[Validation, ...]) -> Iterator[str]:
    if not validations:
        return
    level = next((v.coverage_level for v in validations if v.coverage_level is not None), None)
    coverage = "coverage" if level is None else f"in {100 * level:g} % intervals"
    columns = ["held out", "R2", "RMSE", "Spearman", "calibration slope", coverage]
    rows = [
        [
            v.scheme,
            or_dash(v.r2, ".3f"),
            or_dash(v.rmse, ".4g"),
            or_dash(v.spearman, ".2f"),
            or_dash(v.calibration_slope, ".2f"),
            or_dash(v.coverage, ".1%"),
        ]
        for v in validations
    ]
    if any(v.chose_anew is not None for v in validations):
        columns.append("terms chosen anew")
        for v, row in zip(validations, rows, strict=True):
            row.append({True: "yes", False: "no", None: "–"}[v.chose_anew])
    yield "\n".join(aligned(columns, rows, left=("held out", "terms chosen anew")))


def _intervals(rule: Rule) -> Iterator[str]:
    if not rule.other_intervals:
        return
    columns, cells = (
        ["term", "coefficient"],
        [[name, f"{e.coefficient:.5g}"] for name, e in rule.coefficients.items()],
    )
    for other in rule.other_intervals:
        known = {estimate.name: estimate for estimate in other.estimates}
        for row in cells:
            row += _cells(other, known.get(row[0]))
        columns += [f"{other.method}, {100 * other.level:g} %", *(["p"] if _tests(other) else [])]
    lines = ["Intervals by other methods", "", *aligned(columns, cells, left=("term",)), ""]
    for other in rule.other_intervals:
        lines.append(f"{other.method}: {other.about}".rstrip(": "))
        lines += [f"  {estimate.name}: {estimate.why}" for estimate in other.estimates if estimate.why]
    yield "\n".join(lines)


def _cells(other: OtherIntervals, estimate: TermInterval | None) -> list[str]:
    interval = interval_text(estimate.ci if estimate else None)
    if not _tests(other):
        return [interval]
    return [interval, "–" if estimate is None or estimate.p is None else format_p(estimate.p)]


def _tests(other: OtherIntervals) -> bool:
    return any(estimate.p is not None for estimate in other.estimates)


def _stability(stability: Stability, terms: tuple[str, ...]) -> str:
    many = len(stability.terms) > _MANY
    shown = [t for t in stability.terms if not many or t.name in terms or t.chosen >= _SELDOM]
    rows = [
        (t.name, "yes" if t.name in terms else "", f"{t.chosen:.1%}", or_dash(t.same_sign, ".1%"))
        for t in shown
    ]
    failed = f", {stability.failed} of which gave no model" if stability.failed else ""
    lines = [
        f"How steady the terms are: {stability.repeats:,} resamples ({stability.method}){failed}",
        "",
        *aligned(
            ("candidate", "in this rule", "chosen", "same sign"), rows, left=("candidate", "in this rule")
        ),
    ]
    seldom = len(stability.terms) - len(shown)
    if seldom:
        lines.append(f"and {seldom} candidates that were chosen in fewer than {_SELDOM:.0%}")
    return "\n".join(lines)
