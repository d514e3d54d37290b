"""Samples of any depth to 8 bits, by the range that the file says, never by the image's own brightest pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TWELVE_BITS = 4096
TWELVE_IN_SIXTEEN = "all samples lie below 4096 of 65535; read as 12 bits"


def to_bytes(samples: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """Bring unsigned samples of 1 to 16 ``bits`` to 0-255: of more than 8 the high byte is kept, fewer are spread."""
    if bits == 8:
        return np.asarray(samples, np.uint8)
    deep = np.asarray(samples, np.uint16)
    if bits > 8:
        return np.asarray(deep >> (bits - 8), np.uint8)
    return np.asarray(deep * 255 // (2**bits - 1), np.uint8)


def from_sixteen(samples: NDArray[np.uint16]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Bring samples of 16 bits whose range the file does not say to 0-255, with a remark where they are of 12 bits."""
    if samples.size and int(samples.max()) < TWELVE_BITS and samples.any():
        return to_bytes(samples, 12), (TWELVE_IN_SIXTEEN,)
    return to_bytes(samples, 16), ()
