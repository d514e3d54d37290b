"""16-bit samples of a PNG, by libpng through imagecodecs.

libpng would print warnings on the terminal, so checksums are compared before, and each pass of an interlaced image is
decoded as an image of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from seglab.errors import ImageError
from seglab.images.decoders.png.chunks import AGAIN, CHANNELS, Chunks, Header, as_file

PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Passes of Adam7: first row, first column, row step, column step."""
PART = 1 << 20
"""Bytes that are decompressed at a time to be checked."""


def deep_samples(chunks: Chunks) -> NDArray[np.uint16]:
    """Return uint16 ``(H, W, C)`` with 1 to 4 channels, alpha last. Raises :class:`ImageError` for damaged files."""
    header = chunks.header
    if not header.is_interlaced:
        for _ in _unpacked(chunks):
            pass
        return _decoded(chunks.essential(), header)
    content = b"".join(_unpacked(chunks))
    samples = np.empty((header.height, header.width, CHANNELS[header.colour_type]), np.uint16)
    at = 0
    for top, left, down, across in PASSES:
        part = samples[top::down, left::across]
        if part.size:
            height, width = part.shape[:2]
            size = height * (1 + 2 * width * part.shape[2])
            smaller = header.of_size(width, height)
            packed = zlib_ng.compress(content[at : at + size], 0)
            part[...] = _decoded(as_file(smaller, [packed]), smaller)
            at += size
    return samples


def _decoded(data: bytes, header: Header) -> NDArray[np.uint16]:
    import imagecodecs

    try:
        samples = np.asarray(imagecodecs.png_decode(data), np.uint16)
    except imagecodecs.PngError as error:
        raise ImageError(f"Damaged image: a PNG; {error}. {AGAIN}") from error
    return samples.reshape(header.height, header.width, -1)


def _unpacked(chunks: Chunks) -> Iterator[bytes]:
    """Yield the decompressed pixels, at most as many as an image of this size has.

    Raises :class:`ImageError` where the checksum is wrong, or the pixels are cut off.
    """
    unpacking = zlib_ng.decompressobj()
    header = chunks.header
    left = (2 * CHANNELS[header.colour_type] * header.width + 8) * (header.height + 8) * 2
    try:
        for part in chunks.pixels:
            given: bytes | memoryview = part
            while given and left > 0 and not unpacking.eof:
                found = unpacking.decompress(given, PART)
                left -= len(found)
                yield found
                given = unpacking.unconsumed_tail
    except zlib_ng.error as error:  # type: ignore[misc]  # its stub gives no class
        raise ImageError(f"Damaged image: a PNG; {error}. {AGAIN}") from error
    if not unpacking.eof and left > 0:
        raise ImageError(f"Damaged image: a PNG; its pixels break off. {AGAIN}")
