"""Turn a probability map into a mask of the image's own size, and measure it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from batch.figures import Figures
from export.runtime.masks import bbox_of, confidence, enlarge

LESION_LEVEL = 128
"""The lowest uint8 level that counts as lesion."""


def to_levels(prob: NDArray[np.float32], threshold: float) -> NDArray[np.uint8]:
    """Map probabilities ``(S, S)`` to uint8 levels with the threshold between 127 and 128.

    level = round(127.5 + (p - t) * gain), with the largest gain that keeps p = 0 and p = 1 within 0-255. So the map is
    linear (it commutes with bilinear resizing up to rounding), nothing is clipped, and at the map's own points
    level >= 128 means p >= t (a tie rounds to the even 128), to float32 precision. Resizing 8 bits instead of 32 is
    faster (``benchmarks/test_mask_writing.py``) and flips a few pixels, all on the contour.
    """
    gain = 127.5 / max(threshold, 1.0 - threshold)
    return np.asarray(cv2.convertScaleAbs(prob, alpha=gain, beta=127.5 - threshold * gain), np.uint8)


def mask_of(prob: NDArray[np.float32], threshold: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize ``(S, S)`` probabilities to ``size`` (H, W), bilinear, and threshold: uint8 ``(H, W)``, 0 or 255.

    For several classes, ``(C, S, S)``, returns a label map as :class:`export.Segmenter` makes it.
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
    """Measure a mask ``(H, W)`` and the probability map ``(S, S)`` or ``(C, S, S)`` that it came from.

    ``suitable``: the model's score of the image. Area and box are those of all non-zero pixels: in a label map, every
    class but the background.
    """
    height, width = mask.shape
    area = int(cv2.countNonZero(mask))
    box = bbox_of(mask) if area else None
    return Figures(height, width, area, box, confidence(prob, threshold), suitable)
