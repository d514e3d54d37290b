"""Masks at a network's size: the share of each pixel, and no lesion lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seglab.images.pixels.mask_resize import fit_mask, vanishes


def lesion(height: int, width: int, top: int, left: int, side: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + side, left : left + side] = 255
    return mask


def overlap(start: float, stop: float, other_start: float, other_stop: float) -> float:
    return min(stop, other_stop) - max(start, other_start)


def test_each_pixel_has_its_share() -> None:
    mask = lesion(40, 60, 10, 12, 20)
    shares = mask.reshape(4, 10, 4, 15).mean((1, 3))  # (4, 4), 0-255
    assert np.abs(fit_mask(mask, 4) - shares).max() <= 1
    assert not vanishes(mask, 4)
    assert not fit_mask(mask * 0, 4).any()
    assert not vanishes(mask * 0, 4)


@given(st.integers(0, 299), st.integers(0, 399), st.integers(1, 6), st.sampled_from([16, 32]))
@example(top=28, left=0, side=1, size=32)  # most of row 28 lies in row 3 of the small mask, not in row 2
def test_a_small_lesion_keeps_a_pixel_where_it_is(top: int, left: int, side: int, size: int) -> None:
    mask = lesion(300, 400, top, left, side)
    fitted = fit_mask(mask, size)
    assert vanishes(mask, size)
    assert np.count_nonzero(fitted >= 128) == 1
    row, column = np.unravel_index(int(fitted.argmax()), fitted.shape)
    rows, columns = np.nonzero(mask)
    assert overlap(row * 300 / size, (row + 1) * 300 / size, rows.min(), rows.max() + 1) > 0
    assert overlap(column * 400 / size, (column + 1) * 400 / size, columns.min(), columns.max() + 1) > 0


@pytest.mark.parametrize("size", [16, 64])
def test_one_pixel_of_a_camera_original_is_not_lost(size: int) -> None:
    mask = lesion(3000, 4000, 1200, 2000, 1)
    fitted = fit_mask(mask, size)
    assert np.argwhere(fitted >= 128).tolist() == [[1200 * size // 3000, 2000 * size // 4000]]
