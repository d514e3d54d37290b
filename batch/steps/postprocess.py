"""Clean masks before they are written: one region, no holes (the rule of ISIC's own truth masks)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
EVERY_NEIGHBOUR = 8
"""Lesion pixels connect over corners, background pixels do not (else a thin diagonal line would not separate it)."""


def largest(mask: Mask) -> Mask:
    """Keep the largest region of a mask ``(H, W)``, 0 or 255; of equal ones the topmost."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=EVERY_NEIGHBOUR)
    if count <= 2:  # background and at most one region
        return mask
    chosen = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return np.where(labels == chosen, np.uint8(255), np.uint8(0))


def fill(mask: Mask) -> Mask:
    """Fill the holes of a mask ``(H, W)``, 0 or 255: background that is not connected to the image's border."""
    framed = np.asarray(cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0), np.uint8)
    cv2.floodFill(framed, None, (0, 0), 255)
    return mask | ~framed[1:-1, 1:-1]


STEPS: Mapping[str, Callable[[Mask], Mask]] = {"largest": largest, "fill": fill}


def postprocess(mask: Mask, steps: Sequence[str]) -> Mask:
    """Apply the named steps in order."""
    for step in steps:
        mask = STEPS[step](mask)
    return mask
