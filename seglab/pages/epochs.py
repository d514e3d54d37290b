"""Curves over epochs as SVG: whole epochs on the axis, and as much height as the values need."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from seglab.pages.charts import Axis, _axes, _drawing, _line_marks, _nothing

MOST_POINTS = 800
"""Points of a line; a longer one is thinned out."""


def curves(series: Mapping[str, Sequence[tuple[int, float]]], y_title: str, *, from_zero: bool = False) -> str:
    """Return up to two lines of (epoch, value) points; values that are not finite are left out.

    ``from_zero``: begin the axis at 0, not at the lowest value.
    """
    found = {name: thinned([point for point in points if math.isfinite(point[1])]) for name, points in series.items()}
    points = [point for line in found.values() for point in line]
    if not points:
        return _nothing(y_title)
    values = [value for _, value in points] + ([0.0] if from_zero else [])
    room = 0.15 * (max(values) - min(values)) if len(found) > 1 else 0.0  # for the names of the lines
    x, y = _epochs(points), Axis.of(min(values), max(values) + room, y_title)
    return _drawing(f"{y_title} by epoch", _axes(x, y) + "".join(_line_marks(found, x, y)))


def thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return at most about :data:`MOST_POINTS` evenly spaced points, the last one always."""
    step = max(1, math.ceil(len(points) / MOST_POINTS))
    return [*points[::step], *(points[-1:] if (len(points) - 1) % step else [])]


def _epochs(points: Sequence[tuple[int, float]]) -> Axis:
    first, last = min(epoch for epoch, _ in points), max(epoch for epoch, _ in points)
    axis = Axis.of(first, last, "epoch")
    whole = [(value, text) for value, text in axis.ticks if float(value).is_integer()]
    return Axis(axis.low, axis.high, axis.title, whole)
