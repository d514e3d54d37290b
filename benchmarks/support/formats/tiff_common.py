"""Helpers for the parts of the matrix of TIFF."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from benchmarks.support.formats.cells import (
    LOSSLESS,
    Bound,
    Cell,
    Picture,
    three,
)
from benchmarks.support.formats.tiff_writer import Tag

Compress = Callable[[bytes], Any]
PLAIN: dict[str, tuple[int, Compress]] = {
    "none": (1, bytes),
    "lzw": (5, imagecodecs.lzw_encode),
    "deflate": (8, imagecodecs.zlib_encode),
    "old deflate": (32946, imagecodecs.zlib_encode),
    "packbits": (32773, imagecodecs.packbits_encode),
    "zstd": (50000, imagecodecs.zstd_encode),
    "lzma": (34925, imagecodecs.lzma_encode),
}
UNITS: dict[str, dict[str, Any]] = {"one strip": {}, "strips": {"rows": 16}, "tiles": {"tile": 16}}
"""Places of whole MCUs and data units."""
PLACES: dict[str, dict[str, Any]] = {"one strip": {}, "strips": {"rows": 7}, "tiles": {"tile": 16}}
ORDERS = {"little": "<", "big": ">"}
FLOATS = {16: np.float16, 32: np.float32, 64: np.float64}
KINDS = {"f": 3, "i": 2, "u": 1}


def tiff_cell(group: str, name: str, data: bytes, *accepted: Picture, bound: Bound = LOSSLESS) -> Cell:
    """Return a cell of this matrix."""
    return Cell("TIFF", group, name, ".tif", data, accepted, bound)


def as_rgb(shown: NDArray[np.uint8]) -> Picture:
    """Return samples of one channel or three as a picture."""
    return three(shown) if shown.shape[2] == 1 else shown


def turn_tag(orientation: int) -> Tag:
    """Return the tag of an orientation."""
    return (274, 3, [orientation])


def encoded_blocks(encode: Any) -> Callable[[NDArray[Any]], bytes]:
    """Return the packing of blocks by a codec for pictures."""
    return lambda block: bytes(encode(np.ascontiguousarray(block.astype(np.uint8))))
