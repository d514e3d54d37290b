"""Bringing pixels to a network's size: bilinear, antialiased, half-pixel centres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

OVERSAMPLING = 2
"""Scaled decoding averages over squares; from twice the wanted size on, the resize that follows decides the result."""


def fit(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize ``(h, w, 3)`` uint8 to ``(size, size, 3)``: bilinear, antialiased, half-pixel centres.

    The same filter as the graph's own resize (and torch's ``antialias=True``), rounded to uint8.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    return fit_image(Image.frombuffer("RGB", (width, height), np.ascontiguousarray(pixels), "raw", "RGB", 0, 1), size)


def fit_image(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The same for an RGB image of Pillow's."""
    small = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.frombuffer(bytearray(small.tobytes()), np.uint8).reshape(size, size, 3)
