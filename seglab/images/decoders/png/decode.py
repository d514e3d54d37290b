"""PNG and APNG: pixels by Pillow (16 bits: libpng), colours and orientation by the chunks."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from seglab.errors import ImageError
from seglab.images.decoders.base import Decoded, Request, whole
from seglab.images.decoders.png.chunks import Chunks, read_chunks, read_header
from seglab.images.decoders.png.deep import deep_samples
from seglab.images.pixels.colour import LARGEST_PROFILE, UNUSABLE, coded_profile, deep_to_srgb, space_profile, to_srgb
from seglab.images.pixels.icc import ColourSpace
from seglab.images.pixels.orientation import UPRIGHT, orientation_of, upright, upright_image
from seglab.images.pixels.samples import from_sixteen, to_bytes

GAMMA_OF_SRGB = 0.45455
GAMMA_TOLERANCE = 0.05
"""Gammas within this ratio of sRGB's count as sRGB's curve, like in libpng."""
SAME_POINT = 0.002
"""Chromaticities within this distance of sRGB's count as sRGB's."""
GAMMAS = (0.05, 20.0)
NO_SENSE = "its {} chunk is invalid and was ignored"


def decode(data: bytes, request: Request, *, is_upright: bool = False) -> Decoded:
    """Decode a PNG. ``is_upright``: ignore its EXIF, because the file that embeds it states the orientation."""
    header = read_header(data)
    request.require_size(header.width, header.height)
    chunks = read_chunks(data, header)
    profile, remarks = _profile(chunks)
    remarks = (*chunks.remarks, *_frames(chunks), *remarks)
    orientation = UPRIGHT if is_upright else orientation_of(chunks.said.get(b"eXIf"))
    if header.depth == 16:
        samples, more = _deep(chunks, profile)
        return whole(upright(samples, orientation), *remarks, *more)
    with PngImagePlugin.PngImageFile(io.BytesIO(chunks.essential())) as image:
        image.load()
        remarks += seen_through(image)
        converted, remark = to_srgb(image, profile)
    return whole(upright_image(converted, orientation), *remarks, *((remark,) if remark else ()))


def seen_through(image: Image.Image) -> tuple[str, ...]:
    """Return the remark for a completely transparent image, whose alpha is dropped like any other."""
    if image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() == (0, 0):
        return (NOTHING_SEEN,)
    return ()


NOTHING_SEEN = "every pixel is transparent; read by the colours below"


def _deep(chunks: Chunks, profile: bytes | None) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Decode 16 bits to uint8 ``(H, W, 3)``."""
    samples = deep_samples(chunks)
    remarks: tuple[str, ...] = ()
    if samples.shape[2] in (2, 4):
        remarks = () if samples[..., -1].any() else (NOTHING_SEEN,)
        samples = samples[..., :-1]  # (H, W, 1 or 3)
    if samples.shape[2] == 1:
        samples = samples[..., 0]  # (H, W)
    bits, said = _range(samples, chunks.said.get(b"sBIT"))
    if profile is not None:
        converted, more = deep_to_srgb((samples << (16 - bits)).astype(np.uint16), profile)
        return converted, (*remarks, *said, *more)
    pixels = to_bytes(samples, bits)
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)  # (H, W, 3)
    return np.ascontiguousarray(colours), (*remarks, *said)


def _range(samples: NDArray[np.uint16], significant: bytes | None) -> tuple[int, tuple[str, ...]]:
    """Return the bits in use of 16-bit samples: 16 by the standard, or fewer where a writer did not scale them.

    If sBIT says 16, they are 16, however dark the image is.
    """
    said = max(significant[:3]) if significant else 0
    highest = int(samples.max())
    if said == 16 or highest == 0:
        return 16, ()
    if 8 < said < 16:
        if highest < 2**said:
            return said, (f"all samples lie below {2**said} of 65536; read as {said} bits",)
        return 16, ()
    _, remarks = from_sixteen(samples)
    return (12, remarks) if remarks else (16, ())


def _frames(chunks: Chunks) -> tuple[str, ...]:
    said = chunks.said.get(b"acTL")
    count = struct.unpack_from(">I", said)[0] if said and len(said) >= 4 else 1
    if b"acTL" not in chunks.said or (count <= 1 and b"fcTL" in chunks.said):
        return ()
    if b"fcTL" not in chunks.said:
        return (f"its still image; the animation of {count} frames is left out",)
    return (f"the first of {count} frames",)


def _profile(chunks: Chunks) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the ICC profile of the pixels, None for sRGB, and remarks.

    The first chunk of cICP, iCCP, sRGB, and gAMA with cHRM decides.
    """
    said = chunks.said
    if (code := said.get(b"cICP")) is not None and len(code) == 4:
        return _coded(*code)
    if (packed := said.get(b"iCCP")) is not None:
        profile = _unpacked(packed)
        return profile, () if profile else (UNUSABLE,)
    if b"sRGB" in said:
        return None, ()
    return _measured(said.get(b"gAMA"), said.get(b"cHRM"))


def _coded(primaries: int, transfer: int, matrix: int, full_range: int) -> tuple[bytes | None, tuple[str, ...]]:
    if matrix != 0 or full_range != 1:
        raise ImageError(
            "A PNG of a kind that cannot be read (cICP: samples of video, not full-range RGB); expected RGB. Save it "
            "again as an ordinary PNG."
        )
    profile, remark = coded_profile(primaries, transfer, "a PNG")
    return profile, (remark,) if remark else ()


def _unpacked(packed: bytes) -> bytes | None:
    name, _, rest = packed.partition(b"\0")
    if not 1 <= len(name) <= 79 or rest[:1] != b"\0":
        return None
    try:
        unpacking = zlib.decompressobj()
        profile = unpacking.decompress(rest[1:], LARGEST_PROFILE)
    except zlib.error:
        return None
    return profile if profile and unpacking.eof else None


def _measured(gamma: bytes | None, points: bytes | None) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the profile for a gamma and chromaticities. Either may be absent or invalid."""
    exponent, remarks = _exponent(gamma)
    space = ColourSpace(gamma=exponent)
    if points is not None and not _is_srgb(points):
        try:
            named = _space(points, exponent)
            name = _name(gamma if exponent else None, "its own primaries")
            return space_profile(named, name), remarks
        except (ValueError, struct.error, np.linalg.LinAlgError):
            remarks = (*remarks, NO_SENSE.format("cHRM"))
    if exponent is None or abs(exponent * GAMMA_OF_SRGB - 1) <= GAMMA_TOLERANCE:
        return None, remarks
    return space_profile(space, _name(gamma, "")), remarks


def _exponent(gamma: bytes | None) -> tuple[float | None, tuple[str, ...]]:
    if gamma is None:
        return None, ()
    value = int.from_bytes(gamma, "big") / 100000 if len(gamma) == 4 else 0.0
    if not GAMMAS[0] <= value <= GAMMAS[1]:
        return None, (NO_SENSE.format("gAMA"),)
    return 1 / value, ()


def _name(gamma: bytes | None, more: str) -> str:
    number = f"gamma {int.from_bytes(gamma, 'big') / 100000:g}" if gamma else ""
    return " and ".join(part for part in (number, more) if part)


def _chromaticities(points: bytes) -> list[float]:
    return [value / 100000 for value in struct.unpack(">8I", points)]


def _is_srgb(points: bytes) -> bool:
    srgb = ColourSpace()
    known = [*srgb.white, *(value for point in srgb.primaries for value in point)]
    return len(points) == 32 and all(
        abs(value - wanted) <= SAME_POINT for value, wanted in zip(_chromaticities(points), known, strict=True)
    )


def _space(points: bytes, exponent: float | None) -> ColourSpace:
    values = _chromaticities(points)
    white, red, green, blue = ((values[place], values[place + 1]) for place in (0, 2, 4, 6))
    return ColourSpace(white, (red, green, blue), exponent)
