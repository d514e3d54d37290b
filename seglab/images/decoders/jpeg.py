"""JPEG by libjpeg-turbo, which can decode it scaled inside the DCT."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from seglab.images.colour import to_srgb
from seglab.images.decoders.base import Decoded, Request
from seglab.images.orientation import UPRIGHT, orientation_of, swaps_sides, upright, upright_image

DCT_FACTORS = (8, 4, 2)
"""Reductions that libjpeg-turbo decodes with SIMD; those between (7/8, 6/8, ...) take longer than none at all."""
# libjpeg warns about these and loses no pixel by them; any other warning means damaged image data.
HARMLESS_WARNINGS = re.compile(r"extraneous bytes before marker|Invalid SOS parameters|Unknown Adobe color transform")
CHANNELS_OF_JPEG = frozenset({"Gray", "YCbCr", "RGB"})


def decode(data: bytes, request: Request, *, is_upright: bool = False) -> Decoded:
    """Decode a JPEG. ``is_upright``: its EXIF does not count (it is embedded in a file that says how it lies)."""
    with Image.open(io.BytesIO(data), formats=("JPEG", "MPO")) as header:
        width, height = header.size
        request.require_size(width, height)
        orientation = UPRIGHT if is_upright else orientation_of(header.info.get("exif"))
        profile = header.info.get("icc_profile")
        pixels = _scaled(data, request.at_least)
        remarks: tuple[str, ...] = ()
        if pixels is None or profile:
            image = Image.fromarray(pixels) if pixels is not None else header
            converted, remark = to_srgb(image, profile)
            remarks = (remark,) if remark else ()
            whole = (width, height) if swaps_sides(orientation) else (height, width)
            return Decoded(upright_image(converted, orientation), whole, remarks)
    return Decoded(
        upright(pixels, orientation), (width, height) if swaps_sides(orientation) else (height, width), remarks
    )


def _scaled(data: bytes, at_least: int | None) -> NDArray[np.uint8] | None:
    """Decode to RGB by libjpeg-turbo; None for component sets that it does not convert (CMYK)."""
    height, width, channels, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    if channels not in CHANNELS_OF_JPEG:
        return None
    wanted: dict[str, Any] = {}
    factor = next((factor for factor in DCT_FACTORS if at_least and min(height, width) >= factor * at_least), 1)
    if factor > 1:
        wanted = {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGB", **wanted)
    except ValueError as error:
        if not HARMLESS_WARNINGS.search(str(error)):
            raise
        pixels = simplejpeg.decode_jpeg(data, "RGB", strict=False, **wanted)
    return np.asarray(pixels, np.uint8)
