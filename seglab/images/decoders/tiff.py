"""TIFF, by tifffile."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from seglab.images.colour import to_srgb
from seglab.images.completeness import require_complete
from seglab.images.decoders.base import Decoded, Request, Stored, whole
from seglab.images.decoders.pillow import _eight_bits
from seglab.images.orientation import upright

COLOURS = {0: "white is zero", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "ycbcr", 8: "lab", 9: "lab"}
CHANNELS = {"rgb": 3, "cmyk": 4, "ycbcr": 3, "lab": 3}


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


def stored(data: bytes, request: Request) -> Stored:
    """Return the samples of a TIFF as they are stored, upright. Raises :class:`ImageError`."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        request.require_size(page.imagewidth, page.imagelength)
        colours = COLOURS.get(int(page.photometric), "grey")
        values = page.asarray()
        if page.planarconfig == 2 and values.ndim == 3:
            values = np.moveaxis(values, 0, -1)  # (H, W, C)
        values = values if values.ndim == 3 else values[..., None]
        values = upright(values, int(page.tags.valueof(274, 1)))
        palette = None
        if colours == "palette":
            entries = np.asarray(page.colormap).T  # (N, 3)
            palette = np.asarray(entries >> 8 if entries.max() > 255 else entries, np.uint8)
        extra = max(values.shape[2] - CHANNELS.get(colours, 1), 0)
        return Stored(values, colours, int(page.bitspersample), extra, palette)
