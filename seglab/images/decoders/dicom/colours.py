"""Conversion of the samples of a DICOM image to 8-bit RGB. Source: DICOM PS3.3 C.7.6.3.1.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.decoders.dicom.layout import EXPORT, GREY, Layout
from seglab.images.decoders.dicom.palettes import grey_table, palette_table
from seglab.images.pixels.samples import from_sixteen, to_bytes

if TYPE_CHECKING:
    from seglab.images.decoders.dicom.data_set import DataSet

DARKEST, LUMA_RANGE, CHROMA_RANGE, MIDDLE = 16, 219, 224, 128
"""Ranges of YBR_PARTIAL: 8-bit luma from 16 to 235, chroma from 16 to 240 (ITU-R BT.601)."""


def stored_bits(samples: NDArray[np.unsignedinteger], layout: Layout) -> NDArray[np.unsignedinteger]:
    """Return samples with only their used bits; overlays may be in the others."""
    if layout.stored == layout.allocated:
        return samples
    shift = layout.high - layout.stored + 1
    used = samples >> shift if shift else samples
    return np.asarray(used & used.dtype.type((1 << layout.stored) - 1))


def to_rgb(
    samples: NDArray[np.unsignedinteger], layout: Layout, data_set: DataSet, *, is_ybr: bool, is_windowed: bool
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return uint8 ``(H, W, 3)`` of ``(H, W)`` or ``(H, W, 3)``, and remarks. ``samples``: their used bits only.

    ``is_windowed``: rescaling and window of the header apply. Raises :class:`ImageError` for what has no such meaning.
    """
    if layout.colours in GREY:
        grey, remarks = _greys(samples, layout, data_set, is_windowed=is_windowed)
        return np.repeat(grey[..., None], 3, axis=2), remarks  # (H, W, 3)
    if layout.signed:
        raise _signed(layout)
    if layout.colours == "PALETTE COLOR":
        return palette_table(data_set.header, layout, is_big=data_set.encoding.is_big)[samples], ()  # (H, W, 3)
    eight, remarks = _eight_bits(samples, layout)
    if not is_ybr:
        return eight, remarks
    return _of_ybr(_stretched(eight) if layout.colours == "YBR_PARTIAL_422" else eight), remarks


def inverted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the negative, for MONOCHROME1."""
    return np.asarray(np.invert(pixels), np.uint8)


def _greys(
    samples: NDArray[np.unsignedinteger], layout: Layout, data_set: DataSet, *, is_windowed: bool
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    table = grey_table(data_set.header, layout) if is_windowed else None
    remarks: tuple[str, ...] = ()
    if table is not None:
        grey = table[samples]
    elif layout.signed:
        raise _signed(layout)
    else:
        grey, remarks = _eight_bits(samples, layout)
    return (inverted(grey) if layout.colours == "MONOCHROME1" else grey), remarks


def _eight_bits(samples: NDArray[np.unsignedinteger], layout: Layout) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    if layout.stored == 16:
        return from_sixteen(np.asarray(samples, np.uint16))
    return to_bytes(samples, layout.stored), ()


def _stretched(partial: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return Y, Cb and Cr of the partial range scaled to the full range."""
    values = np.arange(256.0)
    luma = (values - DARKEST) * 255 / LUMA_RANGE
    chroma = (values - MIDDLE) * 255 / CHROMA_RANGE + MIDDLE
    tables = np.clip(np.stack([luma, chroma, chroma]) + 0.5, 0, 255).astype(np.uint8)
    return np.stack([tables[channel][partial[..., channel]] for channel in range(3)], axis=-1)  # (H, W, 3)


def _of_ybr(ycbcr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = ycbcr.shape[:2]
    image = Image.frombuffer("YCbCr", (width, height), np.ascontiguousarray(ycbcr), "raw", "YCbCr", 0, 1)
    return np.array(image.convert("RGB"), np.uint8)


def _signed(layout: Layout) -> ImageError:
    return ImageError(
        f"Signed DICOM samples of {layout.stored} bits without a window that gives black and white; expected unsigned "
        f"samples. {EXPORT}"
    )
