"""The outcome of a search as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imine.rendering import percent

if TYPE_CHECKING:
    from imine.search.result import Arms, Estimate, SizeSearch


def summarise(search: SizeSearch) -> str:
    """See :meth:`imine.search.SizeSearch.summary`."""
    best = search.best
    lines = [
        f"{search.name}: best N rows by rule {search.rule}, {search.strategy}, {len(search.points)} sizes, "
        f"{search.seeds} seeds, {search.cost:,} tokens trained",
        "",
        *_curve(search),
        "",
        f"chosen: {search.chosen:,} rows",
        f"  on {_names(search.search_on)} (searched): {_arms(best.searched)}",
    ]
    if best.reported is not None:
        lines.append(f"  on {_names(search.report_on)} (not searched): {_arms(best.reported)}")
    if len(search.alike) > 1:
        least = min(search.alike)
        lines.append(
            f"  cannot be told from it: {', '.join(f'{s:,}' for s in search.alike if s != search.chosen)}"
            + (f"; the smallest, {least:,}, may do as well" if least < search.chosen else "")
        )
    lines += [f"curve of {arm} rows: {shape.statement}" for arm, shape in search.shapes.items()]
    lines.append(f"Intervals at {percent(search.level)}, from {_sources(search)}.")
    return "\n".join([*lines, *search.notes])


def _sources(search: SizeSearch) -> str:
    return "seeds and evaluation examples" if search.seeds > 1 else "evaluation examples alone"


def _names(names: Sequence[str]) -> str:
    return " + ".join(names)


def _arms(arms: Arms) -> str:
    return (
        f"loss {_show(arms.mined)}, random {_show(arms.random)}, mined less random {_show(arms.difference)}"
    )


def _show(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"


def _curve(search: SizeSearch) -> list[str]:
    head = f"{'rows':>10}  {'trial':>5}  {'mined':>8}  {'random':>8}  {'difference and its interval':>28}"
    lines = [head]
    for point in search.points:
        arms, trial = point.searched, "" if point.trial is None else str(point.trial)
        gap = arms.difference
        lines.append(
            f"{point.size:>10,}  {trial:>5}  {arms.mined.value:8.4f}  {arms.random.value:8.4f}  "
            f"{gap.value:+8.4f} ({gap.low:+.4f} to {gap.high:+.4f})"
        )
    return [*lines, f"{'base model':>10}  {'':>5}  {search.baseline_searched:8.4f}"]
