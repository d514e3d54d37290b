"""A cell of a matrix, which is a file with its expected pixels, and the picture that all cells are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""uint8 ``(H, W, 3)``, RGB, 0-255."""
Samples = NDArray[np.generic]
"""``(H, W, C)`` of any dtype."""

HEIGHT, WIDTH = 45, 62
"""No multiples of 8 or 16, and no square: padding and turns show."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Limits of absolute differences, in levels of 255. ``worst``: of single samples; 1 in 200 may exceed it."""

    mean: float
    worst: float

    def holds(self, found: Picture, expected: Picture) -> bool:
        """Return whether two pictures are equal within this tolerance."""
        if found.shape != expected.shape:
            return False
        difference = np.abs(found.astype(np.int16) - expected)
        return bool(difference.mean() <= self.mean and np.mean(difference > self.worst) <= 0.005)


LOSSLESS = Bound(1.0, 2.0)
CONVERTED = Bound(2.5, 10.0)
"""Colours that were computed twice: CMYK, YCbCr, L*a*b*, profiles."""
LOSSY = Bound(5.0, 48.0)


@dataclass(frozen=True, slots=True)
class Cell:
    """A file of one kind.

    ``accepted``: the correct pictures, several if the format leaves it open. If empty, the file must be refused.
    ``suffix``: for programs that go by names. ``at_least``: a reduced copy with at least these sides is asked for.
    """

    matrix: str
    group: str
    name: str
    suffix: str
    data: bytes
    accepted: tuple[Picture, ...]
    bound: Bound = LOSSLESS
    at_least: int | None = None


def rounded(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return numbers rounded to the nearest uint8."""
    return np.asarray(np.clip(np.round(values), 0, 255), np.uint8)


def picture(height: int = HEIGHT, width: int = WIDTH) -> Picture:
    """Return a colourful picture without any symmetry, smooth enough for JPEG."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    spot = np.exp(-(((x - 0.3 * width) / (0.22 * width)) ** 2 + ((y - 0.35 * height) / (0.25 * height)) ** 2))
    red = 225 - 60 * y / height - 130 * spot
    green = 90 + 110 * x / width - 60 * spot
    blue = 40 + 150 * (x / width) * (y / height) + 60 * spot
    return rounded(np.stack([red, green, blue], axis=2))


def grey_picture() -> NDArray[np.uint8]:
    """Return one channel: uint8 ``(H, W)``, 0-255, from nearly black to nearly white."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    wave = 40 * np.sin(x / 9) + 30 * np.cos(y / 7)
    return rounded(15 + 160 * x / WIDTH + 60 * y / HEIGHT + wave)


def three(grey: NDArray[np.uint8]) -> Picture:
    """Return a grey picture ``(H, W)`` as one of three equal channels."""
    return np.repeat(grey.reshape(*grey.shape[:2], 1), 3, axis=2)  # (H, W, 3)


def deepened(values: NDArray[np.uint8], bits: int) -> NDArray[np.uint32]:
    """Return 8-bit values as samples of ``bits``: below 8 the nearest levels, above 8 with low bits that count."""
    if bits <= 8:
        return np.asarray(np.round(values.astype(np.float64) * (2**bits - 1) / 255), np.uint32)
    low = np.arange(values.size, dtype=np.uint64).reshape(values.shape) % (1 << min(bits - 8, 16))
    return np.asarray((values.astype(np.uint64) << (bits - 8)) + low, np.uint32)


def shallowed(samples: NDArray[np.uint32], bits: int) -> NDArray[np.uint8]:
    """Return samples of ``bits`` as 0-255."""
    return rounded(samples.astype(np.float64) * 255 / (2**bits - 1))


def turned(array: Picture, orientation: int) -> Picture:
    """Return a stored picture as EXIF's orientation 1 to 8 shows it."""
    flips: dict[int, Callable[[Picture], Picture]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }
    return np.ascontiguousarray(flips[orientation](array))
