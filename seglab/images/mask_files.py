"""Telling a file with a mask from one with a photograph, by its pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from seglab.images.reader import read_image

MASK_MODES = frozenset({"1", "L", "P", "I", "I;16", "F"})
"""Pillow's modes of one channel: photographs of skin have three."""
DARK, LIGHT = 16, 239
MOST_OF_IT = 0.97
"""So much of a mask of three channels is nearly black or nearly white; the rest is what JPEG blurs at edges."""


def is_mask(file: Path | bytes) -> bool:
    """Does the file, or its bytes, hold a mask: one channel, or black and white?

    A JPEG of one channel is judged by its pixels, for photographs are saved so as well. Raises :class:`ImageError`
    where it cannot be read.
    """
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            has_one_channel = image.mode in MASK_MODES and image.format != "JPEG"
    except (OSError, ValueError, Image.DecompressionBombError):
        has_one_channel = False  # a DICOM file, or a broken one: reading it will say so
    return has_one_channel or _is_black_and_white(file)


def _is_black_and_white(file: Path | bytes) -> bool:
    pixels = read_image(file)
    return bool(np.mean((pixels <= DARK) | (pixels >= LIGHT)) >= MOST_OF_IT)
