"""Boundary measures against SciPy, brute force, and by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.spatial.distance import cdist

from seglab.metrics.boundary import boundary_iou, compare_boundaries, hausdorff_95

MASKS = arrays(np.uint8, (11, 13), elements=st.sampled_from([0, 255]))
BLOBS = st.integers(0, 10_000).map(lambda seed: blob(np.random.default_rng(seed), 60, 80))


def blob(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw an ellipse, some of which leave the frame."""
    mask = np.zeros((height, width), np.uint8)
    centre = int(rng.uniform(0, width)), int(rng.uniform(0, height))
    axes = int(rng.uniform(2, width / 2)), int(rng.uniform(2, height / 2))
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    return mask


def points_of_outline(mask: np.ndarray) -> np.ndarray:
    """Return the outline's pixels ``(N, 2)``, by SciPy's erosion."""
    inside = mask > 0
    return np.argwhere(inside & ~ndimage.binary_erosion(inside))


def brute_force(mask: np.ndarray, truth: np.ndarray) -> float:
    distances = cdist(points_of_outline(mask), points_of_outline(truth))
    return max(float(np.percentile(distances.min(axis=axis), 95)) for axis in (0, 1))


@given(mask=MASKS, truth=MASKS)
def test_hausdorff_agrees_with_brute_force_over_all_pairs_of_outline_pixels(
    mask: np.ndarray, truth: np.ndarray
) -> None:
    if mask.any() and truth.any():
        assert hausdorff_95(mask, truth) == pytest.approx(brute_force(mask, truth), rel=1e-5)


@given(mask=BLOBS, truth=BLOBS)
def test_hausdorff_agrees_with_scipy_on_blobs(mask: np.ndarray, truth: np.ndarray) -> None:
    edges = [(part > 0) & ~ndimage.binary_erosion(part > 0) for part in (mask, truth)]
    far = [ndimage.distance_transform_edt(~edge) for edge in edges]
    directed = [float(np.percentile(far[1][edges[0]], 95)), float(np.percentile(far[0][edges[1]], 95))]
    assert hausdorff_95(mask, truth) == pytest.approx(max(directed), rel=1e-5)


@given(mask=MASKS, truth=MASKS)
def test_measures_are_symmetric_and_within_their_range(mask: np.ndarray, truth: np.ndarray) -> None:
    there, back = compare_boundaries(mask, truth), compare_boundaries(truth, mask)
    assert there == back
    assert 0 <= there.hd95_relative <= 1
    assert there.hd95 == pytest.approx(there.hd95_relative * math.hypot(*mask.shape))
    assert 0 <= there.boundary_iou <= 1


@given(mask=MASKS)
def test_equal_masks_are_at_no_distance(mask: np.ndarray) -> None:
    same = compare_boundaries(mask, mask)
    assert (same.hd95, same.boundary_iou) == (0, 1)


@given(mask=BLOBS, truth=BLOBS, width=st.integers(1, 12))
def test_boundary_iou_agrees_with_the_papers_definition(mask: np.ndarray, truth: np.ndarray, width: int) -> None:
    """The authors erode ``width`` times by a 3 x 3 square, with skin around the frame."""
    square = np.ones((3, 3), bool)
    inner = [
        (part > 0) & ~ndimage.binary_erosion(part > 0, square, iterations=width, border_value=0)
        for part in (mask, truth)
    ]
    expected = (inner[0] & inner[1]).sum() / (inner[0] | inner[1]).sum()
    assert boundary_iou(mask, truth, width) == pytest.approx(expected)


def test_single_pixels_worked_by_hand() -> None:
    mask, truth = np.zeros((3, 3), np.uint8), np.zeros((3, 3), np.uint8)
    mask[0, 0] = truth[2, 1] = 255
    assert hausdorff_95(mask, truth) == pytest.approx(math.sqrt(5))
    assert boundary_iou(mask, truth, 1) == 0


def test_the_larger_direction_counts() -> None:
    """From the left pixel 0 away; from the three on the right 0, 1 and 2, whose 95th percentile is 1.9."""
    mask = np.array([[0, 255, 0, 0, 0]], np.uint8)
    truth = np.array([[0, 255, 255, 255, 0]], np.uint8)
    assert hausdorff_95(mask, truth) == pytest.approx(1.9)


def test_a_band_leaves_out_what_is_deep_inside() -> None:
    """A 5 x 5 square and its ring: one pixel deep both have the ring of 16; all of the square is 25."""
    square = np.zeros((9, 9), np.uint8)
    square[2:7, 2:7] = 1
    ring = square.copy()
    ring[3:6, 3:6] = 0
    assert boundary_iou(square, ring, 1) == 1
    assert boundary_iou(square, ring, 3) == pytest.approx(16 / 25)


def test_empty_masks_are_defined() -> None:
    empty, full = np.zeros((30, 40), np.uint8), np.full((30, 40), 255, np.uint8)
    assert compare_boundaries(empty, empty) == compare_boundaries(full, full)
    missed = compare_boundaries(empty, full)
    assert (missed.hd95, missed.hd95_relative, missed.boundary_iou) == (50, 1, 0)


def test_the_band_is_two_hundredths_of_the_diagonal() -> None:
    """300 x 400 has a diagonal of 500: a band of 10, so that a shift by 20 leaves no more than the crossings."""
    mask, truth = np.zeros((300, 400), np.uint8), np.zeros((300, 400), np.uint8)
    mask[100:200, 100:200] = truth[100:200, 120:220] = 255
    assert compare_boundaries(mask, truth).boundary_iou == boundary_iou(mask, truth, 10)
    assert boundary_iou(mask, truth, 10) != boundary_iou(mask, truth, 9)
    assert compare_boundaries(mask, truth).hd95 == pytest.approx(20)
