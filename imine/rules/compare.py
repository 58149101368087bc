"""Two rules side by side: coefficient by coefficient, and by the sets that they choose."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from imine.rules.fingerprints import Difference, compare_fingerprints
from imine.rules.load import load_rule
from imine.rules.parts import Estimate
from imine.rules.rule import INTERCEPT, Rule
from imine.rules.sets import SetComparison, compare_sets
from imine.rules.text import aligned, or_dash

if TYPE_CHECKING:
    from imine.indicators.score import Scores
    from imine.progress import Progress


@dataclass(frozen=True, slots=True)
class CoefficientDifference:
    """One coefficient that two rules have in common.

    Attributes:
        name: ``intercept`` or a term.
        first, second: the two coefficients, in log loss per unit of the indicator.
        first_std_error, second_std_error: their standard errors; ``None`` where a rule has none.
    """

    name: str
    first: float
    second: float
    first_std_error: float | None
    second_std_error: float | None

    @property
    def difference(self) -> float:
        """``second - first``."""
        return self.second - self.first

    @property
    def std_error(self) -> float | None:
        """Standard error of the difference if the two fits are independent: root of the sum of squares."""
        if self.first_std_error is None or self.second_std_error is None:
            return None
        return math.hypot(self.first_std_error, self.second_std_error)

    @property
    def in_std_errors(self) -> float | None:
        """The difference in :attr:`std_error`; ``None`` where that is not known, or 0."""
        return self.difference / self.std_error if self.std_error else None

    @property
    def at_least(self) -> float | None:
        """Fewest standard errors that the difference can be, however the two fits are correlated.

        By Cauchy and Schwarz the standard error of a difference is at most the sum of the two.
        """
        if self.first_std_error is None or self.second_std_error is None:
            return None
        most = self.first_std_error + self.second_std_error
        return abs(self.difference) / most if most else None


@dataclass(frozen=True, slots=True, eq=False)
class RuleComparison:
    """Two rules side by side.

    Attributes:
        first, second: the rules.
        coefficients: one entry a coefficient that both have, the intercept first, in the first rule's order.
        only_first, only_second: terms that one of them has.
        same_runs: whether both were fitted on the same runs, by their hash; ``None`` where one has no hash.
        fingerprints: differences in how the indicators of common terms were made, as far as both rules say how;
            ``expected`` is the first rule's.
        sets: the sets that they choose; ``None`` without scores or pool.
    """

    first: Rule
    second: Rule
    coefficients: tuple[CoefficientDifference, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    same_runs: bool | None
    fingerprints: tuple[Difference, ...]
    sets: SetComparison | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the numbers assume, and what keeps the coefficients from being the same quantities."""
        return tuple(_notes(self))

    def to_text(self) -> str:
        """Table and notes as plain text."""
        lines = [f"first:  {self.first.formula}", f"second: {self.second.formula}", ""]
        columns = ("coefficient", "first", "second", "difference", "std error", "in std errors", "at least")
        rows = [
            (
                c.name,
                f"{c.first:.6g}",
                f"{c.second:.6g}",
                f"{c.difference:+.3g}",
                or_dash(c.std_error, ".2g"),
                or_dash(c.in_std_errors, "+.2f"),
                or_dash(c.at_least, ".2f"),
            )
            for c in self.coefficients
        ]
        lines += [*aligned(columns, rows, left=["coefficient"]), ""]
        for which, names in (("first", self.only_first), ("second", self.only_second)):
            if names:
                lines.append(f"Only in the {which}: {', '.join(names)}.")
        lines += self.notes
        if self.sets is not None:
            lines += ["", *self.sets.lines()]
        return "\n".join(lines)

    def to_json(self) -> str:
        """The comparison as JSON, for programs; numbers that do not exist are null."""
        document: dict[str, Any] = {
            "first": {"name": self.first.name, "sha256": self.first.sha256},
            "second": {"name": self.second.name, "sha256": self.second.sha256},
            "same_runs": self.same_runs,
            "coefficients": [
                asdict(c)
                | {
                    "difference": c.difference,
                    "std_error": c.std_error,
                    "in_std_errors": c.in_std_errors,
                    "at_least": c.at_least,
                }
                for c in self.coefficients
            ],
            "only_first": list(self.only_first),
            "only_second": list(self.only_second),
            "fingerprints": [_in_words(difference) for difference in self.fingerprints],
            "notes": list(self.notes),
            "sets": None if self.sets is None else self.sets.to_dict(),
        }
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def compare_rules(
    first: Rule | str | Path,
    second: Rule | str | Path,
    *,
    scores: Scores | pl.DataFrame | None = None,
    pool: pl.DataFrame | None = None,
    top: int | None = None,
    allow_mismatch: bool = False,
    progress: Progress | None = None,
) -> RuleComparison:
    """Compare two rules term by term, and the sets that they choose.

    The standard error of a difference is taken as that of two independent fits, the root of the sum of the
    squared standard errors. Fits on the same runs are not independent: how their errors go together is in
    neither rule, so for them only ``at_least`` is safe, the difference over the sum of the two standard errors.

    Args:
        first, second: rules, their names, or their files.
        scores: scores to choose from: those of a side-car, or a frame of ``id`` and the indicators, of which
            it is not known how they were made.
        pool: records to choose from instead; scored for each rule in its way.
        top: rows that each rule chooses; with ``scores`` or ``pool``, and only with them.
        allow_mismatch: go on, with a warning, where the scores were made in another way than a rule expects.
        progress: told of the scoring.

    Raises:
        RuleError: no such rule, or the scores lack what a rule needs.
        FingerprintMismatchError: the scores were made in another way than a rule expects.
        SelectionError: ``top`` below 1, or scores or records that cannot be chosen from.
        ValueError: both of ``scores`` and ``pool``, or ``top`` without them, or they without ``top``.

    Examples:
        >>> compared = compare_rules("instructmining-v1", "instructmining-v2")
        >>> [(c.name, round(c.difference, 4)) for c in compared.coefficients]
        [('intercept', -1.042), ('reward', 0.142)]
        >>> compared.only_first
        ('output_length', 'knn_6')
    """
    if scores is not None and pool is not None:
        raise ValueError("give scores or a pool, not both")
    if (scores is None and pool is None) != (top is None):
        raise ValueError(
            "top says how many rows each rule chooses: give it with scores or a pool, and only then"
        )
    first, second = (rule if isinstance(rule, Rule) else load_rule(rule) for rule in (first, second))
    both = [name for name in first.coefficients if name in second.coefficients]
    hashes = [rule.provenance.runs_sha256 for rule in (first, second)]
    known = {name: made for name, made in first.fingerprints.items() if name in second.fingerprints}
    sets = None
    if top is not None:
        sets = compare_sets(first, second, scores, pool, top, allow_mismatch, progress)
    return RuleComparison(
        first=first,
        second=second,
        coefficients=tuple(_difference(name, first.coefficients, second.coefficients) for name in both),
        only_first=tuple(name for name in first.indicators if name not in both),
        only_second=tuple(name for name in second.indicators if name not in both),
        same_runs=None if None in hashes else hashes[0] == hashes[1],
        fingerprints=tuple(compare_fingerprints(known, second.fingerprints)),
        sets=sets,
    )


def _difference(name: str, first: dict[str, Estimate], second: dict[str, Estimate]) -> CoefficientDifference:
    a, b = first[name], second[name]
    return CoefficientDifference(name, a.coefficient, b.coefficient, a.std_error, b.std_error)


def _notes(compared: RuleComparison) -> list[str]:
    lines = []
    if any(c.std_error is not None for c in compared.coefficients):
        lines.append(
            "in std errors: as if the two fits were independent; at least: whatever the correlation of their errors."
        )
    if compared.same_runs:
        lines.append(
            "Both were fitted on the same runs, so they are not independent: only the last column is safe."
        )
    if compared.only_first or compared.only_second:
        lines.append(
            "The terms differ: a coefficient is the effect with the rule's other terms held, so those compared here "
            "do not mean the same."
        )
    if compared.first.target != compared.second.target:
        lines.append(f"The targets differ: {compared.first.target} and {compared.second.target}.")
    if compared.fingerprints:
        lines.append("The indicators were not made in the same way:")
        lines += [f"  - {_in_words(difference)}" for difference in compared.fingerprints]
    made = compared.first.fingerprints.keys() & compared.second.fingerprints.keys()
    unknown = [c.name for c in compared.coefficients if c.name not in made and c.name != INTERCEPT]
    if unknown:
        lines.append(
            f"Whether these were made in the same way is not known, for want of a fingerprint: {', '.join(unknown)}."
        )
    return lines


def _in_words(difference: Difference) -> str:
    return f"{difference.indicator}: {difference.key} is {difference.expected!r} and {difference.actual!r}"
