"""The outlines of masks as polygons, in pixels whose edges are whole numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]


def outlines(mask: Mask) -> list[list[float]]:
    """Return the outlines of a mask's regions, each ``[x0, y0, x1, y1, ...]``; holes are lost.

    ``mask``: uint8 ``(H, W)``, 0 or 255, not empty. OpenCV's contours go through the centres of pixels. In a mask of
    twice the size they go a quarter pixel inside the edge, and every rasteriser fills the same pixels again.
    """
    x0, y0, width, height = cv2.boundingRect(mask)
    part = mask[y0 : y0 + height, x0 : x0 + width]
    doubled = cv2.resize(part, (2 * width, 2 * height), interpolation=cv2.INTER_NEAREST)
    found, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [((contour.reshape(-1, 2) + 0.5) / 2 + (x0, y0)).ravel().tolist() for contour in found]


def regions(mask: Mask) -> Iterator[list[list[float]]]:
    """Yield the outlines of each region of a mask, which together fill exactly its pixels.

    A region without holes has one outline. A region with holes is cut along rows of pixels through its holes into
    pieces without holes, each with its outline.
    """
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    for number in range(1, count):
        x0, y0, width, height = (int(value) for value in boxes[number][:4])
        region = np.where(labels[y0 : y0 + height, x0 : x0 + width] == number, np.uint8(255), np.uint8(0))
        ends = [0, *_cuts(region), height]
        strips = ((top, outlines(region[top:bottom])) for top, bottom in itertools.pairwise(ends))
        yield [_moved(outline, x0, y0 + top) for top, found in strips for outline in found]


def _cuts(region: Mask) -> list[int]:
    """Return the fewest rows above which to cut a region, so that a cut goes through each of its holes."""
    contours, nesting = cv2.findContours(region, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parents = nesting[0][:, 3]
    around = [contour[:, 0, 1] for contour, parent in zip(contours, parents, strict=True) if parent >= 0]
    holes = sorted((int(rows.max()) - 1, int(rows.min()) + 1) for rows in around)  # last and first row of each
    cuts: list[int] = []
    for last, first in holes:
        if not cuts or cuts[-1] < first:
            cuts.append(last)
    return cuts


def _moved(outline: list[float], x: int, y: int) -> list[float]:
    return [value + (x, y)[index % 2] for index, value in enumerate(outline)]
