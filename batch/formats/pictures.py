"""Photographs as they are handed on: the pixels that the mask belongs to, upright, without any metadata."""

from __future__ import annotations

from batch.formats import MADE_BY
from batch.formats.material import Item
from batch.reporting.thumbnails import jpeg
from seglab.errors import ImageError
from seglab.images.reader import read_photo

QUALITY = 95
COMMENT = b"\xff\xfe"
"""The marker of a comment in a JPEG."""


def picture(item: Item) -> bytes:
    """Return an image's photograph as JPEG. Raises :class:`ImageError` if it is not as large as its mask any more."""
    if item.photograph is None:
        raise ValueError("The photographs were not read.")
    # any_dicom: what may be read was decided before the mask was made.
    pixels = read_photo(item.photograph, any_dicom=True).pixels
    if pixels.shape[:2] != item.mask.shape:
        sides = " x ".join(map(str, pixels.shape[1::-1])), " x ".join(map(str, item.mask.shape[::-1]))
        raise ImageError(
            f"Its photograph has {sides[0]} pixels now, and the mask {sides[1]}; expected the same. Run again to "
            "remake the mask."
        )
    data, text = jpeg(pixels, QUALITY), MADE_BY.encode("ascii")
    return data[:2] + COMMENT + (len(text) + 2).to_bytes(2, "big") + text + data[2:]
