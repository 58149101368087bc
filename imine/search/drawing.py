"""The curve of loss against size as an SVG: no library, no script, nothing from a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from imine.rendering import percent

if TYPE_CHECKING:
    from imine.search.result import Arms, Estimate, SizeSearch

_WIDTH, _HEIGHT = 560, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 64, 48
_COLOURS = {"mined": "#0b6e99", "random": "#c2571a"}


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    sizes: Sequence[int]
    arms: Sequence[Arms]
    baseline: float | None
    chosen: int
    offset: int

    def x(self, size: float) -> float:
        low, high = math.log2(self.sizes[0]), math.log2(self.sizes[-1])
        share = (math.log2(size) - low) / (high - low) if high > low else 0.5
        return self.offset + _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def span(self) -> tuple[float, float]:
        ends = [
            end
            for arms in self.arms
            for e in (arms.mined, arms.random)
            for end in (e.low, e.high, *e.by_seed)
        ]
        low, high = min(ends), max(ends)
        room = 0.05 * (high - low) or 0.01
        return low - room, high + room

    def y(self, loss: float) -> float:
        low, high = self.span()
        return _TOP + (high - loss) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)


def draw(search: SizeSearch) -> str:
    """A search's curve: a panel for the sets that were searched on, and one for the others.

    Shaded is the interval from seeds and evaluation examples, between the dashed lines that from the seeds alone; dots
    are single finetunes. A larger circle marks the chosen size.

    Args:
        search: the outcome.
    """
    sizes = [point.size for point in search.points]
    groups: list[tuple[str, Sequence[str], Sequence[Arms], float | None]] = [
        ("searched on", search.search_on, [p.searched for p in search.points], search.baseline_searched)
    ]
    reported = [p.reported for p in search.points if p.reported is not None]
    if reported:
        groups.append(("not searched on", search.report_on, reported, search.baseline_reported))
    panels = [
        _Panel(f"{' + '.join(sets)} ({what})", sizes, arms, baseline, search.chosen, k * _WIDTH)
        for k, (what, sets, arms, baseline) in enumerate(groups)
    ]
    width = _WIDTH * len(panels)
    sources = "seeds and evaluation examples" if search.seeds > 1 else "evaluation examples alone (one seed)"
    dashed = "; dashed: from seeds alone" if search.seeds > 1 else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="11" fill="#222">',
        f"<title>{escape(search.name)}: loss against subset size</title>",
        f"<desc>{escape(search.summary())}</desc>",
        f'<rect width="{width}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="16" font-size="13">{escape(search.name)}: best N rows by rule {escape(search.rule)}, '
        "and N random rows</text>",
        f'<text x="{_LEFT}" y="30" font-size="10">shaded: {percent(search.level)} interval from '
        f"{sources}{dashed}</text>",
    ]
    for panel in panels:
        parts += _panel(panel)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: _Panel) -> list[str]:
    parts = [f'<text x="{panel.offset + _LEFT}" y="45">{escape(panel.title)}</text>', *_axes(panel)]
    for name, colour in reversed(_COLOURS.items()):
        estimates: list[Estimate] = [getattr(arms, name) for arms in panel.arms]
        parts += _arm(panel, name, estimates, colour)
    return parts + _legend(panel)


def _arm(panel: _Panel, name: str, estimates: Sequence[Estimate], colour: str) -> list[str]:
    def line(value: Callable[[Estimate], float], style: str) -> str:
        points = _points(panel, [value(e) for e in estimates])
        return f'<polyline points="{points}" fill="none" stroke="{colour}" {style}/>'

    ups = _points(panel, [e.high for e in estimates])
    downs = " ".join(reversed(_points(panel, [e.low for e in estimates]).split()))
    parts = [f'<polygon points="{ups} {downs}" fill="{colour}" opacity="0.15"/>']
    if all(e.seeds_low is not None for e in estimates):
        dashed = 'stroke-width="0.8" stroke-dasharray="3 3"'
        parts += [line(lambda e: e.seeds_low or 0.0, dashed), line(lambda e: e.seeds_high or 0.0, dashed)]
    parts.append(line(lambda e: e.value, 'stroke-width="1.8"'))
    for size, estimate in zip(panel.sizes, estimates, strict=True):
        x = panel.x(size)
        parts += [
            f'<circle cx="{x:.1f}" cy="{panel.y(v):.1f}" r="1.8" fill="{colour}"/>' for v in estimate.by_seed
        ]
        chosen = name == "mined" and size == panel.chosen
        told = f"{name}, {size:,} rows: {estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{panel.y(estimate.value):.1f}" r="{7 if chosen else 4}" '
            f'fill="{"none" if chosen else colour}" fill-opacity="0.5" stroke="{colour}" '
            f'stroke-width="{2 if chosen else 1}"><title>{told}</title></circle>'
        )
    return parts


def _points(panel: _Panel, losses: Sequence[float]) -> str:
    return " ".join(f"{panel.x(s):.1f},{panel.y(v):.1f}" for s, v in zip(panel.sizes, losses, strict=True))


def _axes(panel: _Panel) -> list[str]:
    left, right = panel.offset + _LEFT, panel.offset + _WIDTH - _RIGHT
    foot = _HEIGHT - _BOTTOM
    parts = [f'<path d="M{left} {_TOP}V{foot}H{right}" fill="none" stroke="#888"/>']
    for loss in _ticks(*panel.span()):
        y = panel.y(loss)
        parts.append(f'<path d="M{left} {y:.1f}H{right}" stroke="#eee"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{loss:.4g}</text>')
    last = -math.inf
    for size in panel.sizes:
        x = panel.x(size)
        parts.append(f'<path d="M{x:.1f} {foot}v4" stroke="#888"/>')
        if x - last > 38:
            parts.append(f'<text x="{x:.1f}" y="{foot + 17}" text-anchor="middle">{size:,}</text>')
            last = x
    middle = (_TOP + foot) / 2
    turned = f'transform="rotate(-90 {panel.offset + 14} {middle})"'
    return [
        *parts,
        f'<text x="{(left + right) / 2}" y="{foot + 36}" text-anchor="middle">rows (log scale)</text>',
        f'<text x="{panel.offset + 14}" y="{middle}" text-anchor="middle" {turned}>loss, nats a token</text>',
    ]


def _ticks(low: float, high: float) -> list[float]:
    """About six round values between two ends."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(step * k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= 7)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _legend(panel: _Panel) -> list[str]:
    parts, x = [], panel.offset + _LEFT
    for name, colour in _COLOURS.items():
        parts.append(
            f'<path d="M{x} 53h18" stroke="{colour}" stroke-width="2"/><text x="{x + 23}" y="57">{name}</text>'
        )
        x += 90
    if panel.baseline is not None:
        parts.append(f'<text x="{x}" y="57">base model {panel.baseline:.4f}</text>')
    return parts
