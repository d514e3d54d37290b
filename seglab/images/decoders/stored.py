"""Samples of PNG, BMP, GIF and WebP files as they are stored, for truth masks: neither scaled nor converted."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.completeness import require_complete
from seglab.images.decoders.base import Request, Stored
from seglab.images.orientation import orientation_of, upright

FORMATS = ("PNG", "BMP", "GIF", "WEBP")
BITS = {"1": 1, "I;16": 16, "I": 32, "F": 32}
"""Of Pillow's modes; all others have 8."""
DEPTH_OF_PNG, COLOURS_OF_PNG = 24, 25
"""Where a PNG says them."""
SEVERAL_CHANNELS = frozenset({2, 4, 6})


def stored(data: bytes, request: Request) -> Stored:
    """Return the samples of a file of :data:`FORMATS`. Raises :class:`ImageError`, or as Pillow does."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        require_complete(image, data)
        request.require_size(*image.size)
        _require_one_picture(image)
        orientation = orientation_of(image.info.get("exif"))
        image.load()
        found = _deep_png(data) if _has_deep_channels(data) else _samples(_with_alpha(image))
    if orientation == 1:
        return found
    values: Any = found.values
    return Stored(upright(values, orientation), found.colours, found.bits, found.extra, found.palette)


def _require_one_picture(image: Image.Image) -> None:
    if (count := getattr(image, "n_frames", 1)) != 1:
        raise ImageError(f"An animation of {count} pictures; expected one. Save the one that is meant by itself.")


def _with_alpha(image: Image.Image) -> Image.Image:
    """Give an image that has a transparent colour, or transparent colours in its palette, an alpha channel."""
    if "transparency" not in image.info or image.mode not in ("1", "L", "P", "RGB"):
        return image
    return image.convert("LA" if image.mode in ("1", "L") else "RGBA")


def _samples(image: Image.Image) -> Stored:
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    values = np.asarray(image)
    values = values if values.ndim == 3 else values[..., None]  # (H, W, C)
    bits, extra = BITS.get(image.mode, 8), int(image.mode.endswith("A"))
    if image.mode == "P":
        return Stored(values, "palette", bits, palette=_palette(image))
    return Stored(values, "rgb" if image.mode.startswith("RGB") else "grey", bits, extra)


def _palette(image: Image.Image) -> NDArray[np.uint8]:
    """Return all 256 entries, uint8 ``(256, 3)``; those that a file does not have are black."""
    given = np.array(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    return np.concatenate([given, np.zeros((256 - len(given), 3), np.uint8)])


def _has_deep_channels(data: bytes) -> bool:
    """Is this a PNG of several channels of 16 bits, of which Pillow keeps the high bytes only?"""
    return data.startswith(b"\x89PNG") and data[DEPTH_OF_PNG] == 16 and data[COLOURS_OF_PNG] in SEVERAL_CHANNELS


def _deep_png(data: bytes) -> Stored:
    """Decode by OpenCV what Pillow has found to be whole: uint16, BGR(A); grey with alpha comes as BGRA, too."""
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        raise ImageError("A PNG of 16 bits that cannot be decoded; expected a whole file. Save it again.")
    return Stored(values, "rgb", 16, extra=values.shape[2] - 3)
