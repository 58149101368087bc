"""A comparison in words and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imine.rendering import percent

if TYPE_CHECKING:
    from imine.selection.comparison.foretold import Foretold
    from imine.selection.comparison.result import Arm, ComparisonResult, Difference

_HOW = """\
A loss is the summed negative log-likelihood of all response tokens of a set over their number, in nats a token. A
difference is the mean over the seeds of a selector less that of random; below 0 the selector is better. Its interval
and p-value cover evaluation examples (whole rows are resampled with replacement, {repeats:,} times, for both selectors
and all seeds alike; bootstrap-t) and seeds ({seeds} are too few to resample: Student's t of the differences by seed
where seeds share what they choose from, else of the two means with Welch's degrees of freedom, is added to every
resample). p (Holm) is corrected for the {family} comparisons on sets to judge by; sets for information are corrected
among themselves. An example is won where its mean loss over the seeds is lower by more than {tie:g} nats a token, and
tied up to that. Intervals hold for one comparison each, at {level}."""


_FORETOLD = """\
Means of the rule's indicators over the chosen rows that have them, averaged over the seeds; * marks a mean outside the
range of the subset means that the rule was fitted on. Foretold is the rule's log loss at these means less that at the
means of random, with the interval by its coefficients' uncertainty ({level}); measured is the same difference of
the logarithms of the mean losses."""


def verdict_text(differences: Sequence[Difference], budget: str) -> str:
    """One sentence on all selectors at one budget on one set.

    Args:
        differences: of the selectors from random, all of one pool, budget and set.
        budget: for people.
    """
    first = differences[0]
    head = f"From {first.pool}, {budget}, on {first.set}"
    if first.information:
        head += " (for information)"
    return f"{head}: {'; '.join(_clause(d) for d in differences)}."


def _clause(d: Difference) -> str:
    c = d.contrast
    interval = f"{percent(c.level)} interval of the difference {c.low:+.4f} to {c.high:+.4f}"
    numbers = f"{interval}, p {_p(c.p)}, {_p(d.p_holm)} corrected"
    if d.outcome == "cannot tell":
        return f"cannot tell {d.selector} from random (difference {c.value:+.4f} nats a token; {numbers})"
    return f"{d.selector} is {d.outcome} than random by {abs(c.value):.4f} nats a token ({numbers})"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else f"{p:.1e}"


def comparison_page(result: ComparisonResult) -> str:
    """See :meth:`ComparisonResult.summary`."""
    judged = [v.text for v in result.verdicts if not v.information]
    informing = [v.text for v in result.verdicts if v.information]
    level = percent(result.level)
    how = _HOW.format(
        repeats=result.repeats,
        seeds=len(result.arms[0].rows),
        family=sum(not d.information for d in result.differences),
        tie=result.tie,
        level=level,
    )
    parts = [f"# {result.name}: selectors against random choice", "## Verdict", _bullets(judged)]
    if informing:
        parts += ["For information, on sets that do not judge:", _bullets(informing)]
    parts += ["## Differences to random", _difference_table(result.differences)]
    parts += [
        "## Finetunes",
        _arm_table(result),
        "Means over the seeds; standard deviations over them in brackets.",
    ]
    if result.foretold:
        parts += ["## What the rule foretold", _foretold_table(result), _FORETOLD.format(level=level)]
    if result.notes:
        parts += ["## Notes", _bullets(result.notes)]
    return "\n\n".join([*parts, "## How it was computed", how]) + "\n"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join("- " + line.replace("\n", "\n  ") for line in lines)


def _difference_table(differences: Sequence[Difference]) -> str:
    heads = ("pool", "size", "set", "selector", "difference", "interval", "p", "p (Holm)", "outcome",
             "won / tied / lost", "error: seeds, examples")  # fmt: skip
    rows = [
        (
            d.pool, f"{d.size:,}", d.set + (" (information)" if d.information else ""), d.selector,
            f"{d.contrast.value:+.4f}", f"{d.contrast.low:+.4f} to {d.contrast.high:+.4f}", _p(d.contrast.p),
            _p(d.p_holm), d.outcome, f"{d.contrast.wins} / {d.contrast.ties} / {d.contrast.losses}",
            f"{d.contrast.seed_error:.4f}, {d.contrast.example_error:.4f}",
        )
        for d in differences
    ]  # fmt: skip
    return _table(heads, rows)


def _arm_table(result: ComparisonResult) -> str:
    sets = list(result.baseline)
    heads = ("pool", "size", "selector", "rows", "distinct", "steps", "tokens", "response tokens", *sets)
    base = ("", "", "base model", "", "", "", "", "", *(f"{result.baseline[name]:.4f}" for name in sets))
    return _table(heads, [base, *(_arm_row(arm, sets) for arm in result.arms)])


def _arm_row(arm: Arm, sets: Sequence[str]) -> tuple[str, ...]:
    counts = (arm.rows, arm.steps, arm.tokens, arm.response_tokens)
    rows, *others = [f"{sum(c) / len(c):,.0f}" for c in counts]
    losses = [f"{_mean(arm.losses[name]):.4f} ({_sd(arm.losses[name]):.4f})" for name in sets]
    return (arm.pool, f"{arm.size:,}", arm.selector, rows, f"{arm.distinct:,}", *others, *losses)


def _foretold_table(result: ComparisonResult) -> str:
    """Indicators of what was chosen, and predicted beside measured differences of the log loss."""
    names, sets = list(result.foretold[0].means), list(result.baseline)
    measured = {
        (arm.pool, arm.size, arm.selector): [math.log(_mean(arm.losses[name])) for name in sets]
        for arm in result.arms
    }
    heads = ("pool", "size", "selector", *names, "foretold", *(f"measured on {name}" for name in sets))
    rows = []
    for part in result.foretold:
        means = [
            "–" if value is None else f"{value:.4g}{' *' if name in part.outside else ''}"
            for name, value in part.means.items()
        ]
        mine, base = (measured[part.pool, part.size, who] for who in (part.selector, "random"))
        gaps = [
            "–" if part.selector == "random" else f"{a - b:+.4f}" for a, b in zip(mine, base, strict=True)
        ]
        rows.append((part.pool, f"{part.size:,}", part.selector, *means, _expected(part), *gaps))
    return _table(heads, rows)


def _expected(part: Foretold) -> str:
    if part.difference is None:
        return "–"
    ends = "" if part.low is None else f" ({part.low:+.4f} to {part.high:+.4f})"
    return f"{part.difference:+.4f}{ends}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _sd(values: Sequence[float]) -> float:
    centre = _mean(values)
    return (sum((v - centre) ** 2 for v in values) / (len(values) - 1)) ** 0.5


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
