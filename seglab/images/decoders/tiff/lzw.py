"""Strips and tiles compressed by LZW, decoded by libtiff, which withstands spoiled codes and reads the old-style
ones.

Many strips go into one small TIFF, each as a row of it, for opening a file takes longer than decoding a strip.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import imagecodecs
import numpy as np

LZW = 5
SHORT, LONG = 3, 4
HEADER = 8
TAGS = 9


def unpacked(parts: Sequence[bytes], needed: int) -> list[memoryview]:
    """Return ``needed`` bytes of each of ``parts``. Raises :class:`imagecodecs.TiffError` for one that is damaged."""
    rows = np.asarray(imagecodecs.tiff_decode(_as_file(parts, needed)), np.uint8).reshape(len(parts), needed)
    return [row.data for row in rows]


def _as_file(parts: Sequence[bytes], needed: int) -> bytes:
    """Return a TIFF of 8-bit grey, ``needed`` pixels wide, with a strip a row."""
    count = len(parts)
    lists = HEADER + 2 + 12 * TAGS + 4
    start = lists + (8 * count if count > 1 else 0)
    offsets = [start]
    for part in parts[:-1]:
        offsets.append(offsets[-1] + len(part))
    sizes = [len(part) for part in parts]
    entries = [
        (256, LONG, 1, needed), (257, LONG, 1, count), (258, SHORT, 1, 8), (259, SHORT, 1, LZW), (262, SHORT, 1, 1),
        (273, LONG, count, lists if count > 1 else offsets[0]), (277, SHORT, 1, 1), (278, LONG, 1, 1),
        (279, LONG, count, lists + 4 * count if count > 1 else sizes[0]),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    places = struct.pack(f"<{2 * count}I", *offsets, *sizes) if count > 1 else b""
    head = struct.pack("<2sHIH", b"II", 42, HEADER, TAGS)
    return b"".join([head, directory, bytes(4), places, *parts])
