"""HEIC and HEIF photographs, as iPhones take them, by pillow_heif, which is optional.

The decoder applies the file's own rotation and mirroring (``irot``, ``imir``). EXIF's orientation only repeats them
(ISO/IEC 23008-12, annex A) and is ignored.
"""

from __future__ import annotations

import io

from seglab.errors import ImageError
from seglab.images.decoders.base import Decoded, Request, whole
from seglab.images.decoders.boxes import require_whole_media
from seglab.images.decoders.png.decode import seen_through
from seglab.images.pixels.colour import coded_profile, to_srgb

INSTALL = 'A HEIC photograph, and pillow-heif is not installed; HEIC needs it. Install it: pip install "seglab[heic]".'


def decode(data: bytes, request: Request) -> Decoded:
    """Decode the primary image of a HEIC. Raises :class:`ImageError`."""
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(INSTALL) from error
    require_whole_media(data)
    file = pillow_heif.open_heif(io.BytesIO(data))
    request.require_size(*file.size)
    profile, remark = _profile(file.info)
    image = file.to_pillow()
    request.require_size(*image.size)
    many = (f"the main one of {len(file)} images",) if len(file) > 1 else ()
    converted, changed = to_srgb(image, profile)
    return whole(converted, *many, *seen_through(image), *(text for text in (remark, changed) if text))


def _profile(info: dict[str, object]) -> tuple[bytes | None, str | None]:
    profile, numbers = info.get("icc_profile"), info.get("nclx_profile")
    if isinstance(profile, bytes) and profile:
        return profile, None
    if not isinstance(numbers, dict):
        return None, None
    return coded_profile(numbers["color_primaries"], numbers["transfer_characteristics"], "a HEIC")
