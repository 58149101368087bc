"""What was tried at each step of a choice, and why it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from imine.regression.choosing.criteria import LABELS, two_sided_p
from imine.regression.choosing.settings import Criterion
from imine.regression.choosing.subsets import SubsetTable
from imine.rendering import format_p

Action = Literal["stay", "add", "remove", "keep"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One change that a step could have made.

    Attributes:
        action: ``add`` or ``remove`` the term; ``stay`` with the model as it is; ``keep`` the term, among
            those of the whole model (method ``paper``).
        term: name of the term; empty for ``stay``.
        value: the criterion after the change, as :class:`imine.regression.OlsResults` reports it; for the
            criterion ``p`` the p-value of the term. Not a number for ``stay`` by p, and where skipped.
        rss: residual sum of squares after the change.
        p: two-sided p-value of the term in the larger of the two models; not a number for ``stay``.
        skipped: why the change could not be made; empty when it could.
    """

    action: Action
    term: str
    value: float
    rss: float
    p: float
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a choice.

    Attributes:
        terms: the terms before the step.
        candidates: all changes that were looked at, in their order: removals first, then additions.
        action, term: what was done; ``stay`` and an empty name for the last step.
        why: why that was done.
    """

    terms: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    action: Action
    term: str
    why: str


@dataclass(frozen=True, slots=True)
class Trace:
    """All steps of a choice.

    Attributes:
        criterion: what was compared.
        steps: in their order; a method without steps (``best``) has none.
        why: why the choice ended.
        subsets: every subset with its criterion (method ``best``, and ``paper`` with ``max_terms``).
    """

    criterion: Criterion
    steps: tuple[Step, ...]
    why: str
    subsets: SubsetTable | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The changes made, in their order: ``+ term`` or ``- term``, as R's ``step`` writes them."""
        signs = {"add": "+", "remove": "-"}
        return tuple(f"{signs[s.action]} {s.term}" for s in self.steps if s.action in signs)

    def table(self) -> str:
        """Every candidate of every step, and the best subsets of each size, as text."""
        width = max([len("candidate"), *(len(c.term) + 2 for s in self.steps for c in s.candidates)])
        lines = [] if self.subsets is None else [self.subsets.table()]
        for number, step in enumerate(self.steps, start=1):
            lines.append(f"step {number}: {', '.join(step.terms) or 'no terms'}")
            lines.append(f"  {'candidate':<{width}}{LABELS[self.criterion]:>14}{'RSS':>14}{'p':>11}")
            lines += [f"  {_row(candidate, width)}" for candidate in step.candidates]
            lines.append(f"  -> {_deed(step)}: {step.why}")
        return "\n".join([*lines, f"ended: {self.why}"])


def partial_p(smaller: float, larger: float, df: int) -> float:
    """p-value of a term from the residual sums of squares without and with it; ``df`` with it.

    Examples:
        >>> round(partial_p(6.0, 5.0, 20), 4)
        0.0593
    """
    if math.isnan(smaller) or math.isnan(larger) or df < 1:
        return math.nan
    if larger <= 0.0:
        return 0.0 if smaller > 0.0 else math.nan
    return two_sided_p(max(smaller - larger, 0.0) / larger * df, df)


def _row(candidate: Candidate, width: int) -> str:
    sign = {"add": "+ ", "remove": "- ", "keep": "  ", "stay": "stay"}[candidate.action]
    name = f"{sign}{candidate.term}"
    if candidate.skipped:
        return f"{name:<{width}}  skipped: {candidate.skipped}"
    p = "" if math.isnan(candidate.p) else format_p(candidate.p)
    value = "" if math.isnan(candidate.value) else f"{candidate.value:.6g}"
    return f"{name:<{width}}{value:>14}{candidate.rss:>14.6g}{p:>11}".rstrip()


def _deed(step: Step) -> str:
    return {"stay": "stay", "add": f"+ {step.term}", "remove": f"- {step.term}", "keep": "keep"}[step.action]
