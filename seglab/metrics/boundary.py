"""Distances between outlines: 95 % Hausdorff distance and boundary IoU, of masks ``(H, W)``; non-zero is lesion.

Distances are Euclidean, in pixels of the image's own size, from OpenCV's precise distance transform. They equal
SciPy's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

PERCENTILE = 95
BAND = 0.02
"""Width of the band of boundary IoU, as a share of the image's diagonal (Cheng et al., arXiv 2103.16562)."""
Binary = NDArray[np.uint8]
"""A mask uint8 ``(H, W)`` of 0 and 1."""


@dataclass(frozen=True)
class Boundary:
    """``hd95``: 95 % Hausdorff distance in pixels; ``hd95_relative``: over the diagonal; ``boundary_iou``: 0-1."""

    hd95: float
    hd95_relative: float
    boundary_iou: float


def compare_boundaries(mask: NDArray[Any], truth: NDArray[Any]) -> Boundary:
    """Return the boundary measures of ``mask`` against ``truth``, which have the same shape."""
    diagonal = math.hypot(*mask.shape)
    width = max(1, round(BAND * diagonal))
    distance = hausdorff_95(mask, truth)
    return Boundary(distance, distance / diagonal, boundary_iou(mask, truth, width))


def hausdorff_95(mask: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the larger of the two directed 95th percentiles of the distances from outline to outline, in pixels.

    This is the definition of MONAI and of DeepMind's surface-distance (medpy pools both directions). The frame's edge
    counts as outline. Both empty: 0. One empty: the diagonal, the largest possible distance, so that means stay finite.
    """
    first, second = _binary(mask), _binary(truth)
    if not first.any() or not second.any():
        return 0.0 if not first.any() and not second.any() else math.hypot(*mask.shape)
    first, second = _cropped(first, second)
    edges = _outline(first), _outline(second)
    return max(_directed(*edges), _directed(*edges[::-1]))


def boundary_iou(mask: NDArray[Any], truth: NDArray[Any], width: int) -> float:
    """Return the IoU of the two masks' inner bands, ``width`` pixels wide; 1 where both masks are empty.

    A band holds the pixels that erosion with a square of ``2 * width + 1`` pixels removes, as in the paper's code. The
    frame's edge counts as outline.
    """
    bands = [_band(part, width) for part in _cropped(_binary(mask), _binary(truth))]
    union = int(np.count_nonzero(bands[0] | bands[1]))
    return int(np.count_nonzero(bands[0] & bands[1])) / union if union else 1.0


def _binary(mask: NDArray[Any]) -> Binary:
    return np.ascontiguousarray(mask != 0).view(np.uint8)


def _cropped(first: Binary, second: Binary) -> tuple[Binary, Binary]:
    """Return both, cut to the rectangle around both lesions with a margin of one pixel; the rest has no effect."""
    left, top, width, height = cv2.boundingRect(first | second)
    window = slice(top, top + height), slice(left, left + width)
    return np.pad(first[window], 1), np.pad(second[window], 1)


def _outline(mask: Binary) -> Binary:
    """Return the pixels of ``mask`` with a neighbour above, below, left or right that is not in it."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return np.asarray(mask - cv2.erode(mask, cross, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)), np.uint8)


def _band(mask: Binary, width: int) -> Binary:
    """Return the pixels of ``mask`` within ``width`` of its outline."""
    square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    return np.asarray(mask - cv2.erode(mask, square, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)), np.uint8)


def _directed(source: Binary, target: Binary) -> float:
    distance = cv2.distanceTransform(1 - target, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float(np.percentile(distance[source > 0], PERCENTILE))
