"""Outlines that are drawn: against pycocotools, and against a shape worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.data.outlines import Outlines
from seglab.errors import ImageError

coco = pytest.importorskip("pycocotools.mask")
SIZE = (61, 83)


def shape(seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return a mask of some ellipses, one of which may touch the border: 0 or 1."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    mask = np.zeros(SIZE, bool)
    for _ in range(seed % 4):
        y, x, a, b = rng.uniform((0, 0, 3, 3), (*SIZE, 20, 20))
        mask |= ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < 1
    return mask.astype(np.uint8)


@pytest.mark.parametrize("seed", range(12))
def test_run_lengths_are_read_as_pycocotools_writes_them(seed: int) -> None:
    truth = shape(seed)
    compressed = coco.encode(np.asfortranarray(truth))["counts"].decode()
    edges = np.flatnonzero(np.diff(truth.T.ravel(), prepend=0, append=2)).tolist()
    for runs in (compressed, tuple(np.diff(edges, prepend=0).tolist())):
        assert np.array_equal(Outlines(runs=(runs,), size=SIZE).drawn(SIZE), truth * 255)


@pytest.mark.parametrize("runs", [(5, 5), (-1, SIZE[0] * SIZE[1] + 1), "52"])
def test_runs_of_another_size_are_refused(runs: tuple[int, ...] | str) -> None:
    with pytest.raises(ImageError, match="run lengths"):
        Outlines(runs=(runs,), size=SIZE).drawn(SIZE)


def test_polygons_cover_what_is_inside_and_little_more() -> None:
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    corners = np.stack([41.3 + 25 * np.cos(angles), 30.7 + 17 * np.sin(angles)], axis=1)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    inside = ((columns - 41.3) / 25) ** 2 + ((rows - 30.7) / 17) ** 2
    in_pixels = Outlines((tuple(corners.ravel()),), size=SIZE).drawn(SIZE)
    in_shares = Outlines((tuple((corners / (SIZE[1], SIZE[0])).ravel()),)).drawn(SIZE)
    assert np.array_equal(in_pixels, in_shares)
    assert in_pixels[inside < 0.99].all()
    assert not in_pixels[inside > 1.12].any(), "at most the pixels that the line touches"
    two = Outlines(((1, 1, 5, 1, 5, 5, 1, 5), (20, 20, 24, 20, 24, 24, 20, 24)), size=SIZE).drawn(SIZE)
    assert two[2:5, 2:5].all()
    assert two[21:24, 21:24].all()
    assert not two[8:18].any()
