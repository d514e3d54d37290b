"""Hair removal before the network: DullRazor with OpenCV.

Lee et al., "DullRazor: a software approach to hair removal from images", Computers in Biology and Medicine 27 (1997):
find thin dark structures, and fill them from what is beside them. Always done on the image that the network gets
(S x S), so that training, validation and use remove the same hairs whatever size the photograph had. All of it is
arithmetic on whole numbers, so that :mod:`export.graph.hair` can do the same inside a graph, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.errors import ConfigError
from seglab.images.formats import PICTURE_MARK
from seglab.images.outlines import write_image

HAIR_WIDTH = 9 / 256
"""Structures thinner than this share of the side can be hairs."""
HAIR_LENGTH = 16 / 256
"""Structures shorter than this share of the side are no hairs."""
DARKER = 12
"""Grey levels by which a hair is darker than the skin beside it."""
EDGES = (40, 120)
"""Canny's thresholds: a hair has sharp edges, which a lesion's texture mostly has not."""
FILL_WEIGHTS = np.array([1, 6, 15, 20, 15, 6, 1], np.float32)
"""How much a neighbour counts in filling, down and across: nearly a Gaussian (binomial coefficients)."""
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
    """Return uint8 ``(H, W, 3)`` RGB with its hairs filled in from beside them."""
    return fill(pixels, hair_mask(pixels))


def fill(pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill uint8 ``(H, W, 3)`` where ``mask``, uint8 ``(H, W)``, is not 0, ring by ring from the rim inwards.

    A pixel becomes the mean of what is known around it, weighted with :data:`FILL_WEIGHTS`: normalised convolution
    (Knutsson and Westin, CVPR 1993) in the order of Telea's inpainting (2004).
    """
    known = np.where(mask > 0, np.float32(0), np.float32(1))  # (H, W)
    colour = pixels.astype(np.float32)
    square = np.ones((3, 3), np.uint8)
    while True:
        nearer = np.asarray(cv2.dilate(known, square), np.float32)
        rim = nearer > known
        if not rim.any():
            return colour.astype(np.uint8)
        weights = _weighted(known)[rim]
        colours = _weighted(colour * known[..., None])[rim]
        colour[rim] = np.round(colours / weights[..., None])
        known = nearer


def _weighted(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weighted sum around every pixel of ``(H, W)`` or ``(H, W, 3)``; nothing comes from beyond the edge."""
    sums = cv2.sepFilter2D(values, -1, FILL_WEIGHTS, FILL_WEIGHTS, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(sums, np.float32)


def hair_width(side: int) -> int:
    """Return the width below which dark structures can be hairs, in pixels, odd, of an image whose side is ``side``."""
    return max(3, round(HAIR_WIDTH * side) | 1)


def hair_length(side: int) -> float:
    """Return the length from which they are hairs, in pixels."""
    return HAIR_LENGTH * side


def hair_mask(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return where hairs are, uint8 ``(H, W)``, 0 or 255, in RGB ``(H, W, 3)``.

    Grey; what a morphological closing would fill (thin and dark); of that, what lies at sharp edges; of that, a little
    wider, what is long.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    width = hair_width(min(grey.shape))
    thin = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, cv2.getStructuringElement(cv2.MORPH_CROSS, (width, width)))
    dark = np.asarray(cv2.threshold(thin, DARKER, 255, cv2.THRESH_BINARY)[1], np.uint8)
    edges = cv2.dilate(cv2.Canny(grey, *EDGES), np.ones((3, 3), np.uint8))
    found = cv2.dilate(cv2.bitwise_and(dark, edges), np.ones((3, 3), np.uint8))
    return _long_ones(np.asarray(found, np.uint8))


def _long_ones(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Keep the connected regions that are as long as a hair; the others are dots of a lesion's own texture."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    length = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    kept = length >= hair_length(min(mask.shape))
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
    write_image(path, np.vstack(rows[:-1]), mark=PICTURE_MARK)


def hairiest(images: Iterable[NDArray[np.uint8]], count: int) -> list[NDArray[np.uint8]]:
    """Return the ``count`` images with the largest share of hair, the hairiest first; holds no more than these."""
    found: list[tuple[float, int, NDArray[np.uint8]]] = []
    for number, image in enumerate(images):
        found.append((-float(np.mean(hair_mask(image) > 0)), number, image))
        found = sorted(found, key=lambda entry: entry[:2])[:count]
    return [image for _, _, image in found]
