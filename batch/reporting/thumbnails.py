"""Small pictures of a mask on its photograph, for pages."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.images.pictures import outlined, sides_within
from seglab.images.reader import read_photo

JPEG_QUALITY = 80
THUMBNAIL_SIDE = 240


def thumbnail(
    photograph: bytes, mask: NDArray[np.uint8] | None, longest: int = THUMBNAIL_SIDE, *, are_labels: bool = False
) -> bytes:
    """Return a JPEG of at most ``longest`` pixels per side: a photograph (the bytes of its file) with the outline of
    its ``mask`` ``(H, W)``, or without one.

    ``are_labels``: the mask holds numbers of classes. Raises :class:`seglab.errors.ImageError` if the photograph cannot
    be read. The picture holds nothing of the file's metadata.
    """
    # any_dicom: what may be read was decided before the mask was made.
    photo = read_photo(photograph, at_least=longest if mask is None else _least(mask, longest), any_dicom=True)
    if mask is not None:
        return jpeg(outlined(photo.pixels, mask, longest, are_labels=are_labels))
    sides = sides_within(photo.pixels.shape, longest)
    return jpeg(np.asarray(cv2.resize(photo.pixels, sides, interpolation=cv2.INTER_AREA), np.uint8))


def jpeg(picture: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """Return uint8 RGB ``(H, W, 3)`` as a JPEG file."""
    _, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


def _least(mask: NDArray[np.uint8], longest: int) -> int:
    return min(sides_within(mask.shape, longest))
