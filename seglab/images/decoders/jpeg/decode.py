"""JPEG: baseline, progressive and lossless, of every sampling and precision that libjpeg-turbo decodes.

The package's own parser of the header (``header.py``) decides how a file is decoded; decoders never get data that they
could read beyond.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from seglab.images.decoders.base import Decoded, Request
from seglab.images.decoders.jpeg.header import (
    Frame,
    Header,
    damaged,
    exif_of,
    is_adobe,
    is_jfif,
    profile_of,
    read_header,
)
from seglab.images.decoders.jpeg.pixels import OtherKindError, Samples, Wanted, lenient, settled, strict
from seglab.images.decoders.jpeg.scans import Parts, missing_passes, split
from seglab.images.pixels.colour import to_srgb
from seglab.images.pixels.orientation import UPRIGHT, orientation_of, swaps_sides, upright, upright_image
from seglab.images.pixels.samples import to_bytes

Remarks = tuple[str, ...]
DCT_FACTORS = (8, 4, 2)
"""Reductions that libjpeg-turbo decodes with SIMD; those between (7/8, 6/8, ...) take longer than none at all."""
BROKEN_PROFILE = "its colour profile is damaged; colours are taken as sRGB"
MISSING_PASSES = "it lacks the last passes of a progressive JPEG; fine detail may be missing"


def decode(data: bytes, request: Request, *, is_upright: bool = False) -> Decoded:
    """Decode a JPEG. ``is_upright``: ignore its EXIF and colour profile, because the file that embeds it states
    orientation and colours.
    """
    header = read_header(data)
    _require_size(data, header.frame, request)
    orientation, profile, is_broken = UPRIGHT, None, False
    if not is_upright:
        orientation = orientation_of(exif_of(data, header))
        profile, is_broken = profile_of(data, header)
    (height, width), samples, remarks = _samples(data, header, request, "Gray" if profile else "RGB")
    if is_broken:
        remarks = (*remarks, BROKEN_PROFILE)
    size = (width, height) if swaps_sides(orientation) else (height, width)
    if profile is None and samples.ndim == 3 and samples.shape[2] == 3:
        return Decoded(upright(samples, orientation), size, remarks)
    converted, remark = to_srgb(_image(samples), profile)
    return Decoded(upright_image(converted, orientation), size, (*remarks, *((remark,) if remark else ())))


def _require_size(data: bytes, frame: Frame, request: Request) -> None:
    """Refuse an image that is too large, or has too few bytes for its size, before anything is allocated."""
    request.require_size(frame.width, frame.height)
    if 8 * len(data) < frame.fewest_bits:
        raise damaged(f"{len(data)} bytes cannot hold its {frame.width} x {frame.height} pixels")


def _samples(data: bytes, header: Header, request: Request, grey: str) -> tuple[tuple[int, int], Samples, Remarks]:
    """Return the whole image's ``(H, W)``, samples and remarks. ``grey``: what a grey image becomes, Gray or RGB."""
    parts = None if header.is_one_scan and header.frame.height else _parts(data, header, request)
    if header.frame.is_lossless or header.frame.bits != 8:
        return _unusual(data, header, parts or _parts(data, header, request))
    frame = parts.frame if parts else header.frame
    wanted = Wanted(
        _factor(frame, request), {1: grey, 3: "RGB", 4: "CMYK"}[len(frame.components)], bool(request.at_least)
    )
    try:
        if not header.stray and header.frame.height:
            try:
                samples = strict(data, frame, wanted)
                return (frame.height, frame.width), samples, parts.remarks if parts else ()
            except ValueError:
                pass  # It is damaged, or untidy.
        parts = parts or _parts(data, header, request)
        samples, left = settled(parts, wanted)
    except OtherKindError:
        return _unusual(data, header, parts or _parts(data, header, request))
    remarks = (f"{left} surplus bytes after its samples; check that it looks complete",) if left else ()
    return (frame.height, frame.width), samples, (*parts.remarks, *remarks)


def _parts(data: bytes, header: Header, request: Request) -> Parts:
    """Return the parts of a JPEG. Raises :class:`ImageError` where some are missing."""
    parts = split(data, header)
    _require_size(data, parts.frame, request)
    if not parts.frame.height:
        raise damaged("its height is missing")
    if not missing_passes(parts):
        return parts
    if not parts.has_end:
        raise damaged("its last passes are missing")
    return replace(parts, remarks=(*parts.remarks, MISSING_PASSES))


def _unusual(data: bytes, header: Header, parts: Parts) -> tuple[tuple[int, int], Samples, Remarks]:
    """Decode a complete file that only a lenient decoder reads."""
    is_ycbcr = parts.frame.is_lossless and _has_luminance(data, header)
    samples = to_bytes(lenient(parts, "YCBCR" if is_ycbcr else None), parts.frame.bits)
    if is_ycbcr:
        samples = np.array(Image.fromarray(samples, "YCbCr").convert("RGB"))
    return (parts.frame.height, parts.frame.width), samples, parts.remarks


def _has_luminance(data: bytes, header: Header) -> bool:
    """Return whether the three components of a lossless file are Y, Cb and Cr; by default they are R, G and B."""
    if len(header.frame.components) != 3:
        return False
    if any(is_jfif(data, segment) for segment in header.segments):
        return True
    return any(data[segment.start + 11] == 1 for segment in header.segments if is_adobe(data, segment))


def _factor(frame: Frame, request: Request) -> int:
    shorter, least = min(frame.height, frame.width), request.at_least
    return next((factor for factor in DCT_FACTORS if least and shorter >= factor * least), 1)


def _image(samples: Samples) -> Image.Image:
    """Return samples as Pillow takes them. CMYK is stored inverted (Adobe's way, which everybody follows)."""
    if samples.ndim == 3 and samples.shape[2] == 4:
        return Image.fromarray(np.invert(samples), "CMYK")
    return Image.fromarray(samples[..., 0] if samples.ndim == 3 and samples.shape[2] == 1 else samples)
