"""Outlines of regions fill exactly the mask, as Pillow (and so labelme), OpenCV and pycocotools fill polygons."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from batch.formats.outlines import regions
from tests.support.exports import drawn

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # COCO's
MASKS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.sampled_from([0, 255]))


def points_of(mask: NDArray[np.uint8]) -> list[list[list[float]]]:
    return [np.reshape(outline, (-1, 2)).tolist() for pieces in regions(mask) for outline in pieces]


@given(mask=MASKS)
def test_regions_fill_to_the_mask_with_its_holes(mask: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(drawn(points_of(mask), mask.shape), mask > 0)


@given(mask=MASKS)
def test_pieces_do_not_overlap_and_every_polygon_has_three_points(mask: NDArray[np.uint8]) -> None:
    polygons = points_of(mask)
    assert all(len(points) >= 3 for points in polygons)
    assert sum(int(drawn([points], mask.shape).sum()) for points in polygons) == np.count_nonzero(mask)


@given(mask=MASKS)
def test_pycocotools_fills_the_same_pixels(mask: NDArray[np.uint8]) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    if mask.any():
        flat = [outline for pieces in regions(mask) for outline in pieces]
        np.testing.assert_array_equal(coco.decode(coco.merge(coco.frPyObjects(flat, *mask.shape))), mask > 0)


def test_a_region_with_two_holes_beside_each_other_is_cut_once() -> None:
    mask = np.full((20, 30), 255, np.uint8)
    mask[5:12, 4:9] = mask[8:15, 15:22] = 0
    ((upper, lower),) = regions(mask)
    assert min(upper[1::2]) < 1
    assert max(upper[1::2]) < min(lower[1::2])


def test_regions_of_a_large_mask_are_as_many_as_opencv_counts() -> None:
    noise = cv2.GaussianBlur(np.random.default_rng(0).random((300, 400)), (0, 0), 3)
    mask = np.where(noise > 0.5, np.uint8(255), np.uint8(0))
    assert len(list(regions(mask))) == cv2.connectedComponents(mask)[0] - 1
    np.testing.assert_array_equal(drawn(points_of(mask), mask.shape), mask > 0)
