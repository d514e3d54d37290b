"""The image reader of the package: training, export and batch get the same RGB bytes for the same file.

The first bytes of a file decide its format, never its name. Pixels are upright by EXIF, in sRGB, without alpha. Grey
becomes three equal channels, and samples above 8 bits are reduced to 8 by the range that the file states.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.decoders import bmp, jpeg, jpeg_2000, pillow, png
from seglab.images.decoders.base import Decoded, Request
from seglab.images.formats import MAX_PIXELS
from seglab.images.kinds import picture_kind
from seglab.images.pixels.resize import OVERSAMPLING, fit, fit_image
from seglab.images.refusals import BEGINNING, failed, unknown


@dataclass(frozen=True)
class Photo:
    """A decoded image.

    ``pixels``: uint8 ``(h, w, 3)``, RGB, 0-255, upright. ``size``: ``(H, W)`` of the whole image, upright;
    equal to ``(h, w)`` unless the image was decoded scaled. ``remarks``: what a user should know about the image.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    remarks: tuple[str, ...] = ()


def read_photo(
    source: Path | bytes, at_least: int | None = None, max_pixels: int = MAX_PIXELS, *, any_dicom: bool = False
) -> Photo:
    """Decode an image file (or its bytes).

    ``at_least``: JPEGs are reduced by 8, 4 or 2 while decoding, as far as both sides stay >= ``at_least``.
    ``any_dicom``: also accept DICOM objects that are not photographs.
    Raises :class:`ImageError` for anything but a complete, readable image, :class:`TooLargeError` for more than
    ``max_pixels``.
    """
    decoded = _decoded(source, Request(at_least, max_pixels, any_dicom))
    pixels = decoded.pixels
    whole = np.array(pixels, np.uint8) if isinstance(pixels, Image.Image) else pixels
    return Photo(whole, decoded.size, decoded.remarks)


def read_image(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a whole image: uint8 ``(H, W, 3)``, RGB, upright. Raises :class:`ImageError`."""
    return read_photo(source, max_pixels=max_pixels).pixels


def read_fitted(source: Path | bytes, size: int, max_pixels: int = MAX_PIXELS, *, any_dicom: bool = False) -> Photo:
    """Decode an image and resize it to ``(size, size, 3)``, the input of a network in training and use.

    JPEGs are decoded scaled, to no less than :data:`OVERSAMPLING` times ``size``. Raises like :func:`read_photo`.
    """
    decoded = _decoded(source, Request(OVERSAMPLING * size, max_pixels, any_dicom))
    pixels = decoded.pixels
    fitted = fit_image(pixels, size) if isinstance(pixels, Image.Image) else fit(pixels, size)
    return Photo(fitted, decoded.size, decoded.remarks)


class _Decode(Protocol):
    def __call__(self, data: bytes, request: Request) -> Decoded: ...


DECODERS: dict[str, _Decode] = {
    "a JPEG": jpeg.decode,
    "a PNG": png.decode,
    "a BMP": bmp.decode,
    "a WebP": pillow.decode_webp,
    "a GIF": pillow.decode_gif,
    "an AVIF": pillow.decode_avif,
    "a JPEG 2000": jpeg_2000.decode,
}
"""Decoders by :func:`~seglab.images.kinds.picture_kind`. Formats that start other programs or read other files are not
supported.
"""


def _decoded(source: Path | bytes, request: Request) -> Decoded:
    data = _read_bytes(source) if isinstance(source, Path) else source
    if not data:
        raise ImageError("The file is empty; expected an image. Copy it again from the original.")
    decode = _decoder(data)
    if decode is None:
        raise unknown(data)
    try:
        return decode(data, request)
    except ImageError:
        raise
    except Exception as error:  # decoders raise errors of many kinds for damaged files
        raise failed(data, error) from error


def _decoder(data: bytes) -> _Decode | None:
    """Return the decoder for a file by its first bytes, or None. Decoders that are slow to import are imported here."""
    match picture_kind(data[:BEGINNING]):
        case "a TIFF" | "a BigTIFF":
            from seglab.images.decoders import tiff

            return tiff.decode
        case "a DICOM file" | "a bare DICOM data set":
            from seglab.images.decoders import dicom

            return dicom.decode
        case "a HEIC":
            from seglab.images.decoders import heic

            return heic.decode
        case kind:
            return DECODERS.get(kind or "")


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if stat.S_ISCHR(os.fstat(file.fileno()).st_mode):  # /dev/zero never ends
                raise ImageError("It is a device; expected an image file.")
            return file.read()
    except OSError as error:
        raise ImageError(
            f"The file cannot be read: {error.strerror or error}. Check the path and its permissions."
        ) from error
