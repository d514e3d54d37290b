"""Orientation of images by EXIF only (EXIF 2.32, tag 0x0112)."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Sample = TypeVar("Sample", bound=np.generic)
ORIENTATION_TAG = 0x0112
UPRIGHT = 1
BLOCK = re.compile(rb"(?:Exif\0.){0,2}(II\*\0|MM\0\*)", re.DOTALL)
"""Prefix of an EXIF block; some files have it twice."""
ENTRY = 12
WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 8: "h", 9: "i"}
"""TIFF types that files use for the orientation; the standard says 3."""
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
    """Return the orientation (1 to 8) in an EXIF block, with or without ``Exif\\0\\0``; 1 where it gives none.

    Only the first directory counts: the second one is the thumbnail's.
    """
    if not exif:
        return UPRIGHT
    found = BLOCK.match(exif)
    if found is None:
        return UPRIGHT
    try:
        return _in_directory(exif[found.start(1) :], "<" if found[1].startswith(b"I") else ">")
    except struct.error:  # The block is cut off; the pixels are still good.
        return UPRIGHT


def _in_directory(block: bytes, order: str) -> int:
    (directory,) = struct.unpack_from(f"{order}I", block, 4)
    (count,) = struct.unpack_from(f"{order}H", block, directory)
    for at in range(directory + 2, directory + 2 + ENTRY * count, ENTRY):
        tag, kind, values = struct.unpack_from(f"{order}HHI", block, at)
        if tag == ORIENTATION_TAG:
            if kind not in WHOLE_NUMBERS or values != 1:
                return UPRIGHT
            (value,) = struct.unpack_from(order + WHOLE_NUMBERS[kind], block, at + 8)
            return int(value) if UPRIGHT < value <= 8 else UPRIGHT
    return UPRIGHT


def orientation_in(path: Path) -> int:
    """Return the orientation in a file's EXIF block or TIFF tag; 1 if there is none."""
    try:
        with Image.open(path) as image:
            tags = getattr(image, "tag_v2", {})
            value = tags.get(ORIENTATION_TAG, UPRIGHT) if tags else orientation_of(image.info.get("exif"))
            return value if isinstance(value, int) and UPRIGHT < value <= 8 else UPRIGHT
    except (OSError, SyntaxError, ValueError):  # files that Pillow cannot read have no usable orientation
        return UPRIGHT


def swaps_sides(orientation: int) -> bool:
    """Return whether an orientation swaps width and height."""
    return orientation >= 5


def upright(pixels: NDArray[Sample], orientation: int) -> NDArray[Sample]:
    """Return ``(H, W, ...)`` turned upright from an orientation."""
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
    """Return an image of Pillow turned upright from an orientation."""
    return image if orientation == UPRIGHT else image.transpose(TURNS[orientation])
