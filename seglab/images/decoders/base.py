"""The input and output of decoders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import TooLargeError
from seglab.images.formats import MAX_PIXELS

Pixels = NDArray[np.uint8] | Image.Image
"""uint8 ``(H, W, 3)`` RGB, or an image of Pillow in mode RGB."""


@dataclass(frozen=True, slots=True)
class Request:
    """``at_least``: JPEGs are reduced by 8, 4 or 2 while decoding, as far as both sides stay >= ``at_least`` pixels.

    ``max_pixels``: larger images are refused before anything is decoded or allocated. ``any_dicom``: DICOM objects
    other than visible-light photographs are accepted, too.
    """

    at_least: int | None = None
    max_pixels: int = MAX_PIXELS
    any_dicom: bool = False

    def require_size(self, width: int, height: int) -> None:
        """Raise :class:`TooLargeError` for an image with more than ``max_pixels``."""
        if width * height > self.max_pixels:
            raise TooLargeError(
                f"The image has {width} x {height} = {width * height / 1e6:.0f} million pixels; at most "
                f"{self.max_pixels / 1e6:.0f} million are decoded. Save a smaller copy, or raise the limit."
            )


@dataclass(frozen=True, slots=True)
class Decoded:
    """Upright RGB ``pixels``, and ``size``: ``(H, W)`` of the whole upright image, larger than that of the pixels if
    the image was decoded scaled.

    ``remarks``: what a user should know about the image, each a short sentence without a full stop.
    """

    pixels: Pixels
    size: tuple[int, int]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """Samples as a file stores them, but upright; truth masks are read from these.

    ``values``: ``(H, W, C)`` of any dtype; the channels of ``colours``, then ``extra`` ones such as alpha. ``colours``:
    ``grey``, ``white is zero``, ``rgb``, ``palette``, ``cmyk``, ``ycbcr`` or ``lab``. ``bits``: per sample.
    ``palette``: uint8 ``(N, 3)`` where values are indices.
    """

    values: NDArray[np.generic]
    colours: str
    bits: int
    extra: int = 0
    palette: NDArray[np.uint8] | None = None


def whole(pixels: Pixels, *remarks: str) -> Decoded:
    """Return an image that was decoded at its own size."""
    size = (pixels.height, pixels.width) if isinstance(pixels, Image.Image) else (pixels.shape[0], pixels.shape[1])
    return Decoded(pixels, size, remarks)
