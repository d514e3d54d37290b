"""Run lengths of BMPs: RLE8 and RLE4 of Windows, and 24-bit runs of OS/2.

Codes are read one after another. Consecutive runs, which photographs have, are expanded together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seglab.errors import ImageError

END_OF_ROW, END, MOVE = 0, 1, 2
MOST_PIXELS_A_BYTE = 128
"""A run of two bytes has at most 255 pixels."""
SMALL = 1_000_000
"""Pixels that may remain unset."""
RUNS = 256
"""Runs that are expanded together at most: more would be wasted if other codes lie between them."""


def unpack_runs(codes: bytes, width: int, height: int, bits: int) -> NDArray[np.uint8]:
    """Return uint8 ``(H, W, 1)`` indices, or ``(H, W, 3)`` BGR for 24 ``bits``, rows in stored order.

    Pixels that no code sets are 0. Raises :class:`ImageError` if the codes stop without an end and rows are missing.
    """
    if width * height > MOST_PIXELS_A_BYTE * len(codes) + SMALL:
        raise _cut_off()
    canvas = np.zeros((height, width, 3 if bits == 24 else 1), np.uint8)
    x, y, at = 0, 0, 0
    while at + 1 < len(codes) and y < height:
        count, code = codes[at], codes[at + 1]
        if count == 0 and code == END:
            return canvas
        if count == 0 and code == END_OF_ROW:
            x, y, at = 0, y + 1, at + 2
        elif count == 0 and code == MOVE:
            across, up = _bytes(codes, at + 2, 2)
            x, y, at = x + across, y + up, at + 4
        else:
            found, at = (
                _literal(codes, at, bits) if count == 0 else _runs(codes, at, min(RUNS, max(1, width - x)), bits)
            )
            room = max(0, min(len(found), width - x))
            canvas[y, x : x + room] = found[:room]
            x += len(found)
    if y < height - 1 or (y == height - 1 and x < width):
        raise _cut_off()
    return canvas


def _runs(codes: bytes, at: int, most: int, bits: int) -> tuple[NDArray[np.uint8], int]:
    """Return the pixels ``(N, channels)`` of the consecutive runs from ``at`` on, at most ``most`` runs, and the offset
    after them.
    """
    size = 4 if bits == 24 else 2
    given = np.frombuffer(codes, np.uint8, min(most, (len(codes) - at) // size) * size, at).reshape(-1, size)
    if not len(given):
        raise _cut_off()
    ends = np.flatnonzero(given[:, 0] == 0)
    given = given[: ends[0]] if len(ends) else given
    counts = given[:, 0].astype(np.intp)
    pixels = np.repeat(given[:, 1:], counts, axis=0)  # (N, channels)
    if bits == 4:  # each run alternates between two values
        places = np.arange(len(pixels)) - np.repeat(np.cumsum(counts) - counts, counts)
        pixels = np.where(places[:, None] % 2 == 0, pixels >> 4, pixels & 15).astype(np.uint8)
    return pixels, at + len(given) * size


def _literal(codes: bytes, at: int, bits: int) -> tuple[NDArray[np.uint8], int]:
    """Return the literal pixels ``(N, channels)`` after a code, and the offset after them, padded to an even length."""
    count = codes[at + 1]
    size = (count * bits + 7) // 8
    content = np.frombuffer(_bytes(codes, at + 2, size), np.uint8)
    if bits == 4:
        content = np.stack([content >> 4, content & 15], axis=1).reshape(-1)[:count]
    return content.reshape(count, -1), at + 2 + size + size % 2


def _bytes(codes: bytes, at: int, size: int) -> bytes:
    found = codes[at : at + size]
    if len(found) < size:
        raise _cut_off()
    return found


def _cut_off() -> ImageError:
    return ImageError(
        "Damaged image: a BMP; its run lengths break off. Expected a whole file; copy it again from the original."
    )
