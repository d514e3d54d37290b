"""Detection of incomplete copies. Some tools reserve a file's size first and fill it later, so its end is zeros.

Decoders accept zeros as pixels (BMP, raw TIFF, raw DICOM) or as codes (WebP, LZW). Files of photographs with black rows
at the end also end in zeros. So a file is refused only for signs that no complete file has:

- raw rows that break off sharply inside a row that resembles the row before it, followed by zeros only;
- compressed TIFF strips that end in many zeros;
- AVIF, HEIC and JPEG 2000 files that end in many zeros, because their codes do not;
- WebP files whose last zeros the decoder does not need (those of a black image are needed).

A break exactly between two rows, or in a black area, cannot be distinguished from a black border.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seglab.errors import ImageError

LEAST = 128
"""Least number of zeros at the end of a file that is checked."""
MOST_IN_STRIP = 130
"""Least number of zeros at the end of an incomplete TIFF strip: PackBits may have 128; LZW, deflate end in a code."""
SUPERFLUOUS = 64
"""Last bytes without which a WebP is decoded as a test; encoders write only few unneeded bytes."""
BRIGHT = 32
"""Samples above this are not black; the noise of a black border is below."""
FEWEST_BRIGHT = 8
"""Samples on either side of the break."""
LEAST_FOLLOWING = 0.75
"""Share of the bright samples up to the break that are also bright in the row that breaks off, at least."""
MOST_ELSEWHERE = 0.1
"""Share, of the samples lost after the break, that may be lost elsewhere: before it, and in the row before."""
ROWS = 2
"""Least number of whole rows of zeros after the break."""
IMAGE_CHUNKS = (b"VP8 ", b"VP8L")


class RawRows(NamedTuple):
    """Uncompressed rows: offset of the first, bytes from one to the next, and bytes per sample (1 or 2)."""

    offset: int
    stride: int
    sample: int = 1


def require_end(data: bytes, marker: bytes = b"") -> None:
    """Raise :class:`ImageError` for a file that ends in zeros, of a kind whose data do not.

    ``marker``: the bytes with which such data end; zeros after it are accepted.
    """
    if data[-LEAST:].count(0) >= LEAST and not (marker and data.rstrip(b"\0").endswith(marker)):
        raise _incomplete(data)


def require_rows(data: bytes, rows: RawRows) -> None:
    """Raise :class:`ImageError` for raw rows that break off inside a row."""
    if rows.stride < rows.sample or data[-LEAST:].count(0) < LEAST:
        return
    end = len(data.rstrip(b"\0"))
    row = (end - rows.offset) // rows.stride
    start = rows.offset + row * rows.stride
    if row < 2 or len(data) < start + (1 + ROWS) * rows.stride:
        return
    last = np.frombuffer(data, np.uint8, 3 * rows.stride, start - 2 * rows.stride).reshape(3, rows.stride)
    samples = last[:, : rows.stride // 2 * 2].view(np.uint16) if rows.sample == 2 else last
    if _breaks_off(samples, -(-(end - start) // rows.sample)):
        raise _incomplete(data)


def require_strips(data: bytes, places: Iterable[tuple[int, int]]) -> None:
    """Raise :class:`ImageError` for compressed strips or tiles, given as offset and length, that end in many zeros."""
    if data[-LEAST:].count(0) < LEAST:
        return
    end = len(data.rstrip(b"\0"))
    for offset, count in places:
        zeros = min(offset + count, len(data)) - max(end, offset)
        if zeros > MOST_IN_STRIP or zeros == count > 2:
            raise _incomplete(data)


def _breaks_off(rows: NDArray[np.uint8] | NDArray[np.uint16], at: int) -> bool:
    """Return whether the last of three rows resembles the one before it up to ``at`` and is zero after it.

    The lower edge of a slanting or round border is similar, but there the row before has also lost samples.
    """
    bright = rows > BRIGHT
    broken = bright[:-1] & (rows[1:] == 0)  # (2, stride)
    before, behind = int(bright[1, :at].sum()), int(broken[1, at:].sum())
    followed = int((bright[1, :at] & bright[2, :at]).sum())
    elsewhere = int(broken[0].sum() + broken[1, :at].sum())
    return (
        min(before, behind) >= FEWEST_BRIGHT
        and followed >= LEAST_FOLLOWING * before
        and elsewhere <= MOST_ELSEWHERE * behind
    )


def require_whole_webp(data: bytes) -> None:
    """Raise :class:`ImageError` for a WebP whose end is missing."""
    if data[-LEAST:].count(0) < LEAST:
        return
    chunk = None
    whole = min(len(data), 8 + struct.unpack_from("<I", data, 4)[0])
    at = 12
    while at + 8 <= whole:
        name, size = struct.unpack_from("<4sI", data, at)
        if name == bytes(4):
            raise _incomplete(data)  # a missing chunk
        if name in IMAGE_CHUNKS:
            chunk = (name, data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    if chunk is not None and chunk[1][-LEAST:].count(0) >= LEAST and _is_decoded_without_end(*chunk):
        raise _incomplete(data)


def _is_decoded_without_end(name: bytes, content: bytes) -> bool:
    """Return whether an image is decoded the same without its last zeros."""
    content = content[: (len(content) - SUPERFLUOUS) // 2 * 2]
    shorter = struct.pack("<4sI4s4sI", b"RIFF", 12 + len(content), b"WEBP", name, len(content)) + content
    from PIL import WebPImagePlugin

    try:
        with WebPImagePlugin.WebPImageFile(io.BytesIO(shorter)) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, EOFError):
        return False
    return True


def _incomplete(data: bytes) -> ImageError:
    zeros = len(data) - len(data.rstrip(b"\0"))
    return ImageError(
        f"The last {zeros} of {len(data)} bytes are zeros instead of image data; expected a whole file. Its copy may "
        "be in progress or incomplete: run again when it is complete."
    )
