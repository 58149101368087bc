"""What became slower between two runs, beyond the noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from imine.bench.results import BenchRun, Figure, Measured
from imine.bench.spread import Spread

TOLERANCE = 0.10
"""Least relative change that counts."""
LEAST_ROUNDS = 3
"""Rounds without which a quantity has no spread to judge by."""


@dataclass(frozen=True, slots=True)
class Change:
    """One quantity in two runs.

    Attributes:
        name: of the benchmark, and of the figure.
        quantity: what was compared, e.g. ``ratio to wc -w``.
        before, after: the quantity in both runs.
        factor: how much worse the median became: above 1 slower, or larger for a figure.
        verdict: ``same`` within the noise.
    """

    name: str
    quantity: str
    before: Spread
    after: Spread
    factor: float
    verdict: Literal["slower", "faster", "same"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        changes: what could be compared.
        not_compared: benchmarks of both runs that could not be, with the reason.
        missing: benchmarks of the earlier run alone.
        new: benchmarks of the later run alone.
        notes: how machines, versions or settings differ.
    """

    changes: tuple[Change, ...]
    not_compared: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def slower(self) -> tuple[Change, ...]:
        """What became slower beyond the noise."""
        return tuple(change for change in self.changes if change.verdict == "slower")


def compare(before: BenchRun, after: BenchRun, tolerance: float = TOLERANCE) -> Comparison:
    """Compare a later run with an earlier one.

    Where a benchmark has the same baseline in both runs, its ratio to that baseline is compared: it was measured in
    one run, so that a slower machine, or a busier one, cancels. Otherwise its wall time is compared, and times
    only between equal machines. A quantity is slower where its interval lies wholly on the worse side of the
    earlier one **and** the medians differ by at least the tolerance; faster in the same way; else the same. What
    was measured on other data, or in fewer than three rounds, is not compared, and said so.

    Args:
        before: the earlier run.
        after: the later run.
        tolerance: least relative change of a median that counts, at least 0.

    Raises:
        ValueError: the tolerance is negative.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance must not be negative, and is {tolerance}")
    same_machine = before.machine == after.machine
    old, new = _by_name(before), _by_name(after)
    changes: list[Change] = []
    left_out: list[tuple[str, str]] = []
    for name in (name for name in new if name in old):
        change = _change(name, old[name], new[name], same_machine, tolerance)
        if isinstance(change, str):
            left_out.append((name, change))
        else:
            changes.append(change)
    # With -k in the later run, what it did not choose is no loss.
    missing = () if after.selected else tuple(name for name in old if name not in new)
    return Comparison(
        tuple(changes),
        tuple(left_out),
        missing,
        tuple(name for name in new if name not in old),
        tuple(_notes(before, after, same_machine)),
    )


def _by_name(run: BenchRun) -> dict[str, Measured | Figure]:
    found: dict[str, Measured | Figure] = {one.name: one for one in run.measured}
    return found | {figure.full_name: figure for figure in run.figures}


def _change(
    name: str, old: Measured | Figure, new: Measured | Figure, same_machine: bool, tolerance: float
) -> Change | str:
    """The comparison of one quantity, or why there is none."""
    if (old.rows, old.bytes) != (new.rows, new.bytes):
        return f"other data: {_amount(old)} before, {_amount(new)} now"
    if min(_rounds(old), _rounds(new)) < LEAST_ROUNDS:
        return f"fewer than {LEAST_ROUNDS} rounds tell nothing of the noise"
    if isinstance(old, Figure) or isinstance(new, Figure):
        if not (isinstance(old, Figure) and isinstance(new, Figure)) or old.unit != new.unit:
            return "another kind of figure"
        if new.unit == "s" and not same_machine:
            return "a time without a baseline, on another machine"
        return _judge(name, f"{new.unit}, the less the better", old.value, new.value, False, tolerance)
    if old.baseline is not None and new.baseline is not None and old.baseline.name == new.baseline.name:
        quantity = f"ratio to {new.baseline.name}"
        return _judge(name, quantity, old.baseline.ratio, new.baseline.ratio, True, tolerance)
    if not same_machine:
        return "a time without a common baseline, on another machine"
    return _judge(name, "wall time, s", old.seconds, new.seconds, False, tolerance)


def _rounds(one: Measured | Figure) -> int:
    return one.value.rounds if isinstance(one, Figure) else one.seconds.rounds


def _amount(one: Measured | Figure) -> str:
    rows = "unknown rows" if one.rows is None else f"{one.rows:,} rows"
    return rows if one.bytes is None else f"{rows} of {one.bytes / 1e6:,.1f} MB"


def _judge(
    name: str, quantity: str, before: Spread, after: Spread, more_is_better: bool, tolerance: float
) -> Change:
    # The second above the first is a loss.
    first, second = (after, before) if more_is_better else (before, after)
    factor = _factor(first.median, second.median)
    verdict: Literal["slower", "faster", "same"] = "same"
    if second.low > first.high and factor >= 1 + tolerance:
        verdict = "slower"
    elif second.high < first.low and factor <= 1 / (1 + tolerance):
        verdict = "faster"
    return Change(name, quantity, before, after, factor, verdict)


def _factor(first: float, second: float) -> float:
    if first > 0:
        return second / first
    return 1.0 if second <= 0 else math.inf


def _notes(before: BenchRun, after: BenchRun, same_machine: bool) -> Iterator[str]:
    if not same_machine:
        yield (
            f"Another machine, so that only ratios and figures that are no times are compared: "
            f"{before.machine.describe()} before, {after.machine.describe()} now."
        )
    if before.quick != after.quick:
        yield "One run was quick: its corpora are smaller, and what depends on them is not compared."
    changed = [
        f"{name} {before.versions.get(name, 'absent')} before, {number} now"
        for name, number in after.versions.items()
        if name != "imine" and name in before.versions and before.versions[name] != number
    ]
    if after.load is not None and after.load > after.machine.usable_cores:
        yield f"The machine was busy before the later run: load {after.load:.1f}."
    if changed:
        yield f"Other versions: {'; '.join(changed)}."
