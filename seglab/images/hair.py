"""Hair removal before the network: DullRazor with OpenCV.

Lee et al., "DullRazor: a software approach to hair removal from images", Computers in Biology and Medicine 27 (1997):
find thin dark structures and fill them from their surroundings. It is applied to the network's input (S x S), so
training, validation and use remove the same hairs at any size of the photograph. It uses integer arithmetic only, so
that :mod:`export.graph.hair` can do the same inside a graph, bit for bit.
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
"""Structures shorter than this share of the side are not hairs."""
DARKER = 12
"""Grey levels by which a hair is darker than the skin beside it, at least."""
EDGES = (40, 120)
"""Thresholds of Canny's edge detector: hairs have sharp edges, unlike most texture of lesions."""
FILL_WEIGHTS = np.array([1, 6, 15, 20, 15, 6, 1], np.float32)
"""Weights of neighbours in filling, vertically and horizontally: binomial coefficients, nearly a Gaussian."""
GAP = 6
"""White pixels between the pictures of a figure."""


def remove(method: str, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Remove hairs with a ``method`` of recipes: ``none`` or ``dullrazor``. Raises :class:`ConfigError` for others."""
    if method == "none":
        return pixels
    if method != "dullrazor":
        raise ConfigError(f"hair is {method!r}; expected none or dullrazor.")
    return remove_hair(pixels)


def remove_hair(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 ``(H, W, 3)`` RGB with hairs filled in from their surroundings."""
    return fill(pixels, hair_mask(pixels))


def fill(pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 ``(H, W, 3)`` filled where ``mask``, uint8 ``(H, W)``, is not 0, ring by ring from the rim inwards.

    A pixel becomes the mean of the known pixels around it, weighted by :data:`FILL_WEIGHTS`: normalised convolution
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
    """Return the weighted sum around every pixel of ``(H, W)`` or ``(H, W, 3)``; pixels beyond the edge count as 0."""
    sums = cv2.sepFilter2D(values, -1, FILL_WEIGHTS, FILL_WEIGHTS, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(sums, np.float32)


def hair_width(side: int) -> int:
    """Return the width in pixels (odd) below which dark structures can be hairs, for an image with this ``side``."""
    return max(3, round(HAIR_WIDTH * side) | 1)


def hair_length(side: int) -> float:
    """Return the length in pixels from which dark structures are hairs."""
    return HAIR_LENGTH * side


def hair_mask(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return where hairs are, uint8 ``(H, W)``, 0 or 255, in RGB ``(H, W, 3)``.

    Steps: grey; pixels that a morphological closing would fill (thin and dark); of these, pixels at sharp edges; after
    widening, connected regions that are long.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    width = hair_width(min(grey.shape))
    thin = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, cv2.getStructuringElement(cv2.MORPH_CROSS, (width, width)))
    dark = np.asarray(cv2.threshold(thin, DARKER, 255, cv2.THRESH_BINARY)[1], np.uint8)
    edges = cv2.dilate(cv2.Canny(grey, *EDGES), np.ones((3, 3), np.uint8))
    found = cv2.dilate(cv2.bitwise_and(dark, edges), np.ones((3, 3), np.uint8))
    return _long_ones(np.asarray(found, np.uint8))


def _long_ones(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return only the connected regions that are as long as a hair; others are dots of a lesion's texture."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    length = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    kept = length >= hair_length(min(mask.shape))
    kept[0] = False  # the background
    return np.where(kept[labels], np.uint8(255), np.uint8(0))


def hair_figure(path: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """Write a picture with a row per image (uint8 ``(H, W, 3)``, all of one size): before, hair mask, after."""
    rows = []
    for image in images:
        mask = hair_mask(image)
        columns = [image, cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB), remove_hair(image)]
        gap = np.full((image.shape[0], GAP, 3), 255, np.uint8)
        rows.append(np.hstack([columns[0], gap, columns[1], gap, columns[2]]))
        rows.append(np.full((GAP, rows[-1].shape[1], 3), 255, np.uint8))
    write_image(path, np.vstack(rows[:-1]), mark=PICTURE_MARK)


def hairiest(images: Iterable[NDArray[np.uint8]], count: int) -> list[NDArray[np.uint8]]:
    """Return the ``count`` images with the largest share of hair, the hairiest first; only these are kept in memory."""
    found: list[tuple[float, int, NDArray[np.uint8]]] = []
    for number, image in enumerate(images):
        found.append((-float(np.mean(hair_mask(image) > 0)), number, image))
        found = sorted(found, key=lambda entry: entry[:2])[:count]
    return [image for _, _, image in found]
