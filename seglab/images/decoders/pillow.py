"""PNG, BMP, WebP and whatever else Pillow reads and we name."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from seglab.errors import ImageError
from seglab.images.colour import to_srgb
from seglab.images.completeness import require_complete
from seglab.images.decoders.base import Decoded, Request, whole
from seglab.images.orientation import orientation_of, upright_image
from seglab.images.samples import from_sixteen

FORMATS = ("PNG", "BMP", "DIB", "WEBP", "TIFF")
"""No format that starts another program or reads another file is ever tried."""

# One limit for all decoders, ours; Pillow's own would only warn below twice its size.
Image.MAX_IMAGE_PIXELS = None
# Pillow remarks on odd metadata of good pixels. (A filter per call would not be safe in threads.)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def decode(data: bytes, request: Request) -> Decoded:
    """Decode a file of one of :data:`FORMATS`."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        require_complete(image, data)
        request.require_size(*image.size)
        exif, profile = image.info.get("exif"), image.info.get("icc_profile")
        image.load()
        plain, remarks = _eight_bits(image)
        converted, remark = to_srgb(plain, profile)
        return whole(upright_image(converted, orientation_of(exif)), *remarks, *((remark,) if remark else ()))


def _eight_bits(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        if grey.dtype != np.uint16 and (grey.min() < 0 or grey.max() > 0xFFFF):
            raise ImageError("Samples of 32 bits; expected 8 or 16. Save the image with 8 or 16 bits a sample.")
        samples, remarks = from_sixteen(grey.astype(np.uint16))
        return Image.fromarray(samples), remarks  # (H, W)
    if image.mode == "F":
        raise ImageError("Floating-point samples; expected 8 or 16 bits. Save the image with 8 or 16 bits a sample.")
    return image, ()
