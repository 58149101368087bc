"""A plan as plain text."""

from __future__ import annotations

from collections.abc import Iterator

from imine.progress import format_seconds
from imine.rules.text import aligned
from imine.study.planning.parts import Amount, StudyPlan


def plan_text(plan: StudyPlan) -> str:
    """Tables of runs, tokens, time, memory and disk.

    Args:
        plan: the plan.
    """
    return "\n".join(_lines(plan))


def _lines(plan: StudyPlan) -> Iterator[str]:
    done = f", {plan.done:,} of them done" if plan.done else ""
    yield f"{plan.name}: {plan.runs:,} runs{done}, {plan.trained.rows:,} examples in {plan.steps:,} steps"
    yield ""
    yield from _pools(plan)
    yield ""
    yield from _work(plan)
    yield ""
    yield from _time(plan)
    yield ""
    yield from _memory(plan)
    yield ""
    yield from _sizes("disk", plan.disk)
    yield f"free where the results go: {show_bytes(plan.disk_free)}"
    for note in plan.notes:
        yield f"Note: {note}"


def _pools(plan: StudyPlan) -> list[str]:
    rows = [
        (
            pool.name,
            f"{pool.candidates:,}",
            f"{pool.distinct:,}",
            f"{pool.trained.rows:,}",
            f"{pool.trained.tokens:,}",
            f"{pool.trained.response:,}",
            f"{pool.trained.cut / max(pool.trained.rows, 1):.0%}",
        )
        for pool in plan.pools
    ]
    columns = ("pool", "candidates", "rows used", "examples trained", "tokens", "of responses", "cut short")
    return aligned(columns, rows, left=("pool",))


def _work(plan: StudyPlan) -> list[str]:
    times = f"{plan.runs + 1:,} times"
    parts = [("trained", "all runs and epochs", plan.trained)]
    parts += [(f"evaluation {part.name}", "once", part.once) for part in plan.evaluation]
    parts += [("evaluated", times, plan.evaluated), ("scored", "each row once", plan.scored)]
    rows = [
        (
            name,
            how,
            f"{part.rows:,}",
            f"{part.tokens:,}",
            f"{part.response:,}",
            f"{part.padded:,}" if part.padded else "–",
        )
        for name, how, part in parts
    ]
    return aligned(("", "", "rows", "tokens", "of responses", "with padding"), rows, left=("",))


def _time(plan: StudyPlan) -> Iterator[str]:
    rows = [
        (stage.name, stage.amount, "not known" if stage.seconds is None else format_seconds(stage.seconds))
        for stage in plan.stages
    ]
    yield from aligned(("left to do", "how much", "time"), rows, left=("left to do", "how much"))
    if plan.seconds is not None:
        yield f"together {format_seconds(plan.seconds)}, as far as it is known"
    if plan.speed is not None:
        speed = plan.speed
        yield (
            f"{speed.train:,.0f} padded tokens a second of training, {speed.evaluate:,.0f} of evaluation, "
            f"{format_seconds(speed.setup)} to set a run up ({speed.source})"
        )


def _memory(plan: StudyPlan) -> Iterator[str]:
    yield f"{plan.parameters:,} parameters"
    yield from _sizes("memory", plan.memory)
    if plan.speed is not None and plan.speed.peak_mb is not None:
        peak = show_bytes(round(plan.speed.peak_mb * 1024 * 1024))
        yield f"largest seen: {peak} ({plan.speed.where})"


def _sizes(title: str, parts: tuple[Amount, ...]) -> list[str]:
    rows = [(part.name, show_bytes(part.bytes), part.about) for part in parts]
    rows.append(("together", show_bytes(sum(part.bytes for part in parts)), ""))
    return aligned((title, "size", "how it was reckoned"), rows, left=(title, "how it was reckoned"))


def show_bytes(count: int) -> str:
    """A size for people, in powers of 1024.

    Examples:
        >>> show_bytes(512), show_bytes(1536), show_bytes(3 * 1024**3)
        ('512 B', '1.5 KiB', '3.0 GiB')
    """
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
