"""Charts as SVG texts, for a page without scripts; colours come from the page's style sheet."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from seglab.errors import printable

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 34
TICKS = 4
LEGEND = 18
"""Height of the row below a chart that names its lines."""
LONGEST_NAME, LONGEST_LABEL = 20, 52
"""Columns of a line's name and of a bar's label, as in a terminal."""
ROW, BAR_HEIGHT = 34, 12


@dataclass(frozen=True)
class Axis:
    """The range of an axis and its title. ``ticks``: values with their texts."""

    low: float
    high: float
    title: str
    ticks: Sequence[tuple[float, str]]

    @classmethod
    def of(cls, low: float, high: float, title: str, *, least_step: float = 0.0) -> Axis:
        """Return an axis with about :data:`TICKS` round ticks, at least ``least_step`` apart."""
        if not high > low:
            low, high = low - 0.5, high + 0.5
        step = max(least_step, _round_step((high - low) / TICKS))
        first = math.ceil(low / step - 1e-9)
        values = [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
        return cls(low, high, title, [(value, f"{value:,.6g}") for value in values])

    @classmethod
    def around(cls, low: float, high: float, title: str) -> Axis:
        """Return an axis that ends at round ticks outside the range."""
        step = _round_step((high - low) / TICKS) if high > low else 1.0
        return cls.of(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, title)

    def at(self, value: float, start: float, end: float) -> float:
        """Return where a value lies between two coordinates."""
        return start + (end - start) * (value - self.low) / (self.high - self.low)


def histogram(
    values: Sequence[float], title: str, *, low: float | None = None, high: float | None = None, bins: int = 24
) -> str:
    """Return a histogram of finite values; ``low``, ``high``: of the axis, by default of the values."""
    data = np.asarray(values, np.float64)
    if not len(data):
        return _nothing(title)
    span = (float(data.min()) if low is None else low, float(data.max()) if high is None else high)
    if not span[1] > span[0]:
        span = (span[0] - 0.5, span[0] + 0.5)
    counts, edges = np.histogram(data, bins, span)
    return counted_histogram(counts.tolist(), edges.tolist(), title)


def counted_histogram(counts: Sequence[int], edges: Sequence[float], title: str, *, y_title: str = "images") -> str:
    """Return a histogram of counted values. ``edges``: one more than ``counts``."""
    if not any(counts):
        return _nothing(title)
    x, y = Axis.of(edges[0], edges[-1], title), Axis.of(0, max(counts), y_title, least_step=1)
    bars = "".join(
        f'<rect class="bar" x="{_x(x, left):.1f}" y="{_y(y, count):.1f}" '
        f'width="{max(0.5, _x(x, right) - _x(x, left) - 1):.1f}" height="{HEIGHT - BOTTOM - _y(y, count):.1f}">'
        f"<title>{left:.4g} to {right:.4g}: {count:,}</title></rect>"
        for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True)
        if count
    )
    return _drawing(f"Histogram of {title}", _axes(x, y) + bars)


def lines(series: Mapping[str, Sequence[tuple[float, float]]], x_title: str, y_title: str) -> str:
    """Return up to two lines of (x, y) points; points that are not finite are left out."""
    found = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in series.items()
    }
    points = [point for line in found.values() for point in line]
    if not points:
        return _nothing(y_title)
    x = Axis.of(min(at for at, _ in points), max(at for at, _ in points), x_title)
    y = Axis.of(min(0.0, *(to for _, to in points)), max(to for _, to in points), y_title)
    height = HEIGHT + (LEGEND if len(found) > 1 else 0)
    return _drawing(f"{y_title} by {x_title}", _axes(x, y) + "".join(_line_marks(found, x, y)), height)


def scatter(
    points: Sequence[tuple[float, float]],
    x_title: str,
    y_title: str,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] = (0.0, 1.0),
) -> str:
    """Return dots at (x, y) points. ``x_range``: by default, round numbers around the points."""
    if not points:
        return _nothing(y_title)
    low, high = min(at for at, _ in points), max(at for at, _ in points)
    x, y = Axis.of(*x_range, x_title) if x_range else Axis.around(low, high, x_title), Axis.of(*y_range, y_title)
    dots = "".join(f'<circle class="dot" cx="{_x(x, at):.1f}" cy="{_y(y, to):.1f}" r="2.5"/>' for at, to in points)
    return _drawing(f"{y_title} by {x_title}", _axes(x, y) + dots)


def bars(counts: Mapping[str, int], title: str) -> str:
    """Return horizontal bars with their counts, each below its name."""
    if not counts:
        return _nothing(title)
    most, room = max(1, *counts.values()), WIDTH - 70
    rows = []
    for number, (name, count) in enumerate(counts.items()):
        y, long = number * ROW + 14, room * count / most
        rows.append(
            f'<text x="0" y="{y}">{_short(name, LONGEST_LABEL)}</text>'
            f'<rect class="bar" x="0" y="{y + 4}" width="{max(long, 0.5):.1f}" height="{BAR_HEIGHT}"/>'
            f'<text x="{long + 5:.1f}" y="{y + 14}">{count:,}</text>'
        )
    return _drawing(title, "".join(rows), ROW * len(counts) + 4)


def _line_marks(found: Mapping[str, Sequence[tuple[float, float]]], x: Axis, y: Axis) -> Iterator[str]:
    for number, (name, points) in enumerate(found.items()):
        kind = "line" if number == 0 else "line second"
        path = " ".join(f"{_x(x, at):.1f},{_y(y, to):.1f}" for at, to in points)
        yield f'<polyline class="{kind}" points="{path}"><title>{_safe(name)}</title></polyline>'
        if len(points) == 1:
            at, to = points[0]
            dot = "dot" if number == 0 else "dot second"
            yield f'<circle class="{dot}" cx="{_x(x, at):.1f}" cy="{_y(y, to):.1f}" r="3"/>'
        if len(found) > 1:
            place, row = LEFT + (WIDTH - LEFT) // 2 * number, HEIGHT + LEGEND - 8
            yield f'<line class="{kind}" x1="{place}" y1="{row}" x2="{place + 22}" y2="{row}"/>'
            yield f'<text x="{place + 27}" y="{row + 4}">{_short(name, LONGEST_NAME)}</text>'


def _axes(x: Axis, y: Axis) -> str:
    parts = []
    for value, text in y.ticks:
        at = _y(y, value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    for value, text in x.ticks:
        parts.append(f'<text x="{_x(x, value):.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{text}</text>')
    parts.append(f'<path class="axis" d="M{LEFT},{TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{_safe(x.title)}</text>')
    parts.append(f'<text x="{LEFT + 4}" y="{TOP - 2}">{_safe(y.title)}</text>')
    return "".join(parts)


def _drawing(name: str, content: str, height: int = HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{_safe(name)}" '
        f'xmlns="http://www.w3.org/2000/svg">{content}</svg>'
    )


def _nothing(title: str) -> str:
    return _drawing(f"{title}: no values", f'<text x="{WIDTH / 2}" y="40" text-anchor="middle">no values</text>', 80)


def _x(axis: Axis, value: float) -> float:
    return axis.at(value, LEFT, WIDTH - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return axis.at(value, HEIGHT - BOTTOM, TOP)


def _short(text: str, columns: int) -> str:
    """Return a text cut to a number of columns: letters of East Asian scripts take two."""
    whole, taken = printable(text), 0
    for number, letter in enumerate(whole):
        taken += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if taken > columns:
            return escape(f"{whole[: max(1, number - 1)]}…")
    return escape(whole)


def _safe(text: str) -> str:
    return escape(printable(text))


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
