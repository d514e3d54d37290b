"""Overlays of bounded size: a photograph with the outline of its lesion."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.images.captions import write_caption
from seglab.images.outlines import label_overlay, overlay

LONGEST_SIDE = 1024


def sides_within(shape: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Return width and height of a ``shape`` (H, W) scaled down to at most ``longest`` pixels per side."""
    height, width = shape[:2]
    scale = min(1.0, longest / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def outlined(
    pixels: NDArray[np.uint8], mask: NDArray[np.uint8], longest: int = LONGEST_SIDE, *, are_labels: bool = False
) -> NDArray[np.uint8]:
    """Return a photograph, uint8 RGB ``(h, w, 3)`` of any scale, with the outline of its ``mask`` ``(H, W)``, at most
    ``longest`` pixels per side.

    ``are_labels``: the mask holds numbers of classes, and each class gets an outline. A caption in a corner says if no
    lesion was found, and the scale if the picture was scaled down.
    """
    sides = sides_within(mask.shape, longest)
    picture = np.asarray(cv2.resize(pixels, sides, interpolation=cv2.INTER_AREA), np.uint8)
    small = np.asarray(cv2.resize(mask, sides, interpolation=cv2.INTER_NEAREST), np.uint8)
    drawn = (label_overlay if are_labels else overlay)(picture, small)
    if caption := caption_of(mask, min(1.0, longest / max(mask.shape))):
        write_caption(drawn, caption)
    return drawn


def caption_of(mask: NDArray[np.uint8], scale: float) -> str:
    """Return the caption of an overlay drawn at ``scale``: if no lesion was found, and a scale below 1; or empty."""
    found = [] if mask.any() else ["no lesion found"]
    ratio = f"{1 / scale:.1f}".removesuffix(".0")
    return ", ".join([*found, f"1:{ratio}"] if ratio != "1" else found)
