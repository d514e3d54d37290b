"""TIFF, by tifffile."""

from __future__ import annotations

import io

from PIL import Image

from seglab.images.colour import to_srgb
from seglab.images.completeness import require_complete
from seglab.images.decoders.base import Decoded, Request, whole
from seglab.images.decoders.pillow import _eight_bits


def decode(data: bytes, request: Request) -> Decoded:
    """Decode a TIFF or BigTIFF."""
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        require_complete(image, data)
        request.require_size(*image.size)
        profile = image.info.get("icc_profile")
        image.load()  # Pillow turns TIFFs itself while it loads them
        plain, remarks = _eight_bits(image)
        converted, remark = to_srgb(plain, profile)
        return whole(converted, *remarks, *((remark,) if remark else ()))
