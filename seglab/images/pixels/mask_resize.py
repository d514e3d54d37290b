"""Resizing of truth masks to a network's size: each pixel becomes its share of lesion, and no lesion is lost."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

HALF = 128
"""Value from which a pixel counts as lesion."""
SMALL = 0.01
"""Lesions that cover more than this share of the image do not vanish at usual sizes."""


def fit_mask(mask: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return ``(H, W)``, 0 or 255, as ``(size, size)``, 0-255: the share of each pixel that is lesion.

    Where a lesion covers less than half of every pixel, the pixel that it covers most becomes 255. Otherwise the image
    would count as one without a lesion.
    """
    soft = np.asarray(_soft(mask, size), np.uint8)
    if soft.max() < HALF and mask.any():
        soft = soft.copy()
        soft.flat[int(_shares(mask, size).argmax())] = 255
    return soft


def vanishes(mask: NDArray[np.uint8], size: int) -> bool:
    """Return whether the lesion in ``(H, W)`` covers less than half of every pixel of ``(size, size)``."""
    lesion = cv2.countNonZero(mask)
    return 0 < lesion < SMALL * mask.size and bool(_soft(mask, size).max() < HALF)


def _soft(mask: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA))


def _shares(mask: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Return the shares as floats, because a share may be too small for an integer."""
    return np.asarray(cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA))
