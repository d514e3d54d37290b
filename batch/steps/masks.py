"""From a probability map to a mask of the image's own size, and what the ledger says about it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from batch.figures import Figures
from export.runtime.masks import bbox_of, confidence, enlarge

LESION_LEVEL = 128
"""The lowest uint8 level that is lesion."""


def to_levels(prob: NDArray[np.float32], threshold: float) -> NDArray[np.uint8]:
    """Map probabilities ``(S, S)`` to uint8 levels whose border between 127 and 128 is the threshold.

    level = round(127.5 + (p - t) * gain), with the largest gain at which neither p = 0 nor p = 1 leaves 0-255. So the
    map stays linear (bilinear resizing commutes with it but for rounding), nothing is clipped, and at the map's own
    points level >= 128 is p >= t (a tie rounds to the even 128), to the last bits of float32. Resizing 8 bits instead
    of 32 is faster (``benchmarks/test_mask_writing.py``) and flips a few pixels, all of them on the contour.
    """
    gain = 127.5 / max(threshold, 1.0 - threshold)
    return np.asarray(cv2.convertScaleAbs(prob, alpha=gain, beta=127.5 - threshold * gain), np.uint8)


def mask_of(prob: NDArray[np.float32], threshold: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize ``(S, S)`` probabilities to ``size`` (H, W), bilinear, and threshold: uint8 ``(H, W)``, 0 or 255.

    Of several classes, ``(C, S, S)``: a label map, as :class:`export.Segmenter` makes it.
    """
    if prob.ndim == 3:
        return enlarge(prob, size, threshold)
    height, width = size
    levels = cv2.resize(to_levels(prob, threshold), (width, height), interpolation=cv2.INTER_LINEAR)  # (H, W)
    mask = cv2.threshold(levels, LESION_LEVEL - 1, 255, cv2.THRESH_BINARY, levels)[1]
    return np.asarray(mask, np.uint8)


def figures_of(
    mask: NDArray[np.uint8], prob: NDArray[np.float32], threshold: float, suitable: float | None = None
) -> Figures:
    """Measure a mask ``(H, W)`` and the probability map ``(S, S)``, or ``(C, S, S)``, that it came from.

    ``suitable``: what the model said of the image. Area and box are those of what is not 0: of a label map all but the
    background.
    """
    height, width = mask.shape
    area = int(cv2.countNonZero(mask))
    box = bbox_of(mask) if area else None
    return Figures(height, width, area, box, confidence(prob, threshold), suitable)
