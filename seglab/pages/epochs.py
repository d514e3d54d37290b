"""Curves over epochs as SVG: whole epochs on the axis, and as much height as the values need."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from seglab.errors import printable
from seglab.pages.charts import Axis

MOST_POINTS = 800
"""Points of a line; a longer one is thinned out."""
WIDTH, HEIGHT, NAMES = 360, 200, 18
LEFT, RIGHT, TOP, BOTTOM = 46, 350, 18, 166
"""Edges of the plot in the drawing; below it are the epochs and their title, then the names if there are two lines."""
HEADROOM = 0.05

Line = Sequence[tuple[int, float]]
"""Epochs with a value each."""


@dataclass(frozen=True)
class _Plot:
    x: Axis
    y: Axis

    def at(self, epoch: float, value: float) -> tuple[float, float]:
        """Return the coordinates of a point."""
        return self.x.at(epoch, LEFT, RIGHT), self.y.at(value, BOTTOM, TOP)


def curves(series: Mapping[str, Line], title: str, *, from_zero: bool = False) -> str:
    """Return up to two lines; values that are not finite are left out.

    ``title``: of the values. ``from_zero``: begin their axis at 0, not at the lowest value.
    """
    lines = {name: thinned([point for point in points if math.isfinite(point[1])]) for name, points in series.items()}
    points = [point for line in lines.values() for point in line]
    if not points:
        return _drawing(f"{title}: no values", f'<text x="{WIDTH / 2}" y="40" text-anchor="middle">no values</text>')
    values = [value for _, value in points] + ([0.0] if from_zero else [])
    low, high = min(values), max(values)
    epochs = [epoch for epoch, _ in points]
    plot = _Plot(_whole(min(epochs), max(epochs)), Axis.of(low, high + HEADROOM * (high - low), title))
    parts = [*_axes(plot)]
    for number, (name, line) in enumerate(lines.items()):
        parts += _line(plot, number, name, line)
        if len(lines) > 1:
            parts += _name(number, name)
    return _drawing(f"{title} by epoch", "".join(parts), HEIGHT + NAMES * (len(lines) > 1))


def thinned(points: Line) -> list[tuple[int, float]]:
    """Return at most about :data:`MOST_POINTS` evenly spaced points, the last one always."""
    step = max(1, math.ceil(len(points) / MOST_POINTS))
    return [*points[::step], *(points[-1:] if (len(points) - 1) % step else [])]


def _whole(first: int, last: int) -> Axis:
    axis = Axis.of(first, last, "epoch")
    return Axis(axis.low, axis.high, axis.title, [tick for tick in axis.ticks if float(tick[0]).is_integer()])


def _axes(plot: _Plot) -> Iterator[str]:
    for value, text in plot.y.ticks:
        y = plot.at(plot.x.low, value)[1]
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{RIGHT}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    for value, text in plot.x.ticks:
        yield f'<text x="{plot.at(value, plot.y.low)[0]:.1f}" y="{BOTTOM + 14}" text-anchor="middle">{text}</text>'
    yield f'<path class="axis" d="M{LEFT},{TOP}V{BOTTOM}H{RIGHT}"/>'
    yield f'<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 30}" text-anchor="middle">{plot.x.title}</text>'
    yield f'<text x="{LEFT}" y="{TOP - 7}">{_safe(plot.y.title)}</text>'


def _line(plot: _Plot, number: int, name: str, line: Line) -> Iterator[str]:
    second = " second" if number else ""
    places = [plot.at(*point) for point in line]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline class="line{second}" points="{path}"><title>{_safe(name)}</title></polyline>'
    if len(places) == 1:
        x, y = places[0]
        yield f'<circle class="dot{second}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def _name(number: int, name: str) -> Iterator[str]:
    x, y, second = LEFT + 150 * number, HEIGHT + NAMES - 8, " second" if number else ""
    yield f'<line class="line{second}" x1="{x}" y1="{y}" x2="{x + 22}" y2="{y}"/>'
    yield f'<text x="{x + 27}" y="{y + 4}">{_safe(name)}</text>'


def _drawing(name: str, content: str, height: int = HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{_safe(name)}" '
        f'xmlns="http://www.w3.org/2000/svg">{content}</svg>'
    )


def _safe(text: str) -> str:
    return escape(printable(text))
