"""Conversion of samples of any depth to 8 bits, by the range that the file states, never by the brightest pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seglab.errors import ImageError

EIGHT_BITS, TWELVE_BITS, SIXTEEN_BITS = 2**8, 2**12, 2**16
EIGHT_IN_SIXTEEN = "all samples lie below 256 of 65535; read as 8 bits"
TWELVE_IN_SIXTEEN = "all samples lie below 4096 of 65535; read as 12 bits"
DARKEST = 16
"""A range is doubted if all samples are below this share of it, because the image would be nearly black."""
UP_TO_ONE, UP_TO_BYTE = (0.0, 1.0), (16.0, 255.0)
"""Limits for the brightest sample of floating-point images in 0-1, and of those in 0-255."""
ROUNDING = 1e-3
"""Share of the range by which floating-point samples may exceed it, as resampling causes."""
ROWS = 256
Numbers = NDArray[Any]
Brought = tuple[NDArray[np.uint8], tuple[str, ...]]


def to_bytes(samples: Numbers, bits: int) -> NDArray[np.uint8]:
    """Return unsigned samples of 1 to 64 ``bits`` as 0-255: above 8 bits the high byte is kept, fewer are scaled."""
    if bits == 8:
        return np.asarray(samples, np.uint8)
    if bits > 16:
        return np.asarray(np.asarray(samples, np.uint64) >> np.uint64(bits - 8), np.uint8)
    deep = np.asarray(samples, np.uint16)
    if bits > 8:
        return np.asarray(deep >> (bits - 8), np.uint8)
    return np.asarray(deep * 255 // (2**bits - 1), np.uint8)


def from_sixteen(samples: NDArray[np.uint16]) -> Brought:
    """Return 16-bit samples without a stated range as 0-255, with a remark if they use only 8 or 12 bits."""
    most = int(samples.max()) if samples.size else 0
    if 0 < most < EIGHT_BITS:
        return to_bytes(samples, 8), (EIGHT_IN_SIXTEEN,)
    if 0 < most < TWELVE_BITS:
        return to_bytes(samples, 12), (TWELVE_IN_SIXTEEN,)
    return to_bytes(samples, 16), ()


def from_unsigned(samples: Numbers, bits: int, largest: int = 0) -> Brought:
    """Return unsigned samples of ``bits`` as 0-255. ``largest``: the largest possible value that the file states.

    Above 16 bits the whole range is taken if it is used, or 8 or 16 bits if only these are used, with a remark. Raises
    :class:`ImageError` for other values.
    """
    if largest and largest & (largest + 1) == 0 and largest < 2**bits and int(samples.max()) <= largest:
        return to_bytes(samples, largest.bit_length()), ()
    if bits == 16:
        return from_sixteen(np.asarray(samples, np.uint16))
    return (to_bytes(samples, bits), ()) if bits < 16 else _from_wide(samples, bits)


def _from_wide(samples: Numbers, bits: int) -> Brought:
    most = int(samples.max())
    for fewer in (8, 16):
        if 0 < most < 2**fewer:
            return to_bytes(samples, fewer), (f"all samples of {bits} bits lie below {2**fewer}; read as {fewer} bits",)
    if most and most < 2**bits // DARKEST:
        raise ImageError(
            f"Samples of {bits} bits that reach only {most}; expected 0 to 255, to 65535 or to {2**bits - 1}. Save the "
            "image with 8 or 16 bits per sample."
        )
    return to_bytes(samples, bits), ()


def from_signed(samples: Numbers, bits: int, largest: int = 0) -> Brought:
    """Return signed samples as 0-255. Raises :class:`ImageError` for negative ones."""
    if int(samples.min()) < 0:
        raise ImageError(
            f"Signed samples of {bits} bits down to {int(samples.min())}; expected none below 0. Save the image with 8 "
            "or 16 bits per sample, unsigned."
        )
    most = int(samples.max())
    used = next((fewer for fewer in (8, 12, 16) if most < 2**fewer and fewer < bits - 1), bits - 1)
    if largest and largest & (largest + 1) == 0 and most <= largest:
        used = largest.bit_length()
    if used > 16:
        brought, remarks = _from_wide(samples, bits - 1)
        return brought, (f"signed samples of {bits} bits, none negative", *remarks)
    return to_bytes(samples, used), (f"signed samples of {bits} bits, none negative; read as {used} bits",)


def from_floats(samples: Numbers, low: float | None = None, high: float | None = None) -> Brought:
    """Return floating-point samples as 0-255. ``low``, ``high``: the range that the file states, if it does.

    Without it, the range is 0 to 1 or 0 to 255 if the values clearly fit one. Raises :class:`ImageError` for other
    values and for NaN.
    """
    least, most = float(samples.min()), float(samples.max())
    if not (np.isfinite(least) and np.isfinite(most)):
        raise _doubtful("some of which are not finite")
    is_said = high is not None and np.isfinite(high) and high > (low or 0.0) and most <= high + ROUNDING * high
    if is_said and high is not None:
        bottom, top = low or 0.0, high
    elif most <= UP_TO_ONE[1] + ROUNDING:
        bottom, top = 0.0, 1.0
    elif UP_TO_BYTE[0] <= most <= UP_TO_BYTE[1] * (1 + ROUNDING):
        bottom, top = 0.0, 255.0
    else:
        raise _doubtful(f"between {least:g} and {most:g}")
    if least < bottom - ROUNDING * (top - bottom):
        raise _doubtful(f"between {least:g} and {most:g}")
    remarks = () if is_said else (f"floating-point samples, taken as lying between 0 and {top:g}",)
    return _scaled(samples, bottom, top), remarks


def _scaled(samples: Numbers, bottom: float, top: float) -> NDArray[np.uint8]:
    """Return samples scaled from ``bottom``-``top`` to 0-255, some rows at a time."""
    scaled = np.empty(samples.shape, np.uint8)
    for row in range(0, len(samples), ROWS):
        part = np.asarray(samples[row : row + ROWS], np.float64)
        scaled[row : row + ROWS] = np.clip((part - bottom) * (255 / (top - bottom)) + 0.5, 0, 255)
    return scaled


def _doubtful(what: str) -> ImageError:
    return ImageError(
        f"Floating-point samples {what}; expected values between 0 and 1, or between 0 and 255. Save the image with "
        "8 or 16 bits per sample."
    )
