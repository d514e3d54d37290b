"""JPEG 2000, in a file (JP2, JPX) or as a bare codestream, decoded by OpenJPEG. imagecodecs gives samples as stored;
Pillow is used if colours must be converted (CMYK, YCC, components of several sizes, a colour profile).

Source: ISO/IEC 15444-1, annexes A (codestream) and I (file).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

from seglab.errors import ImageError
from seglab.images.completeness import require_end
from seglab.images.decoders.base import Decoded, Request, whole
from seglab.images.decoders.boxes import boxes, outer_boxes
from seglab.images.decoders.png.decode import NOTHING_SEEN, seen_through
from seglab.images.pixels.colour import to_srgb
from seglab.images.pixels.samples import from_sixteen, to_bytes

CODESTREAM = b"\xff\x4f\xff\x51"
"""The markers SOC and SIZ, with which every codestream begins."""
END_OF_CODESTREAM = b"\xff\xd9"
COMPONENTS = 4
MOST_OF_SIZ = 42 + 3 * COMPONENTS
"""Bytes of SIZ that hold the size and up to :data:`COMPONENTS` components."""
MADE_OF_SAMPLES = frozenset({12, 18})
"""Enumerated colour spaces that must be converted to RGB: CMYK and YCC."""


@dataclass(frozen=True, slots=True)
class Codestream:
    """The content of SIZ. ``bits``: of each component. ``is_plain``: all unsigned, of one size and depth."""

    width: int
    height: int
    bits: tuple[int, ...]
    is_plain: bool


def decode(data: bytes, request: Request) -> Decoded:
    """Decode a JPEG 2000."""
    stream = _codestream(data)
    request.require_size(stream.width, stream.height)
    require_end(data, END_OF_CODESTREAM)
    colours = [] if data.startswith(CODESTREAM) else [bytes(found) for name, found in boxes(data) if name == b"colr"]
    profile = next((said[3:] for said in colours if said[:1] in (b"\2", b"\3")), None)
    space = next((int.from_bytes(said[3:7], "big") for said in colours if said[:1] == b"\1"), None)
    # OpenJPEG, as imagecodecs calls it, would convert by some profiles itself.
    if profile or not stream.is_plain or space in MADE_OF_SAMPLES:
        return _by_pillow(data, stream, request, profile)
    return _as_stored(data, stream)


def _as_stored(data: bytes, stream: Codestream) -> Decoded:
    import imagecodecs

    try:
        samples = np.asarray(imagecodecs.jpeg2k_decode(data))
    except imagecodecs.Jpeg2kError as error:
        raise ImageError(
            f"Damaged image: a JPEG 2000; {error}. Expected a whole file; copy it again from the original."
        ) from error
    if samples.shape[:2] != (stream.height, stream.width):
        raise _two_sizes()
    samples = samples if samples.ndim == 3 else samples[..., None]  # (H, W, C)
    remarks: tuple[str, ...] = ()
    if samples.shape[2] in (2, 4):
        remarks = () if samples[..., -1].any() else (NOTHING_SEEN,)
        samples = samples[..., :-1]
    bits = 8 if len(stream.bits) == 1 and samples.shape[2] == 3 else stream.bits[0]  # a palette has 8
    plain = np.ascontiguousarray(samples[..., 0] if samples.shape[2] == 1 else samples)  # (H, W) or (H, W, 3)
    if bits == 16:
        _, said = from_sixteen(plain)
        bits, remarks = 12 if said else 16, (*remarks, *said)
    return whole(Image.fromarray(to_bytes(plain, bits)).convert("RGB"), *remarks)


def _by_pillow(data: bytes, stream: Codestream, request: Request, profile: bytes | None) -> Decoded:
    from PIL import Jpeg2KImagePlugin

    with Jpeg2KImagePlugin.Jpeg2KImageFile(io.BytesIO(data)) as image:
        request.require_size(*image.size)
        if image.size != (stream.width, stream.height):
            raise _two_sizes()
        image.load()
        eight = Image.fromarray(to_bytes(np.asarray(image), 16)) if image.mode.startswith("I") else image
        converted, remark = to_srgb(eight, profile)
        return whole(converted, *seen_through(image), *((remark,) if remark else ()))


def _codestream(data: bytes) -> Codestream:
    whole_stream = memoryview(data)
    if not data.startswith(CODESTREAM):
        inside = (content for name, content in outer_boxes(data) if name == b"jp2c")
        whole_stream = next(inside, whole_stream[:0])
    siz = bytes(whole_stream[:MOST_OF_SIZ])
    if not siz.startswith(CODESTREAM) or len(siz) < MOST_OF_SIZ:
        raise ImageError(
            f"Damaged image: {len(data)} bytes that begin as a JPEG 2000 and have no image. Expected a whole file; "
            "copy it again from the original."
        )
    right, bottom, left, top = struct.unpack_from(">4I", siz, 8)
    count = struct.unpack_from(">H", siz, 40)[0]
    if not 1 <= count <= COMPONENTS:
        raise ImageError(
            f"A JPEG 2000 of a kind that cannot be read ({count} components); expected 1 to {COMPONENTS}. Save it as "
            "JPEG or PNG."
        )
    parts = [siz[at : at + 3] for at in range(42, 42 + 3 * count, 3)]
    bits = tuple((part[0] & 0x7F) + 1 for part in parts)
    is_plain = len(set(parts)) == 1 and parts[0][1:] == b"\1\1" and not parts[0][0] & 0x80
    if max(bits) > 16:
        raise ImageError(
            f"A JPEG 2000 of a kind that cannot be read ({max(bits)} bits per sample); expected 1 to 16. Save it as "
            "JPEG or PNG."
        )
    return Codestream(max(0, right - left), max(0, bottom - top), bits, is_plain)


def _two_sizes() -> ImageError:
    return ImageError(
        "Damaged image: a JPEG 2000 whose header and data state different sizes. Expected the same; export it again."
    )
