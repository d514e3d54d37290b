"""The study of confidence: symmetric views come back as they went, and bad masks are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies.confidence import PLAIN, TURNED, Row, ranked, ranking, turned
from export import Segmenter
from seglab.data.finding.layouts import find_file_pairs


def test_views_are_the_eight_symmetries_and_come_back() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    views = [turned(image, view) for view in range(8)]
    assert len({(view.shape, view.tobytes()) for view in views}) == 8
    for number, view in enumerate(views):
        np.testing.assert_array_equal(turned(view, number, back=True), image)


def test_a_ranking_by_hand() -> None:
    """Twenty images, two of them bad; the lowest tenth are two."""
    dice = np.array([0.3, 0.6, *np.linspace(0.8, 0.97, 18)])
    assert ranking("same", dice, dice) == Row("same", 1.0, 2, 2)
    assert ranking("opposite", 1 - dice, dice) == Row("opposite", -1.0, 0, 2)
    values = dice.copy()
    values[1], values[5] = 0.9, 0.1
    assert ranking("one missed", values, dice).bad_found == 1


def test_a_model_that_is_right_is_ranked(model_file: Path, synth_root: Path) -> None:
    measures = PLAIN | TURNED
    rows = ranked(Segmenter(model_file, "cpu"), find_file_pairs(synth_root), measures, views=8)
    assert [row.measure for row in rows] == list(measures)
    assert {row.bad for row in rows} == {rows[0].bad}
    for row in rows:
        assert row.bad_found <= min(row.bad, 1)
        assert row.spearman == pytest.approx(row.spearman)  # a number
