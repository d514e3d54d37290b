"""Hair removal before the network: DullRazor with OpenCV.

Lee et al., "DullRazor: a software approach to hair removal from images", Computers in Biology and Medicine 27 (1997):
find thin dark structures, and fill them from what is beside them. Always done on the image that the network gets
(S x S), so that training, validation and use remove the same hairs whatever size the photograph had.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.errors import ConfigError
from seglab.figures import write_image

HAIR_WIDTH = 9 / 256
"""Structures thinner than this share of the side can be hairs."""
HAIR_LENGTH = 16 / 256
"""Structures shorter than this share of the side are no hairs."""
DARKER = 12
"""Grey levels by which a hair is darker than the skin beside it."""
EDGES = (40, 120)
"""Canny's thresholds: a hair has sharp edges, which a lesion's texture mostly has not."""
INPAINT_RADIUS = 3
GAP = 6
"""White pixels between the pictures of a figure."""


def remove(method: str, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Remove hairs by the name that recipes use: ``none`` or ``dullrazor``. Raises :class:`ConfigError` for others."""
    if method == "none":
        return pixels
    if method != "dullrazor":
        raise ConfigError(f"hair is {method!r}; expected none or dullrazor.")
    return remove_hair(pixels)


def remove_hair(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 ``(H, W, 3)`` RGB with its hairs filled in from beside them (Telea's inpainting)."""
    mask = hair_mask(pixels)
    if not mask.any():
        return pixels
    return np.asarray(cv2.inpaint(np.ascontiguousarray(pixels), mask, INPAINT_RADIUS, cv2.INPAINT_TELEA), np.uint8)


def hair_mask(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return where hairs are, uint8 ``(H, W)``, 0 or 255, in RGB ``(H, W, 3)``.

    Grey; what a morphological closing would fill (thin and dark); of that, what lies at sharp edges; of that, a little
    wider, what is long.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    width = max(3, round(HAIR_WIDTH * min(grey.shape)) | 1)
    thin = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, cv2.getStructuringElement(cv2.MORPH_CROSS, (width, width)))
    dark = np.asarray(cv2.threshold(thin, DARKER, 255, cv2.THRESH_BINARY)[1], np.uint8)
    edges = cv2.dilate(cv2.Canny(grey, *EDGES), np.ones((3, 3), np.uint8))
    found = cv2.dilate(cv2.bitwise_and(dark, edges), np.ones((3, 3), np.uint8))
    return _long_ones(np.asarray(found, np.uint8))


def _long_ones(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Keep the connected regions that are as long as a hair; the others are dots of a lesion's own texture."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    length = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    kept = length >= HAIR_LENGTH * min(mask.shape)
    kept[0] = False  # the background
    return np.where(kept[labels], np.uint8(255), np.uint8(0))


def hair_figure(path: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """Write a picture with a row per image, uint8 ``(H, W, 3)``, all of one size: before, the hairs, after."""
    rows = []
    for image in images:
        mask = hair_mask(image)
        columns = [image, cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB), remove_hair(image)]
        gap = np.full((image.shape[0], GAP, 3), 255, np.uint8)
        rows.append(np.hstack([columns[0], gap, columns[1], gap, columns[2]]))
        rows.append(np.full((GAP, rows[-1].shape[1], 3), 255, np.uint8))
    write_image(path, np.vstack(rows[:-1]))


def hairiest(images: Iterable[NDArray[np.uint8]], count: int) -> list[NDArray[np.uint8]]:
    """Return the ``count`` images with the largest share of hair, the hairiest first; holds no more than these."""
    found: list[tuple[float, int, NDArray[np.uint8]]] = []
    for number, image in enumerate(images):
        found.append((-float(np.mean(hair_mask(image) > 0)), number, image))
        found = sorted(found, key=lambda entry: entry[:2])[:count]
    return [image for _, _, image in found]
