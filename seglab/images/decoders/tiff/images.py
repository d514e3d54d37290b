"""Strips and tiles of a TIFF that are compressed as images: JPEG, JPEG 2000, WebP, PNG, LERC and JPEG XL."""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from seglab.errors import ImageError
from seglab.images.decoders.jpeg.header import APP0, APP14, FRAMES, SOS, Segment, segments_of
from seglab.images.decoders.tiff.directory import Directory, damaged, unsupported
from seglab.images.decoders.tiff.plan import JPEGS, OLD_JPEG, RGB, YCBCR, Plan

Samples = NDArray[Any]
CODECS = {
    33003: "jpeg2k", 33004: "jpeg2k", 33005: "jpeg2k", 34712: "jpeg2k", 34887: "lerc", 34927: "webp",
    34933: "png", 50001: "webp", 50002: "jpegxl", 52546: "jpegxl",
}  # fmt: skip
IMAGE_CODECS = JPEGS | {OLD_JPEG} | frozenset(CODECS)
JPEG_TABLES = 347
OLD_JPEG_AT, OLD_JPEG_BYTES = 513, 514
LERC_PARAMETERS = 50674
JPEG_2000 = b"\xff\x4f\xff\x51"
SOI, EOI = b"\xff\xd8", b"\xff\xd9"
BASELINE_LIKE = frozenset({0xC0, 0xC1, 0xC2})
ADOBE = b"\xff\xee\0\x0eAdobe\0d\0\0\0\0"
"""An Adobe marker without its last byte, which gives the colour transform: 0 for none, 1 for YCbCr."""
BLOCK = 16
"""Rows and columns that an encoder may have added as padding."""
HARMLESS_WARNINGS = re.compile(r"extraneous bytes before marker|Invalid SOS parameters|Unknown Adobe color transform")
MODES = {1: "GRAY", 3: "RGB", 4: "CMYK"}


def decode_image(data: bytes, page: Directory, plan: Plan, rows: int) -> Samples:
    """Decode a strip or tile compressed as an image: ``(>= rows, >= columns, C)``, smaller only at the page's edges."""
    if plan.compression in JPEGS:
        return _jpeg(data, page, plan, rows)
    if plan.compression == OLD_JPEG:
        return _old_jpeg(page, plan, rows)
    samples = _coded(data, page, plan, rows)
    return samples[..., None] if samples.ndim == 2 else samples


def _coded(data: bytes, page: Directory, plan: Plan, rows: int) -> Samples:
    name = CODECS[plan.compression]
    codec, options = getattr(imagecodecs, f"{name}_decode"), dict[str, Any]()
    if name == "webp":
        options["hasalpha"] = plan.in_segment == 4
    elif name == "jpeg2k":
        _require_place(data, plan, rows)
    elif name == "lerc":
        data = _unwrapped(data, page, plan)
    for shape in dict.fromkeys([(rows, plan.columns), (min(rows, plan.height), min(plan.columns, plan.width))]):
        out = np.empty(shape if plan.in_segment == 1 else (*shape, plan.in_segment), plan.dtype)
        try:
            return np.asarray(codec(data, out=out, **options))
        except ValueError as error:  # not of this shape
            refused = error
    raise refused


def _require_place(data: bytes, plan: Plan, rows: int) -> None:
    """Raise :class:`ImageError` for a JPEG 2000 larger than its tile, because the codec would decode all of it."""
    at = data.find(JPEG_2000)
    width, height, left, top = struct.unpack_from(">4I", data, at + 8) if 0 <= at <= len(data) - 24 else (0, 0, 0, 0)
    if not (0 < width - left <= plan.columns and 0 < height - top <= rows):
        raise damaged(f"a JPEG 2000 of {width - left} x {height - top} in a tile of {plan.columns} x {rows}")


def _unwrapped(data: bytes, page: Directory, plan: Plan) -> bytes:
    """Return LERC data without the second compression (deflate or Zstandard) that it may have."""
    around = (*page.whole_numbers(LERC_PARAMETERS, 2), 0, 0)[1]
    most = 2 * plan.rows * plan.row_bytes + 4096
    if around == 1:
        return zlib.decompressobj().decompress(data, most)
    return bytes(imagecodecs.zstd_decode(data, out=most)) if around == 2 else data


def _jpeg(data: bytes, page: Directory, plan: Plan, rows: int) -> Samples:
    tables = page.raw(JPEG_TABLES)
    stream = tables.removesuffix(EOI) + data[2:] if tables.startswith(SOI) and data.startswith(SOI) else data
    parts = list(_parts(stream))
    frame = next((part for part in parts if part.marker in FRAMES), None)
    if frame is None or frame.end - frame.start < 6:
        raise damaged("a strip or tile is not a JPEG")
    bits, height, width, channels = struct.unpack_from(">BHHB", stream, frame.start)
    if channels != plan.in_segment or height > rows + BLOCK or width > plan.columns + BLOCK:
        raise damaged(
            f"a JPEG of {width} x {height} x {channels} in a strip or tile of {plan.columns} x {rows} x "
            f"{plan.in_segment}"
        )
    if bits != 8 or frame.marker not in BASELINE_LIKE or channels not in MODES:
        return _unusual_jpeg(stream, plan, rows)
    samples = _strictly_decoded(_marked(stream, parts, plan), MODES[channels])
    return samples if samples.ndim == 3 else samples[..., None]


def _old_jpeg(page: Directory, plan: Plan, rows: int) -> Samples:
    """Decode old-style JPEG (TIFF 6.0, section 22) if the file holds one whole JPEG, which is nearly always so."""
    at, count = page.number(OLD_JPEG_AT, 0), page.number(OLD_JPEG_BYTES, 0)
    stream = page.data[at : at + count] if at > 0 and count > 0 else b""
    is_whole = stream.startswith(SOI) and any(part.marker == SOS for part in _parts(stream))
    if plan.segments != 1 or not is_whole:
        raise unsupported("old-style JPEG in several parts")
    return _jpeg(stream, page, plan, rows)


def _unusual_jpeg(stream: bytes, plan: Plan, rows: int) -> Samples:
    """Decode a JPEG of 12 or 16 bits, or a lossless one, without a colour conversion."""
    if plan.photometric == YCBCR:
        raise unsupported(f"YCbCr JPEG of {plan.bits} bits")
    samples = np.asarray(imagecodecs.jpeg_decode(stream, colorspace=0, outcolorspace=0, bitspersample=plan.bits))
    return (samples if samples.ndim == 3 else samples[..., None]).astype(plan.dtype)


def _parts(stream: bytes) -> Iterator[Segment]:
    """Yield the complete segments of a JPEG up to that of its first scan."""
    with contextlib.suppress(ImageError):
        yield from segments_of(stream)


def _marked(stream: bytes, parts: list[Segment], plan: Plan) -> bytes:
    """Return a JPEG with an end marker, and with a colour transform that follows the TIFF's tags."""
    is_ycbcr = plan.photometric == YCBCR or (plan.photometric == RGB and _calls_itself_ycbcr(stream, parts))
    kept = [stream[part.start - 4 : part.end] for part in parts if part.marker not in (APP0, APP14, SOS)]
    rest = next((stream[part.start - 4 :] for part in parts if part.marker == SOS), b"")
    end = b"" if rest.rstrip(b"\0\xff").endswith(EOI) or rest.endswith(EOI) else EOI
    return SOI + ADOBE + bytes([is_ycbcr]) + b"".join(kept) + rest + end


def _calls_itself_ycbcr(stream: bytes, parts: list[Segment]) -> bool:
    for part in parts:
        content = stream[part.start : part.end]
        if part.marker == APP0 and content.startswith(b"JFIF"):
            return True
        if part.marker == APP14 and content.startswith(b"Adobe") and len(content) >= 12:
            return content[11] == 1
    return False


def _strictly_decoded(stream: bytes, mode: str) -> NDArray[np.uint8]:
    """Decode to ``mode``. Any warning other than the harmless ones is an error, because it means lost image data."""
    try:
        return np.asarray(simplejpeg.decode_jpeg(stream, mode))
    except ValueError as error:
        if not HARMLESS_WARNINGS.search(str(error)):
            raise
        return np.asarray(simplejpeg.decode_jpeg(stream, mode, strict=False))
