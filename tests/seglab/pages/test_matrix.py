"""The confusion matrix of a page against scikit-learn's."""

from __future__ import annotations

import re

import numpy as np
from sklearn.metrics import confusion_matrix as reference

from seglab.pages.matrix import DARKEST, confusion_matrix

SHARE, OPACITY = re.compile(r">([\d.]+) %</text>"), re.compile(r'fill-opacity="([\d.]+)"')


def test_shares_are_those_of_each_row() -> None:
    truth, mask = np.random.default_rng(0).integers(0, 3, (2, 500))
    names = ["skin", "lesion", "<hair>"]
    drawn = confusion_matrix(names, reference(truth, mask).tolist(), "pixels")
    shares = reference(truth, mask, normalize="true").ravel()
    assert np.allclose([float(text) for text in SHARE.findall(drawn)], 100 * shares, atol=0.01)
    assert np.allclose([float(text) for text in OPACITY.findall(drawn)], DARKEST * shares, atol=0.001)
    assert "<hair>" not in drawn
    assert drawn.count("&lt;hair&gt;") == 2


def test_a_class_that_does_not_occur_has_no_shares() -> None:
    drawn = confusion_matrix(["lesion", "skin"], [[0, 0], [3, 1]], "pixels")
    assert SHARE.findall(drawn) == ["75.00", "25.00"]
    assert drawn.count(">none</text>") == 2
