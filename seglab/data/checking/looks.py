"""The inspection of one pair: whether it can be used, what is odd about its truth, and the features of its image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.data.checking.doubles import Picture, picture_of
from seglab.data.pairs import DrawnPair, FilePair, Pair, require_size
from seglab.errors import DataError, SeglabError
from seglab.images.mask_values import Truth
from seglab.images.pixels.mask_resize import vanishes
from seglab.images.pixels.orientation import orientation_in, swaps_sides

BLACK, WHITE, MOST_OF_TWO, SAMPLED = 8, 247, 0.98, 64
"""An image counts as a mask if a share of ``MOST_OF_TWO`` of its values is at most ``BLACK`` or at least ``WHITE``, on
a grid of about 64 by 64 pixels."""
INVERTED = 0.5
"""Truths that cover more of the image, and of its border, look inverted."""


@dataclass(frozen=True)
class Look:
    """What the inspection found about one pair: why it cannot be used, or properties of its truth and image.

    ``is_turned``: the truth fits the image as stored, before EXIF turns it. ``vanishes``: the lesion is smaller than a
    pixel at the given size. ``digest``: hash of the truth. ``note``: what looks odd.
    """

    error: str = ""
    note: str = ""
    is_turned: bool = False
    is_empty: bool = False
    is_full: bool = False
    is_inverted: bool = False
    vanishes: bool = False
    digest: bytes = b""
    picture: Picture | None = None


def look_at(pair: Pair, size: int = 0) -> Look:
    """Read and inspect a pair; ``size``: the side length at which it will be used, 0 if unknown."""
    try:
        photo = pair.photo(at_least=Picture.READ_AT)
        truth = pair.read_truth()
        require_size("the truth", truth.mask.shape, photo.size)
    except DataError as unfit:
        return Look(str(unfit), is_turned=_fits_as_stored(pair, truth.mask.shape, photo.size))
    except SeglabError as unusable:
        return Look(str(unusable))
    if _is_black_and_white(photo.pixels):
        return Look("the image is black and white, like a mask; expected a photograph. Remove it from the set")
    return _judged(truth, size, picture_of(photo.pixels))


def _fits_as_stored(pair: Pair, truth: tuple[int, ...], image: tuple[int, int]) -> bool:
    """Return whether a truth has the ``(height, width)`` of its image as stored, before EXIF turns it.

    This shows only where EXIF swaps the sides of an image that is not square.
    """
    return (
        isinstance(pair, FilePair | DrawnPair)
        and pair.orientation == "exif"
        and truth == image[::-1]
        and swaps_sides(orientation_in(pair.image))
    )


def _is_black_and_white(pixels: NDArray[np.uint8]) -> bool:
    """Return whether an image, uint8 ``(H, W, 3)``, has only two values, like a mask."""
    rows, columns = (max(1, side // SAMPLED) for side in pixels.shape[:2])
    sampled = pixels[::rows, ::columns]
    black, white = (sampled <= BLACK).mean(), (sampled >= WHITE).mean()
    return bool(black > 0 and white > 0 and black + white >= MOST_OF_TWO)


def _judged(truth: Truth, size: int, picture: Picture) -> Look:
    mask = truth.mask
    lesion = int(cv2.countNonZero(mask))
    is_empty, is_full = lesion == 0, lesion == mask.size
    return Look(
        note=_note(truth, is_empty, is_full),
        is_empty=is_empty,
        is_full=is_full,
        is_inverted=not is_full and looks_inverted(mask),
        vanishes=bool(size) and vanishes(mask, size),
        digest=hashlib.sha256(mask.tobytes() + str(mask.shape).encode()).digest(),
        picture=picture,
    )


def _note(truth: Truth, is_empty: bool, is_full: bool) -> str:
    """Return what looks odd about a truth, or an empty text."""
    notes = {
        f"{truth.between:.2%} of the truth is neither 0 nor 255 (saved as JPEG, or soft?); half and more counts as "
        "lesion": truth.between > 0,
        "the truth is empty": is_empty,
        "the truth fills the image": is_full,
    }
    return "; ".join(note for note, holds in notes.items() if holds)


def looks_inverted(mask: NDArray[np.uint8]) -> bool:
    """Return whether a truth ``(H, W)`` covers most of its image and of the image's border."""
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return all(np.count_nonzero(part) > INVERTED * part.size for part in (mask, border))
