"""Run lengths of BMPs: RLE8 and RLE4 of Windows, and 24 bits of OS/2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seglab.errors import ImageError

END_OF_ROW, END, MOVE = 0, 1, 2


def unpack_runs(codes: memoryview, width: int, height: int, bits: int) -> NDArray[np.uint8]:
    """Return uint8 ``(H, W, 1)`` indices, or ``(H, W, 3)`` BGR of 24 ``bits``, rows as they are stored.

    What no code sets is 0. Raises :class:`ImageError` where the codes stop without an end, and rows are missing.
    """
    channels = 3 if bits == 24 else 1
    canvas = bytearray(width * height * channels)
    x, y, at, total = 0, 0, 0, len(codes)
    while at + 1 < total and y < height:
        count, code = codes[at], codes[at + 1]
        at += 2
        if count:
            run, at = _run(codes, at, count, bits)
        elif code == END_OF_ROW:
            x, y = 0, y + 1
            continue
        elif code == END:
            break
        elif code == MOVE:
            if at + 2 > total:
                raise _cut_off()
            x, y, at = x + codes[at], y + codes[at + 1], at + 2
            continue
        else:
            run, at = _literal(codes, at, code, bits)
            count = code
        room = max(0, min(count, width - x))
        start = (y * width + x) * channels
        canvas[start : start + room * channels] = run[: room * channels]
        x += count
    else:
        if y < height - 1 or (y == height - 1 and x < width):
            raise _cut_off()
    return np.frombuffer(canvas, np.uint8).reshape(height, width, channels)


def _run(codes: memoryview, at: int, count: int, bits: int) -> tuple[bytes, int]:
    """Return ``count`` equal pixels (RLE4: two that take turns) and the place behind the code."""
    if bits == 24:
        if at + 2 > len(codes):
            raise _cut_off()
        return bytes(codes[at - 1 : at + 2]) * count, at + 2
    value = codes[at - 1]
    if bits == 8:
        return bytes((value,)) * count, at
    return (bytes((value >> 4, value & 15)) * (count // 2 + 1))[:count], at


def _literal(codes: memoryview, at: int, count: int, bits: int) -> tuple[bytes, int]:
    """Return ``count`` pixels as they stand there, and the place behind them, which is an even one."""
    size = count * 3 if bits == 24 else count if bits == 8 else (count + 1) // 2
    if at + size > len(codes):
        raise _cut_off()
    content = bytes(codes[at : at + size])
    if bits == 4:
        halves = np.frombuffer(content, np.uint8)
        content = np.stack([halves >> 4, halves & 15], axis=1).tobytes()[:count]
    return content, at + size + size % 2


def _cut_off() -> ImageError:
    return ImageError(
        "Damaged image: a BMP, and its run lengths break off. Expected a whole file; copy it again from where it came."
    )
