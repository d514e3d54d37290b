"""Write masks as PNG without a PNG library, as a mask needs only a small part of PNG.

zlib-ng's run-length strategy is several times as fast as OpenCV and Pillow, and makes smaller files of masks:
``benchmarks/test_mask_writing.py`` times the three.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from seglab.images.masks import read_labels, read_mask

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY = 0
DEFLATE_LEVEL = 1
HEADER = len(SIGNATURE) + 25
"""Bytes up to the end of the chunk IHDR, which comes first."""


def encode_mask(mask: NDArray[np.uint8], bits: int = 8) -> bytes:
    """Encode uint8 ``(H, W)``, 0 or 255, as a greyscale PNG of 8 or 1 bits per pixel.

    Label maps, with any values, need 8 bits.
    """
    height, width = mask.shape
    samples = np.packbits(mask, axis=1) if bits == 1 else mask  # (H, bytes in a row)
    rows = np.zeros((height, samples.shape[1] + 1), np.uint8)  # the first byte of a row is its filter: none
    rows[:, 1:] = samples
    how = (zlib_ng.DEFLATED, zlib_ng.MAX_WBITS, zlib_ng.DEF_MEM_LEVEL, zlib_ng.Z_RLE)
    deflate = zlib_ng.compressobj(DEFLATE_LEVEL, *how)
    header = struct.pack(">IIBBBBB", width, height, bits, GREY, 0, 0, 0)
    data = deflate.compress(rows.data) + deflate.flush()
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def decode_mask(data: bytes, classes: int = 1) -> NDArray[np.uint8]:
    """Return the mask in a file's bytes: uint8 ``(H, W)``, 0 or 255, or class numbers if there are several ``classes``.

    Raises :class:`seglab.errors.ImageError` if the file is not such a mask.
    """
    return read_mask(data) if classes == 1 else read_labels(data, classes)


def with_text(data: bytes, keyword: str, text: str) -> bytes:
    """Return a PNG with a text in its header; the pixels stay as they are."""
    chunk = _chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1"))
    return data[:HEADER] + chunk + data[HEADER:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib_ng.crc32(data, zlib_ng.crc32(kind)))
