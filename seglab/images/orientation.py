"""Upright as EXIF says, and as nothing else says (EXIF 2.32, tag 0x0112)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Sample = TypeVar("Sample", bound=np.generic)
ORIENTATION_TAG = 0x0112
UPRIGHT = 1
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(exif: bytes | None) -> int:
    """Return the orientation (1 to 8) in an EXIF block, with or without ``Exif\\0\\0``; 1 where it gives none."""
    if not exif:
        return UPRIGHT
    try:
        block = Image.Exif()
        block.load(exif)
        value = block.get(ORIENTATION_TAG, UPRIGHT)
    except Exception:  # Broken EXIF raises anything from struct.error to ZeroDivisionError; the pixels are still good.
        return UPRIGHT
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def swaps_sides(orientation: int) -> bool:
    """Do width and height change places?"""
    return orientation >= 5


def upright(pixels: NDArray[Sample], orientation: int) -> NDArray[Sample]:
    """Turn ``(H, W, ...)`` as an orientation says."""
    if orientation == UPRIGHT:
        return pixels
    if swaps_sides(orientation):
        pixels = pixels.swapaxes(0, 1)  # (W, H, ...)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def upright_image(image: Image.Image, orientation: int) -> Image.Image:
    """The same for an image of Pillow's."""
    return image if orientation == UPRIGHT else image.transpose(TURNS[orientation])
