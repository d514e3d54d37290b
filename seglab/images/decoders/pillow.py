"""WebP, GIF and AVIF by Pillow, each with the class of its format; no other format is tried.

Of several frames the first is read, with a remark.
"""

from __future__ import annotations

import io
import struct
import warnings

from PIL import Image, ImageFile

from seglab.images.completeness import require_whole_webp
from seglab.images.decoders.base import Decoded, Request, whole
from seglab.images.decoders.boxes import coded_colours, require_whole_media
from seglab.images.decoders.gif_blocks import count_frames
from seglab.images.decoders.png.decode import seen_through
from seglab.images.pixels.colour import coded_profile, to_srgb
from seglab.images.pixels.orientation import orientation_of, upright_image

PART = "its first frame covers only a part of it"

# All decoders use the package's own limit; Pillow's would only warn up to twice its size.
Image.MAX_IMAGE_PIXELS = None
# Pillow warns about odd metadata of good images. (A filter per call would not be thread-safe.)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def decode_webp(data: bytes, request: Request) -> Decoded:
    """Decode a WebP. Pillow allocates its canvas when it opens the file, so its size is checked before."""
    from PIL import WebPImagePlugin

    if (size := _webp_size(data)) is not None:
        request.require_size(*size)
    require_whole_webp(data)
    with WebPImagePlugin.WebPImageFile(io.BytesIO(data)) as image:
        return _decoded(image, request, image.n_frames, image.info.get("icc_profile"))


def decode_gif(data: bytes, request: Request) -> Decoded:
    """Decode the first frame of a GIF, on the whole canvas."""
    from PIL import GifImagePlugin

    with GifImagePlugin.GifImageFile(io.BytesIO(data)) as image:
        remark = None if not image.tile or image.tile[0][1] == (0, 0, *image.size) else PART
        return _decoded(image, request, count_frames(data), None, remark)


def decode_avif(data: bytes, request: Request) -> Decoded:
    """Decode an AVIF, upright as the file states."""
    from PIL import AvifImagePlugin

    require_whole_media(data)
    with AvifImagePlugin.AvifImageFile(io.BytesIO(data)) as image:
        profile, remark = image.info.get("icc_profile"), None
        if not profile and (code := coded_colours(data)) is not None:
            profile, remark = coded_profile(*code, "an AVIF")
        return _decoded(image, request, image.n_frames, profile, remark)


def _decoded(
    image: ImageFile.ImageFile, request: Request, frames: int, profile: bytes | None, remark: str | None = None
) -> Decoded:
    request.require_size(*image.size)
    exif = image.info.get("exif")
    image.load()
    converted, changed = to_srgb(image, profile)
    many = (f"the first of {frames} frames",) if frames > 1 else ()
    more = [text for text in (remark, changed) if text]
    pixels = upright_image(converted, orientation_of(exif))
    return whole(pixels, *many, *seen_through(image), *more)


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of the canvas from the first chunk, or None."""
    first = data[12:16]
    if first == b"VP8X" and len(data) >= 30:
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if first == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if first == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None
