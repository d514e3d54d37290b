"""Detection of equal pictures by content, even if recompressed, scaled, mirrored or turned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.images.pixels.resize import fit

THUMBNAIL = 24
"""Side of the compared thumbnails in pixels."""
HASHED = 32
LOW = 8
"""A perceptual hash has one bit for each of the 8 by 8 lowest frequencies of a picture of 32 by 32 pixels."""
HASH_BITS = 4
COLOUR_LEVELS, MOVED_LEVELS = 6.0, 3.0
MOST_BITS, EQUAL_LEVELS = 10, 1.5
"""Two images count as the same picture if at most ``HASH_BITS`` of the 64 bits of their perceptual hashes differ, and
their thumbnails differ by at most ``COLOUR_LEVELS`` of 255 on average (``MOVED_LEVELS`` if one is mirrored or turned,
because seven more comparisons give more chances of a false match). If the thumbnails differ by at most
``EQUAL_LEVELS``, ``MOST_BITS`` may differ. Images with a lesion in the middle look alike, so neither measure is enough
alone."""
BLOCK = 1024
SYMMETRIES = tuple((turned, rows, columns) for turned in (False, True) for rows in (1, -1) for columns in (1, -1))
"""The eight symmetries of the square: whether it is transposed, then the direction of rows and of columns."""
AS_IT_IS = SYMMETRIES[0]


@dataclass(frozen=True)
class Picture:
    """The features by which a picture is recognised.

    ``frequencies``: the lowest ones of its brightness, float32 ``(8, 8)``. ``thumbnail``: uint8 ``(24, 24, 3)``.
    """

    READ_AT: ClassVar[int] = 4 * THUMBNAIL
    frequencies: NDArray[np.float32]
    thumbnail: NDArray[np.uint8]


def picture_of(pixels: NDArray[np.uint8]) -> Picture:
    """Return the features of an image, uint8 ``(H, W, 3)`` RGB."""
    grey = cv2.cvtColor(cv2.resize(pixels, (HASHED, HASHED), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    frequencies = np.asarray(cv2.dct(grey.astype(np.float32))[:LOW, :LOW], np.float32)
    return Picture(frequencies.copy(), fit(pixels, THUMBNAIL))


def same_pictures(ours: Sequence[Picture], theirs: Sequence[Picture]) -> Iterator[tuple[int, int]]:
    """Yield indices ``(i, j)`` where ``ours[i]`` and ``theirs[j]`` are the same picture, in any symmetry of the square.

    For each of ``ours`` only the first match is yielded.
    """
    if not ours or not theirs:
        return
    frequencies = np.array([picture.frequencies for picture in ours])  # (N, 8, 8)
    their_bits = _bits(np.array([picture.frequencies for picture in theirs]))  # (M, 64)
    found: set[int] = set()
    for symmetry in SYMMETRIES:
        bits = _bits(_moved_frequencies(frequencies, *symmetry))
        for start in range(0, len(ours), BLOCK):
            distance = (LOW * LOW - bits[start : start + BLOCK] @ their_bits.T) / 2  # (B, M)
            for i, j in np.argwhere(distance <= MOST_BITS).tolist():
                place = start + i
                if place not in found and _alike(ours[place], theirs[j], symmetry, distance[i, j]):
                    found.add(place)
                    yield place, j


def _bits(frequencies: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the perceptual hashes ``(N, 64)`` of frequencies ``(N, 8, 8)``: 1 above the median, else -1."""
    flat = frequencies.reshape(len(frequencies), -1)
    above = flat > np.median(flat, axis=1, keepdims=True)
    return np.where(above, np.float32(1), np.float32(-1))


def _moved_frequencies(frequencies: NDArray[np.float32], turned: bool, rows: int, columns: int) -> NDArray[np.float32]:
    """Return the frequencies ``(N, 8, 8)`` of moved pictures: mirroring changes the sign of the odd ones."""
    moved = frequencies.swapaxes(1, 2) if turned else frequencies
    place = np.arange(LOW) % 2
    return np.asarray(moved * np.outer(np.where(place, rows, 1), np.where(place, columns, 1)), np.float32)


def _alike(one: Picture, other: Picture, symmetry: tuple[bool, int, int], bits: float) -> bool:
    turned, rows, columns = symmetry
    moved = one.thumbnail.swapaxes(0, 1) if turned else one.thumbnail
    difference = np.abs(moved[::rows, ::columns].astype(np.int16) - other.thumbnail)
    levels = COLOUR_LEVELS if symmetry == AS_IT_IS else MOVED_LEVELS
    return float(difference.mean()) <= (levels if bits <= HASH_BITS else EQUAL_LEVELS)
