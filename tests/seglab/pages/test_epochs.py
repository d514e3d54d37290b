"""Curves over epochs."""

from __future__ import annotations

import math
import re

import pytest

from seglab.pages.epochs import MOST_POINTS, curves, thinned

POINTS = re.compile(r'<polyline class="([^"]*)" points="([^"]*)">')
TEXTS = re.compile(r"<text[^>]*>([^<]*)</text>")


def lines_in(svg: str) -> list[list[tuple[float, float]]]:
    pairs = [[point.split(",") for point in points.split()] for _, points in POINTS.findall(svg)]
    return [[(float(x), float(y)) for x, y in line] for line in pairs]


def test_points_lie_where_their_values_are() -> None:
    (line,) = lines_in(curves({"Dice": [(1, 0.5), (2, 0.75), (5, 1.0)]}, "score"))
    (x1, y1), (x2, y2), (x5, y5) = line
    assert (x5 - x1) == pytest.approx(4 * (x2 - x1), abs=0.3)
    assert (y1 - y5) == pytest.approx(2 * (y1 - y2), abs=0.3)
    assert y5 < y2 < y1  # upwards


@pytest.mark.parametrize("epochs", [1, 2, 3, 50])
def test_the_axis_names_whole_epochs_only(epochs: int) -> None:
    texts = TEXTS.findall(curves({"lr": [(epoch + 1, 7.25) for epoch in range(epochs)]}, "rate"))
    named = texts[: texts.index("epoch")]
    assert str(epochs) in named or epochs == 50
    assert all(float(text).is_integer() for text in named if "7" not in text and "6" not in text)


def test_two_lines_are_named_and_one_is_not() -> None:
    two = curves({"training": [(1, 1.0)], "<validation>": [(1, 2.0)]}, "loss")
    assert {"training", "&lt;validation&gt;"} <= set(TEXTS.findall(two))
    assert two.count("<circle") == 2  # a line of one point cannot be seen
    assert "training" not in TEXTS.findall(curves({"training": [(1, 1.0)]}, "loss"))


def test_what_is_no_number_is_left_out() -> None:
    (line,) = lines_in(curves({"loss": [(1, 3.0), (2, math.nan), (3, math.inf), (4, 1.0)]}, "loss"))
    assert len(line) == 2
    assert "no values" in curves({"loss": [(1, math.nan)]}, "loss")


@pytest.mark.parametrize("count", [1, 2, MOST_POINTS, MOST_POINTS + 1, 12_345])
def test_a_long_line_keeps_its_ends(count: int) -> None:
    points = [(epoch, float(epoch)) for epoch in range(count)]
    kept = thinned(points)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert len(kept) <= MOST_POINTS + 1
    assert len(set(kept)) == len(kept)
