"""Truths as outlines: polygons, and COCO's run lengths."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.errors import ImageError

SHIFT = 4
"""Fractional bits of the coordinates with which polygons are drawn."""
FARTHEST = 2**20
"""Largest distance in pixels of a corner from the image; farther ones are moved there."""


@dataclass(frozen=True)
class Outlines:
    """Lesions of one image. Source: COCO data format, section "Object Detection".

    ``polygons``: each ``x, y, x, y, ...`` in pixels from the upper left corner of the image, or as shares of its sides
    where ``size`` is None. ``runs``: run lengths down the columns, starting outside the lesion, as numbers or in COCO's
    compressed text. ``size``: ``(height, width)`` that both refer to.
    """

    polygons: tuple[tuple[float, ...], ...] = ()
    runs: tuple[tuple[int, ...] | str, ...] = ()
    size: tuple[int, int] | None = None

    def drawn(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the mask: uint8 ``(H, W)``, 0 or 255. Raises :class:`ImageError` where runs do not fit."""
        mask = np.zeros(size, np.uint8)  # (H, W)
        scale = (1, 1) if self.size else (size[1], size[0])
        for polygon in self.polygons:
            corners = np.array(polygon).reshape(-1, 2) * scale - 0.5  # (N, 2), from the first pixel's centre
            corners = np.clip(corners, -FARTHEST, FARTHEST)
            cv2.fillPoly(mask, [np.rint(corners * 2**SHIFT).astype(np.int32)], (255,), shift=SHIFT)
        for runs in self.runs:
            mask |= _of_runs(runs, size)
        return mask


def _of_runs(runs: tuple[int, ...] | str, size: tuple[int, int]) -> NDArray[np.uint8]:
    counts = _counts(runs) if isinstance(runs, str) else runs
    if min(counts, default=0) < 0 or sum(counts) != size[0] * size[1]:
        raise ImageError(f"run lengths of {sum(counts)} pixels for an image of {size}; expected one per pixel.")
    values = np.arange(len(counts)) % 2 * 255
    return np.repeat(values, counts).astype(np.uint8).reshape(size[::-1]).T  # (H, W)


def _counts(text: str) -> list[int]:
    """Return the numbers in COCO's compressed text.

    Each character has five bits of a number, the lowest first. From the fourth number on, the text has differences to
    the number two places before.
    """
    counts: list[int] = []
    value = bits = 0
    for character in text.encode():
        digit = character - 48
        value |= (digit & 31) << bits
        bits += 5
        if not digit & 32:
            value -= (digit & 16) << 1 << (bits - 5) if digit & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = bits = 0
    return counts
