"""A rule as a table for people, and the verdict that its numbers allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imine.columns import find_column
from imine.rendering import format_p
from imine.rules.text import aligned, markdown_table, or_dash

if TYPE_CHECKING:
    from imine.rules.choice import Validation
    from imine.rules.rule import Estimate, Rule, Term

WEAK_BELOW = 0.3
"""PRESS R2 under which a rule is called weak."""
LITTLE_BELOW = 0.05
"""PRESS R2 under which it is said to predict next to nothing."""

_LEFT = ("term", "unit")


@dataclass(frozen=True, slots=True)
class RuleTable:
    """A rendered rule.

    Attributes:
        title: one line.
        columns: headings.
        rows: cells, one row the intercept and one a term.
        footer: lines on the fit as a whole, and the verdict.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    footer: tuple[str, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Characters that each column needs."""
        return tuple(max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True))

    def to_text(self, width: int | None = None) -> str:
        """Plain text with aligned columns.

        Args:
            width: characters that a line may have; a wider table is set in parts, one below the other,
                each with the term in front. By default a line may have any length.
        """
        parts = [self._lines(columns) for columns in self._parts(width)]
        blocks = ["\n".join(part) for part in parts]
        return "\n\n".join([self.title, *blocks, "\n".join(self.footer)])

    def _parts(self, width: int | None) -> list[list[int]]:
        parts, used = [[0]], self.widths[0]
        for i, needed in enumerate(self.widths[1:], start=1):
            if width is not None and used + 2 + needed > width and parts[-1] != [0]:
                parts.append([0])
                used = self.widths[0]
            parts[-1].append(i)
            used += 2 + needed
        return parts

    def _lines(self, columns: Sequence[int]) -> list[str]:
        rows = [[row[i] for i in columns] for row in self.rows]
        return aligned([self.columns[i] for i in columns], rows, left=_LEFT)

    def to_markdown(self) -> str:
        """The coefficients as a Markdown table."""
        return "\n".join(markdown_table(self.columns, self.rows, left=_LEFT))


def rule_table(rule: Rule) -> RuleTable:
    """The rule's coefficients, the fit as a whole and the verdict, as text cells.

    Args:
        rule: any rule; what it does not know is shown as a dash.

    Examples:
        >>> from imine.rules import load_rule
        >>> print(rule_table(load_rule("instructmining-v1")).rows[2][:2])
        ('output_length', '8.257e-05')
    """
    title = f"{rule.name}: log({rule.target}) = intercept + sum of coefficient x indicator"
    columns = (
        "term", "coefficient", "std error", "t", "p", f"{100 * rule.level:g} % interval", "unit",
        "fitted range", "effect of 1 sd",
    )  # fmt: skip
    rows = [("intercept", *_estimate(rule.intercept), "", "", "")]
    rows += [(term.name, *_estimate(term), _unit(term), *_fitted(term)) for term in rule.terms]
    return RuleTable(title, columns, tuple(rows), (*_statistics(rule), *verdict(rule)))


def verdict(rule: Rule) -> list[str]:
    """What the numbers of a rule say, in plain sentences; each from a number that the rule holds.

    Args:
        rule: any rule.

    Examples:
        >>> from imine.rules import load_rule
        >>> print(*verdict(load_rule("instructmining-v2")))
        This rule holds no held-out error: how well it predicts unseen runs cannot be told from it.
    """
    lines = [_band(rule), *_chosen(rule), *_shuffled(rule)]
    if rule.fit is not None and rule.fit.f_p is not None and rule.fit.f_p > 0.05:
        lines.append(f"All terms together cannot be told from chance (F test, p = {format_p(rule.fit.f_p)}).")
    if rule.df_resid is not None and rule.df_resid < 10:
        lines.append(
            f"Only {rule.df_resid} residual degrees of freedom: intervals and R2 are themselves unsure; "
            "more runs or fewer terms would help."
        )
    inflated = [
        f"{term.name} ({term.vif:.0f})" for term in rule.terms if term.vif is not None and term.vif > 10
    ]
    if inflated:
        lines.append(
            f"Hard to tell apart from the other terms (variance inflation factor above 10): "
            f"{', '.join(inflated)}; their single coefficients mean little."
        )
    return lines


def _band(rule: Rule) -> str:
    """The verdict by the error with the choice made anew, where there was one and it is known, else by PRESS R2."""
    anew = chosen_anew(rule)
    if anew is not None and anew.r2 is not None:
        how = f"held out ({anew.scheme}) with the terms chosen anew"
        return _judged(how, "R2", anew.r2, anew.spearman)
    if rule.held_out is None:
        return "This rule holds no held-out error: how well it predicts unseen runs cannot be told from it."
    return _judged("left out one at a time", "PRESS R2", rule.held_out.press_r2, rule.held_out.spearman)


def _judged(how: str, name: str, r2: float, rank: float | None) -> str:
    if r2 <= 0.0:
        return (
            f"This rule predicts nothing out of sample: {how}, the runs are predicted no "
            f"better than by their mean ({name} = {r2:.2f}). Do not choose data by it."
        )
    if r2 < LITTLE_BELOW:
        return (
            f"This rule predicts next to nothing out of sample: {how}, {100 * r2:.1f} % of the "
            f"variance of the runs' log loss is predicted ({name} = {r2:.3f})."
        )
    ranked = "" if rank is None else f"; rank correlation {rank:.2f}"
    verb = "predicts weakly" if r2 < WEAK_BELOW else "predicts"
    return (
        f"This rule {verb} out of sample: {how}, {100 * r2:.0f} % of the variance of "
        f"the runs' log loss is predicted ({name} = {r2:.2f}{ranked})."
    )


def chosen_anew(rule: Rule) -> Validation | None:
    """Of a rule whose terms were chosen by the losses, the first error with the choice made anew.

    Examples:
        >>> from imine.rules import load_rule
        >>> chosen_anew(load_rule("instructmining-v1")) is None
        True
    """
    if rule.choice is None or not rule.choice.saw_losses:
        return None
    known = (v for v in rule.validation if v.chose_anew and v.permutation_p is None and v.r2 is not None)
    return next(known, None)


def _chosen(rule: Rule) -> list[str]:
    """What a search among the terms did to the numbers of the table, and where the right ones are."""
    if rule.choice is None or not rule.choice.saw_losses:
        return []
    named = rule.choice.method == "named"
    how = "named after a look at the losses" if named else f"chosen by the losses ({rule.choice})"
    remedy = (
        "The intervals by other methods stand beside the table; each says what it is right for."
        if rule.other_intervals
        else "This rule holds no intervals that take the choice into account."
    )
    return [
        f"The terms were {how}: the p-values are too small, the intervals too narrow, and the left-out error (PRESS) "
        f"too good, since it did not choose anew; the intervals of predictions are too narrow as well, see their share "
        f"of held-out runs. {remedy}"
    ]


def _shuffled(rule: Rule) -> list[str]:
    lines = []
    for validation in rule.validation:
        if validation.permutation_p is None:
            continue
        p = format_p(validation.permutation_p)
        said = f"p = {p}, {validation.scheme}"
        if validation.permutation_p > 0.05:
            lines.append(f"What was found cannot be told from chance: shuffled losses give as much ({said}).")
        else:
            lines.append(f"Shuffled losses seldom give as much ({said}).")
    return lines


def _statistics(rule: Rule) -> list[str]:
    fit, held_out = rule.fit, rule.held_out
    first = [("n", rule.n_runs), ("df", rule.df_resid), ("sigma", rule.sigma)]
    second = [] if fit is None else [("R2", fit.r2), ("adjusted R2", fit.adjusted_r2)]
    second += (
        [] if held_out is None else [("PRESS R2", held_out.press_r2), ("PRESS RMSE", held_out.press_rmse)]
    )
    pairs = [f"{name} {value:.4g}" for name, value in (*first, *second) if value is not None]
    if fit is not None and fit.f is not None and fit.f_p is not None:
        pairs.append(f"F {fit.f:.2f} (p {format_p(fit.f_p)})")
    lines = [", ".join(pairs)] if pairs else []
    ratios = [(name, span.spread_ratio) for name, span in rule.ranges.items() if span.spread_ratio]
    if ratios:
        lines.append(
            "Spread of single examples over spread of the subset means that were fitted: "
            + ", ".join(f"{name} {ratio:.1f}" for name, ratio in ratios)
            + ". Levels predicted for single examples are extrapolated."
        )
    return lines


def _estimate(estimate: Estimate) -> tuple[str, ...]:
    low, high = estimate.ci or (None, None)
    return (
        f"{estimate.coefficient:.5g}",
        or_dash(estimate.std_error, ".2g"),
        or_dash(estimate.t, ".2f"),
        "–" if estimate.p is None else format_p(estimate.p),
        "–" if low is None else f"[{low:.3g}, {high:.3g}]",
    )


def _unit(term: Term) -> str:
    spec = find_column(term.name)
    return spec.unit if spec else "–"


def _fitted(term: Term) -> Sequence[str]:
    if term.fitted is None:
        return "–", "–"
    return f"{term.fitted.min:.4g} to {term.fitted.max:.4g}", f"{term.coefficient * term.fitted.sd:+.4f}"
