"""Samples of PNG, GIF and WebP files as they are stored, for truth masks: neither scaled nor converted."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.completeness import require_whole_webp
from seglab.images.decoders.base import Request, Stored
from seglab.images.decoders.png.chunks import read_chunks, read_header
from seglab.images.decoders.png.deep import deep_samples
from seglab.images.pixels.orientation import orientation_of, upright

BITS = {"1": 1, "I;16": 16, "I": 32, "F": 32}
"""Bits per sample by Pillow mode; all other modes have 8."""
SEVERAL_CHANNELS = {2: "rgb", 4: "grey", 6: "rgb"}
"""Colour types of PNG, and what their colours are."""


def stored_png(data: bytes, request: Request) -> Stored:
    """Return the samples of a PNG. Raises :class:`ImageError`, or as Pillow does."""
    header = read_header(data)
    request.require_size(header.width, header.height)
    chunks = read_chunks(data, header)
    orientation = orientation_of(chunks.said.get(b"eXIf"))
    if header.depth == 16 and header.colour_type in SEVERAL_CHANNELS:  # Pillow keeps their high bytes only
        values = deep_samples(chunks)
        return _upright(Stored(values, SEVERAL_CHANNELS[header.colour_type], 16, 1 - values.shape[2] % 2), orientation)
    return _by_pillow(data, "PNG", request, orientation)


def stored_gif(data: bytes, request: Request) -> Stored:
    """Return the samples of a GIF. Raises the same errors as :func:`stored_png`."""
    return _by_pillow(data, "GIF", request)


def stored_webp(data: bytes, request: Request) -> Stored:
    """Return the samples of a WebP. Raises the same errors as :func:`stored_png`."""
    require_whole_webp(data)
    return _by_pillow(data, "WEBP", request)


def _by_pillow(data: bytes, format: str, request: Request, orientation: int | None = None) -> Stored:
    with Image.open(io.BytesIO(data), formats=(format,)) as image:
        request.require_size(*image.size)
        _require_one_picture(image)
        turn = orientation_of(image.info.get("exif")) if orientation is None else orientation
        image.load()
        return _upright(_samples(_with_alpha(image)), turn)


def _upright(found: Stored, orientation: int) -> Stored:
    values: NDArray[Any] = found.values
    return Stored(upright(values, orientation), found.colours, found.bits, found.extra, found.palette)


def _require_one_picture(image: Image.Image) -> None:
    if (count := getattr(image, "n_frames", 1)) != 1:
        raise ImageError(f"An animation of {count} pictures; expected one. Save the right one as its own file.")


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
