"""Runs and comparisons as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imine.bench.comparing import Comparison
from imine.bench.results import BenchRun, Figure, Measured
from imine.bench.spread import Spread, Target

_NONE = "–"


def run_text(run: BenchRun) -> str:
    """A run: its benchmarks, its figures, what was left out, and where it ran.

    Args:
        run: any run, stored or just made.
    """
    blocks = []
    if run.measured:
        head = "benchmark", "time", "rows/s", "MB/s", "ratio", "interval", "CPU ratio", "to", "target", ""
        blocks.append(_aligned(head, [_measured_row(one) for one in run.measured], left=(0, 7, 9)))
    if run.figures:
        figures_head = "figure", "median", "interval", "unit", "target", ""
        blocks.append(_aligned(figures_head, [_figure_row(one) for one in run.figures], left=(0, 3, 5)))
    blocks += ["\n".join(lines) for lines in (list(_outcomes(run)), list(_context(run))) if lines]
    return "\n\n".join(blocks)


def _measured_row(one: Measured) -> tuple[str, ...]:
    seconds, base = one.seconds.median, one.baseline
    rates = (
        _NONE if one.rows is None else _number(one.rows / seconds),
        _NONE if one.bytes is None else _number(one.bytes / seconds / 1e6),
    )
    if base is None:
        return one.name, duration(seconds), *rates, _NONE, _NONE, _NONE, _NONE, *_judged(None, None)
    cpu = _NONE if base.cpu_ratio is None else _number(base.cpu_ratio.median)
    ratio = ("" if base.in_turn else "~") + _number(base.ratio.median)
    against = base.name, *_judged(one.target, base.ratio)
    return one.name, duration(seconds), *rates, ratio, _interval(base.ratio), cpu, *against


def _figure_row(figure: Figure) -> tuple[str, ...]:
    value = figure.value
    return (
        figure.full_name,
        _number(value.median),
        _interval(value),
        figure.unit,
        *_judged(figure.target, value),
    )


def _judged(target: Target | None, found: Spread | None) -> tuple[str, str]:
    if target is None or found is None:
        return "", ""
    return str(target), target.verdict(found)


def _outcomes(run: BenchRun) -> Iterator[str]:
    for outcome in run.outcomes:
        yield f"{outcome.outcome}: {outcome.name}: {outcome.reason}"


def _context(run: BenchRun) -> Iterator[str]:
    yield (
        "ratio: seconds of what stands under 'to' over those of the benchmark, above 1 the benchmark is faster; "
        "median of rounds run in turn (~: not in turn). CPU ratio: the same of CPU seconds of all threads."
    )
    yield (
        "interval: for the median, covering at least 95 %, or the whole range under six rounds. A target is met or "
        "missed where the whole interval is, else unsure."
    )
    yield from run.notes
    yield f"machine: {run.machine.describe()}"
    if run.load is not None and run.load > 0.5:
        yield (
            f"load before the run: {run.load:.1f} processes wanted a core; "
            "where others work, CPU ratios of one thread tell more than ratios"
        )
    yield "versions: " + ", ".join(f"{name} {number}" for name, number in run.versions.items())
    source = "" if run.commit is None else f", commit {run.commit}"
    yield f"date: {run.date}{source}{', quick' if run.quick else ''}"


def comparison_text(found: Comparison, tolerance: float) -> str:
    """A comparison: each quantity before and now, with its verdict, the losses first.

    Args:
        found: the comparison.
        tolerance: the one that it was made with.
    """
    blocks = []
    if found.changes:
        order = {"slower": 0, "faster": 1, "same": 2}
        rows = [
            (
                change.name, change.quantity, _number(change.before.median), _interval(change.before),
                _number(change.after.median), _interval(change.after), f"{change.factor:.2f}", change.verdict,
            )
            for change in sorted(found.changes, key=lambda change: order[change.verdict])
        ]  # fmt: skip
        head = "benchmark", "quantity", "before", "interval", "now", "interval", "loss", ""
        blocks.append(_aligned(head, rows, left=(0, 1, 7)))
    lines = [f"not compared: {name}: {why}" for name, why in found.not_compared]
    lines += [f"missing now: {name}" for name in found.missing]
    lines += [f"new: {name}" for name in found.new]
    lines += found.notes
    lines.append(
        f"slower (or larger): the intervals do not overlap and the medians differ by {100 * tolerance:g} % or more."
    )
    count = len(found.slower)
    lines.append(
        f"{count} of {len(found.changes)} became slower beyond the noise."
        if count
        else f"Nothing of {len(found.changes)} became slower beyond the noise."
    )
    return "\n\n".join([*blocks, "\n".join(lines)])


def duration(seconds: float) -> str:
    """Seconds with three digits and a unit.

    Examples:
        >>> duration(1.234), duration(0.0123), duration(1.5e-5)
        ('1.23 s', '12.3 ms', '15.0 us')
    """
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= factor:
            return f"{_number(seconds / factor)} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def _number(value: float) -> str:
    """Three digits, or all of those before the point."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 4
    return f"{value:,.{digits}f}"


def _interval(found: Spread) -> str:
    return f"{_number(found.low)} to {_number(found.high)}"


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths).rstrip(), *lines[1:]])
