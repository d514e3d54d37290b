"""Metrics against scikit-learn, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
)

from seglab.errors import DataError
from seglab.metrics.overlap import Confusion, Scores, confusion

MASKS = arrays(np.uint8, (5, 7), elements=st.sampled_from([0, 255]))


@given(mask=MASKS, truth=MASKS)
def test_metrics_agree_with_scikit_learn(mask: np.ndarray, truth: np.ndarray) -> None:
    counts = confusion(mask, truth)
    predicted, actual = mask.ravel() > 0, truth.ravel() > 0
    matrix = confusion_matrix(actual, predicted, labels=[False, True])
    assert [counts.tn, counts.fp, counts.fn, counts.tp] == matrix.ravel().tolist()
    empty = 1.0 if not predicted.any() and not actual.any() else 0.0
    assert counts.accuracy == pytest.approx(accuracy_score(actual, predicted))
    assert counts.f1 == pytest.approx(f1_score(actual, predicted, zero_division=empty))
    assert counts.iou == pytest.approx(jaccard_score(actual, predicted, zero_division=empty))
    assert counts.precision == pytest.approx(precision_score(actual, predicted, zero_division=empty))
    assert counts.recall == pytest.approx(recall_score(actual, predicted, zero_division=empty))


def test_a_case_worked_by_hand() -> None:
    mask = np.array([[255, 255, 0], [0, 255, 0], [0, 0, 0]], np.uint8)
    truth = np.array([[255, 0, 0], [0, 255, 255], [0, 0, 0]], np.uint8)
    counts = confusion(mask, truth)
    assert counts == Confusion(tp=2, fp=1, fn=1, tn=5)
    assert counts.dice == pytest.approx(4 / 6)
    assert counts.iou == pytest.approx(2 / 4)
    assert counts.thresholded_jaccard == 0.0


def test_empty_truth_with_empty_mask_is_right_and_with_a_mask_is_wrong() -> None:
    empty, full = np.zeros((3, 3), np.uint8), np.full((3, 3), 255, np.uint8)
    assert confusion(empty, empty).dice == 1.0
    assert confusion(full, empty).dice == 0.0
    assert confusion(full, empty).recall == 0.0
    assert confusion(empty, full).precision == 0.0


def test_summary_averages_images_and_pools_pixels() -> None:
    scores = Scores()
    scores.add("a", Confusion(tp=10, fp=0, fn=0, tn=0))
    scores.add("b", Confusion(tp=1, fp=3, fn=0, tn=0))
    summary = scores.summary()
    assert summary["dice"] == pytest.approx((1 + 2 / 5) / 2)
    assert summary["pooled_dice"] == pytest.approx(22 / 25)
    assert summary["thresholded_jaccard"] == pytest.approx(0.5)
    assert summary["worst_dice"] == pytest.approx(2 / 5)
    assert summary["tp"] == 11
    assert [row["image"] for row in scores.rows()] == ["a", "b"]


def test_shapes_must_agree() -> None:
    with pytest.raises(DataError, match=r"\(2, 3\).*\(3, 2\)"):
        confusion(np.zeros((2, 3)), np.zeros((3, 2)))


def test_no_images_have_no_mean() -> None:
    with pytest.raises(DataError, match="No image"):
        Scores().summary()
