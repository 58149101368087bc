"""Small plots as SVG text.

A plot of some hundred points is a few kilobytes so, needs no script and prints well; a plotting library in the page
would add three to five megabytes to every report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Okabe and Ito's colours, which most colour-blind people can tell apart; black comes last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C00", "#000000")

_WIDTH, _HEIGHT = 440, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 12, 54


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a plot.

    Attributes:
        x, y: where it is.
        label: what is shown when the pointer rests on it.
        colour: of the dot.
    """

    x: float
    y: float
    label: str
    colour: str = COLOURS[0]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line with a band.

    Attributes:
        x, y: points of the line.
        low, high: edges of the band; none where they are empty.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        low, high = min(values), max(values)
        room = 0.05 * (high - low) or abs(low) * 0.05 or 1.0
        return cls(low - room, high + room, start, end)

    def at(self, value: float) -> float:
        """Where a value lies on the page."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between two ends, about so many.

    Examples:
        >>> nice_ticks(1.63, 1.88)
        [1.65, 1.7, 1.75, 1.8, 1.85]
    """
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, 2 - math.floor(math.log10(step)))
    return [round(i * step, digits) for i in range(first, last + 1)]


def scatter(
    points: Sequence[Point],
    x_title: str,
    y_title: str,
    *,
    curve: Curve | None = None,
    zero: bool = False,
    categories: Sequence[str] = (),
) -> str:
    """A scatter plot.

    Args:
        points: at least one, finite.
        x_title, y_title: of the axes.
        curve: a line with its band behind the points.
        zero: whether a line is drawn at y = 0.
        categories: names at x = 0, 1, 2 ... in place of numbers.

    Raises:
        ValueError: no point, or one that is not finite.

    Examples:
        >>> scatter([Point(1, 2, "a < b")], "x", "y").count("<circle")
        1
    """
    if not points or not all(math.isfinite(v) for p in points for v in (p.x, p.y)):
        raise ValueError("points must be at least one, and finite")
    edges = [*curve.y, *curve.low, *curve.high] if curve else []
    xs = [-0.5, len(categories) - 0.5] if categories else [p.x for p in points]
    x = _Axis.around([*xs, *(curve.x if curve else ())], _LEFT, _WIDTH - _RIGHT)
    y = _Axis.around([*(p.y for p in points), *edges, *([0.0] if zero else [])], _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(y_title)} against '
        f'{escape(x_title)}" font-family="sans-serif" font-size="11">',
        *_frame(x, y, x_title, y_title, categories),
        *(_curve(curve, x, y) if curve else ()),
    ]
    if zero:
        parts.append(_line(x.start, y.at(0), x.end, y.at(0), "#888", dash="4 3"))
    parts += [
        f'<circle cx="{x.at(p.x):.1f}" cy="{y.at(p.y):.1f}" r="3" fill="{p.colour}" fill-opacity="0.75">'
        f"<title>{escape(p.label)}</title></circle>"
        for p in points
    ]
    return "\n".join([*parts, "</svg>"])


def _frame(x: _Axis, y: _Axis, x_title: str, y_title: str, categories: Sequence[str]) -> list[str]:
    parts = [_line(x.start, y.start, x.end, y.start, "#444"), _line(x.start, y.start, x.start, y.end, "#444")]
    for tick in nice_ticks(y.low, y.high):
        parts.append(_line(x.start, y.at(tick), x.end, y.at(tick), "#e4e4e4"))
        parts.append(_text(x.start - 5, y.at(tick) + 4, f"{tick:g}", "end"))
    ticks = list(enumerate(categories)) if categories else [(t, f"{t:g}") for t in nice_ticks(x.low, x.high)]
    for i, (place, name) in enumerate(ticks):
        # Names are long: every other one stands a line lower.
        lower = 12 if categories and i % 2 else 0
        parts.append(_line(x.at(place), y.start, x.at(place), y.start + 4, "#444"))
        parts.append(_text(x.at(place), y.start + 16 + lower, name, "middle"))
    middle = (y.start + y.end) / 2
    turned = f'transform="rotate(-90 13 {middle:.0f})"'
    return [
        *parts,
        _text((x.start + x.end) / 2, _HEIGHT - 8, x_title, "middle"),
        _text(13, middle, y_title, "middle", turned),
    ]


def _curve(curve: Curve, x: _Axis, y: _Axis) -> list[str]:
    parts = []
    if len(curve.low):
        there = [f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in zip(curve.x, curve.high, strict=True)]
        back = [f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in zip(curve.x, curve.low, strict=True)]
        parts.append(f'<polygon points="{" ".join([*there, *back[::-1]])}" fill="#888" fill-opacity="0.2"/>')
    line = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in zip(curve.x, curve.y, strict=True))
    return [*parts, f'<polyline points="{line}" fill="none" stroke="#333" stroke-width="1.5"/>']


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#222" {more}>{escape(text)}</text>'
