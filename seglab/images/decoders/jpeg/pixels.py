"""JPEG to samples: by simplejpeg, which reports missing data, and by imagecodecs, which reads more kinds."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from seglab.errors import ImageError
from seglab.images.decoders.jpeg.header import Frame, damaged
from seglab.images.decoders.jpeg.scans import Parts

Samples = NDArray[np.uint8]
"""uint8 ``(H, W)`` or ``(H, W, C)``: grey, RGB, or CMYK as stored."""
EXTRANEOUS = re.compile(r"extraneous bytes before marker 0x(?!d[0-7])")
"""Bytes after the samples of a scan. Before a restart marker (0xd0 to 0xd7) they mean damaged samples."""
LEFT_AT_END = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
MOST_TRIES = 8
MOST_BETWEEN_SCANS = 16
"""If more bytes than this are left over in a scan that is not the last, its samples were misread."""
OTHER_KIND = re.compile(
    r"Could not determine subsampling|Unsupported (?!marker)|not implemented|not supported", re.IGNORECASE
)
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
FILLING = b"\xa5\x5a" * 16
"""Begins with a 1 bit, because decoders fill in zeros for missing samples."""


class OtherKindError(Exception):
    """A JPEG of a kind that simplejpeg does not decode; it is not necessarily damaged."""


class Wanted(NamedTuple):
    """The wanted output. ``factor``: the sides are divided by it. ``colours``: ``Gray``, ``RGB`` or ``CMYK``.
    ``is_quick``: upsample chroma without smoothing.
    """

    factor: int
    colours: str
    is_quick: bool


def strict(data: bytes, frame: Frame, wanted: Wanted) -> Samples:
    """Decode a DCT-coded file of 8 bits.

    Raises :class:`ValueError` for every warning of libjpeg-turbo, :class:`OtherKindError` for other kinds.
    """
    height, width = -(-frame.height // wanted.factor), -(-frame.width // wanted.factor)
    scale: dict[str, Any] = {}
    if wanted.factor > 1:
        scale = {"min_height": height, "min_width": width, "min_factor": wanted.factor}
    try:
        samples = simplejpeg.decode_jpeg(data, wanted.colours, fastupsample=wanted.is_quick, **scale)
    except ValueError as error:
        if OTHER_KIND.search(str(error)):
            raise OtherKindError(str(error)) from error
        raise
    if samples.shape[:2] != (height, width):
        raise damaged("its header (SOF) contradicts itself")
    return np.asarray(samples, np.uint8)


def settled(parts: Parts, wanted: Wanted) -> tuple[Samples, int]:
    """Decode such a file without surplus bytes after the samples of its scans. Return the samples and their number.

    Raises :class:`ImageError` if samples are missing, :class:`OtherKindError` for other kinds.
    """

    def decode(some: Parts) -> Samples:
        return strict(some.joined(), parts.frame, wanted)

    left = 0
    try:
        return decode(parts), 0
    except ValueError as error:
        if not EXTRANEOUS.search(str(error)):
            raise damaged(str(error)) from error
    for number in range(len(parts.scans)):
        for _ in range(MOST_TRIES):
            count = _left_over(parts.first(number + 1), decode)
            if not count:
                break
            left += count
            if left > MOST_BETWEEN_SCANS and number + 1 < len(parts.scans):
                raise damaged(f"one of its scans has {left} surplus bytes")
            parts = parts.with_body(number, parts.scans[number].body[:-count])
        else:
            raise damaged(f"it has more than {left} surplus bytes")
    if not parts.has_end:
        raise damaged(f"it has {left} surplus bytes at its end")
    return decode(parts), left


def _left_over(parts: Parts, decode: Callable[[Parts], Samples]) -> int:
    """Return how many bytes after the last scan's samples were skipped; libjpeg does not count those it read ahead."""
    try:
        decode(parts)
    except ValueError as error:
        found = LEFT_AT_END.search(str(error))
        if found is None:
            raise damaged(str(error)) from error
        return int(found[1])
    return 0


def lenient(parts: Parts, colours: str | None) -> NDArray[np.generic]:
    """Decode a file of any kind: unsigned ``(H, W)`` or ``(H, W, C)`` of the frame's bits.

    libjpeg-turbo silently fills in zeros for missing samples. To detect this, the file is decoded again with other bits
    after each scan, and the result must be the same. ``colours``: the colours of a lossless file, if not RGB.
    """
    samples = _decoded(parts.joined(), colours)
    if samples.shape[:2] != (parts.frame.height, parts.frame.width):
        raise damaged("its header (SOF) contradicts itself")
    if parts.frame.is_arithmetic:
        return samples
    _require_all(parts.whole_blocks(), colours)
    return samples


def _require_all(parts: Parts, colours: str | None) -> None:
    digest = _digest(_decoded(parts.joined(), colours))
    filled = replace(parts, scans=tuple(scan._replace(body=_filled(scan.body)) for scan in parts.scans))
    if _digest(_decoded(filled.joined(), colours)) != digest:
        raise damaged("it breaks off before its last pixels")
    if not parts.has_end and _digest(_decoded(_with_other_end(parts).joined(), colours)) == digest:
        raise damaged("it has surplus bytes at its end")


def _digest(samples: NDArray[np.generic]) -> int:
    return zlib.crc32(np.ascontiguousarray(samples).data)


def _filled(body: bytes) -> bytes:
    """Return coded samples with filling before each restart marker and at the end, and one more such marker."""
    following = bytes([0xFF, 0xD0 + len(RESTART.findall(body)) % 8])
    return RESTART.sub(lambda found: FILLING + found[0], body) + FILLING + following + FILLING


def _with_other_end(parts: Parts) -> Parts:
    """Return the parts with another last byte, which changes the pixels unless surplus bytes follow the samples."""
    body = parts.scans[-1].body
    if not body:
        return parts
    end = bytes([body[-1] ^ 0xFF]) if not body.endswith(b"\xff\0") else b""
    return parts.with_body(len(parts.scans) - 1, body[: -2 if not end else -1] + end.replace(b"\xff", b"\xff\0"))


def _decoded(data: bytes, colours: str | None) -> NDArray[np.generic]:
    from imagecodecs import jpeg8_decode

    try:
        return np.asarray(jpeg8_decode(data, colorspace=colours, outcolorspace=colours))
    except (RuntimeError, ValueError) as error:
        if OTHER_KIND.search(str(error)):
            raise ImageError(
                f"A JPEG of an unusual kind ({error}); expected a baseline, progressive or lossless one. Save it again."
            ) from error
        raise damaged(str(error)) from error
