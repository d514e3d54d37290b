"""Resizing of pixels to a network's input size: bilinear, antialiased, half-pixel centres.

The filter is that of the graph's own resize (and of torch's ``antialias=True``), in integers: horizontally first, then
vertically, rounded to uint8 after each. cykooz.resizer does it with SIMD, with equal bytes for AVX2, SSE4.1 and
neither. Without it Pillow is used, with results within one level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

try:
    import cykooz_resizer
except ImportError:  # no wheel for this system
    cykooz_resizer = None

if TYPE_CHECKING:
    from typing import TypeAlias

    Size: TypeAlias = tuple[int, int]
    """``(width, height)``"""
    Resize: TypeAlias = Callable[[bytes, Size, Size], bytes]
    """Takes RGB bytes, their size and the wanted size; returns RGB bytes."""

OVERSAMPLING = 2
"""Least ratio of decoded to wanted size: scaled decoding averages squares, and from 2 on the resize dominates."""
BAND_BYTES = 1 << 19
"""Size in bytes of the bands of rows that are resized at a time, so that copies stay in the CPU's cache."""
LONGEST = 65_535
"""Images with a longer side, which no JPEG has, are resized by Pillow, whose weights are more precise."""


def fit(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return uint8 ``(h, w, 3)``, with any strides, resized to ``(size, size, 3)``."""
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    if _is_better_turned(width, height, size):
        return np.ascontiguousarray(fit(pixels.swapaxes(0, 1), size).swapaxes(0, 1))
    return _fitted(lambda top, bottom: pixels[top:bottom].tobytes(), width, height, size)


def fit_image(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return an RGB image of Pillow resized to uint8 ``(size, size, 3)``, with the same bytes as :func:`fit`."""
    width, height = image.size
    if _is_better_turned(width, height, size):
        turned = fit_image(image.transpose(Image.Transpose.TRANSPOSE), size)
        return np.ascontiguousarray(turned.swapaxes(0, 1))
    return _fitted(lambda top, bottom: image.crop((0, top, width, bottom)).tobytes(), width, height, size)


def _is_better_turned(width: int, height: int, size: int) -> bool:
    """Return whether resizing horizontally first would enlarge the image, which is costly for narrow, long ones."""
    return width < size < height


def _fitted(rows: Callable[[int, int], bytes], width: int, height: int, size: int) -> NDArray[np.uint8]:
    """Resize an image; ``rows(top, bottom)`` returns the RGB bytes of some rows."""
    resize = by_pillow if cykooz_resizer is None or max(width, height) > LONGEST else by_simd()
    step = max(1, BAND_BYTES // (3 * width))
    bands = [(top, min(top + step, height)) for top in range(0, height, step)]
    narrow = b"".join(
        resize(rows(top, bottom), (width, bottom - top), (size, bottom - top)) for top, bottom in bands
    )  # (h, size, 3)
    return np.frombuffer(bytearray(resize(narrow, (size, height), (size, size))), np.uint8).reshape(size, size, 3)


def by_pillow(pixels: bytes, size: Size, wanted: Size) -> bytes:
    """Resize RGB bytes with Pillow."""
    return Image.frombuffer("RGB", size, pixels, "raw", "RGB", 0, 1).resize(wanted, Image.Resampling.BILINEAR).tobytes()


def by_simd() -> Resize:
    """Return a function that resizes with cykooz.resizer; each thread needs its own, because calls do not overlap."""
    resizer = cykooz_resizer.Resizer()
    kind = cykooz_resizer.PixelType.U8x3
    bilinear = cykooz_resizer.ResizeAlg.convolution(cykooz_resizer.FilterType.bilinear)
    options = cykooz_resizer.ResizeOptions(bilinear, use_alpha=False)

    def resize(pixels: bytes, size: Size, wanted: Size) -> bytes:
        resized = cykooz_resizer.ImageData(*wanted, kind)
        resizer.resize(cykooz_resizer.ImageData(*size, kind, pixels), resized, options)
        return bytes(resized.get_buffer())

    return resize
