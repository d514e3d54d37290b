"""The layout of a TIFF page's samples, read from its tags and checked before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from seglab.errors import TooLargeError
from seglab.images.decoders.base import Request
from seglab.images.decoders.tiff.directory import Directory, damaged, unsupported

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 4, 5, 6, 8, 9
COLOURS = {
    WHITE_IS_ZERO: ("white is zero", 1), BLACK_IS_ZERO: ("grey", 1), MASK: ("grey", 1), PALETTE: ("palette", 1),
    RGB: ("rgb", 3), YCBCR: ("ycbcr", 3), CMYK: ("cmyk", 4), CIELAB: ("lab", 3), ICCLAB: ("lab", 3),
}  # fmt: skip
"""Photometric interpretations: name and number of channels."""
OTHER_COLOURS = {10: "ITU L*a*b*", 32844: "CIE Log L", 32845: "CIE Log LUV", 51177: "a depth map", 52527: "a mask"}
NO_COMPRESSION = 1
OLD_JPEG, JPEGS = 6, frozenset({7, 33007, 34892})
FAX = frozenset({2, 3, 4})
FORMATS = {1: "u", 2: "i", 3: "f", 4: "u"}
OTHER_FORMATS = {5: "complex integers", 6: "complex numbers"}
FLOAT_BITS = frozenset({16, 24, 32, 64})
MOST_CHANNELS = 5
MOST_BYTES_A_PIXEL = 8
"""The limit on decoded bytes is this times ``max_pixels``; all channels count."""
SPARE = 2**20
"""Pixels that a tile may have beyond four times those of the image."""
MOST_SEGMENTS = 2**20


@dataclass(frozen=True)
class Plan:
    """The layout of a page. ``kind``: ``u`` unsigned, ``i`` signed, ``f`` floating point. ``rows``, ``columns``: of a
    strip or tile.
    """

    width: int
    height: int
    channels: int
    bits: int
    kind: str
    photometric: int
    compression: int
    predictor: int
    is_planar: bool
    is_reversed: bool
    is_tiled: bool
    rows: int
    columns: int
    order: Literal["<", ">"]
    subsampling: tuple[int, int] = (1, 1)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest NumPy type that holds a sample."""
        return np.dtype(f"{self.kind}{next(size for size in (1, 2, 4, 8) if 8 * size >= self.bits)}")

    @property
    def colours(self) -> str:
        return COLOURS[self.photometric][0]

    @property
    def extra(self) -> int:
        """The number of channels besides the colours."""
        return self.channels - COLOURS[self.photometric][1]

    @property
    def in_segment(self) -> int:
        """The number of channels in one strip or tile."""
        return 1 if self.is_planar else self.channels

    @property
    def grid(self) -> tuple[int, int]:
        """The number of strips or tiles, down and across."""
        return -(-self.height // self.rows), -(-self.width // self.columns)

    @property
    def segments(self) -> int:
        down, across = self.grid
        return down * across * (self.channels if self.is_planar else 1)

    @property
    def row_bytes(self) -> int:
        """Bytes of an uncompressed row of a strip or tile."""
        return -(-self.columns * self.in_segment * self.bits // 8)


def size_of(page: Directory) -> tuple[int, int]:
    """Return width and height; 0 if the tag is absent."""
    return page.number(256, 0), page.number(257, 0)


def plan(page: Directory, request: Request) -> Plan:
    """Return the layout of a page. Raises :class:`ImageError` if it is not supported, or too large."""
    width, height = size_of(page)
    if width <= 0 or height <= 0:
        raise damaged(f"a TIFF of {width} x {height} pixels")
    request.require_size(width, height)
    if page.number(32997, 1) > 1:
        raise unsupported(f"a volume of {page.number(32997, 1)} slices")
    channels, photometric = page.number(277, 1), _photometric(page)
    bits, kind = _sample(page, channels)
    rows, columns = _segment(page, width, height)
    made = Plan(
        width, height, channels, bits, kind, photometric, page.number(259, NO_COMPRESSION), page.number(317, 1),
        is_planar=page.number(284, 1) == 2 and channels > 1, is_reversed=page.number(266, 1) == 2,
        is_tiled=322 in page, rows=rows, columns=columns, order=page.layout.order, subsampling=_subsampling(page),
    )  # fmt: skip
    _require_bounded(made, request)
    _require_colours(made, page)
    return made


def _photometric(page: Directory) -> int:
    guessed = RGB if page.number(277, 1) >= 3 else BLACK_IS_ZERO
    found = page.number(262, guessed)
    if found not in COLOURS:
        raise unsupported(f"{OTHER_COLOURS.get(found, f'photometric interpretation {found}')}")
    if found == RGB and page.number(259, 1) == OLD_JPEG:
        return YCBCR
    return found


def _sample(page: Directory, channels: int) -> tuple[int, str]:
    """Return the bits per sample and the kind, which must be the same in all channels."""
    default = 8 if page.number(259, 1) == OLD_JPEG else 1
    each = page.whole_numbers(258, max(channels, 1)) or [default]
    formats = page.whole_numbers(339, max(channels, 1)) or [1]
    if len(set(each)) > 1:
        raise unsupported(f"samples of {', '.join(map(str, each))} bits")
    bits, kind = each[0], FORMATS.get(formats[0])
    if len(set(formats)) > 1 or kind is None:
        raise unsupported(OTHER_FORMATS.get(formats[0], f"sample format {formats}"))
    name = {"u": "unsigned", "i": "signed", "f": "floating-point"}[kind]
    if (kind == "f" and bits not in FLOAT_BITS) or not (1 <= bits <= 32 or bits == 64):
        raise unsupported(f"{name} samples of {bits} bits")
    if kind == "i" and bits not in (8, 16, 32, 64):
        raise unsupported(f"{name} samples of {bits} bits")
    return bits, kind


def _segment(page: Directory, width: int, height: int) -> tuple[int, int]:
    """Return the rows and columns of a strip or tile."""
    if 322 in page:
        rows, columns = page.number(323, 0), page.number(322, 0)
        if min(rows, columns) <= 0 or rows * columns > 4 * width * height + SPARE:
            raise damaged(f"tiles of {columns} x {rows} pixels in an image of {width} x {height}")
        return rows, columns
    rows = page.number(278, height)
    return (rows if 0 < rows < height else height), width


def _subsampling(page: Directory) -> tuple[int, int]:
    if page.number(262, 0) != YCBCR:
        return 1, 1
    across, down = (*page.whole_numbers(530, 2), 2, 2)[:2]
    if across not in (1, 2, 4) or down not in (1, 2, 4):
        raise unsupported(f"YCbCr with chroma subsampled {across} x {down}")
    return across, down


def _require_bounded(made: Plan, request: Request) -> None:
    if not 1 <= made.channels <= MOST_CHANNELS:
        raise unsupported(f"{made.channels} channels")
    if made.segments > MOST_SEGMENTS:
        raise unsupported(f"{made.segments} strips or tiles")
    size = made.width * made.height * made.channels * made.dtype.itemsize
    if size > MOST_BYTES_A_PIXEL * request.max_pixels:
        raise TooLargeError(
            f"The image has {made.width} x {made.height} pixels of {made.channels} x {made.bits} bits; at most "
            f"{MOST_BYTES_A_PIXEL * request.max_pixels / 1e6:.0f} million bytes are decoded. Save it with 8 bits per "
            "sample."
        )


def _require_colours(made: Plan, page: Directory) -> None:
    if made.extra < 0:
        raise unsupported(f"{made.colours.upper()} in {made.channels} channels")
    if COLOURS[made.photometric][1] == 1 and made.extra > 1:
        raise unsupported(f"{made.channels} channels without colours")
    if made.photometric == CMYK and page.number(332, 1) != 1:
        raise unsupported("inks other than cyan, magenta, yellow and black")
    if made.photometric == PALETTE and (made.kind != "u" or made.bits > 16):
        raise unsupported(f"a palette of {made.bits} bits")
    if made.photometric in (CIELAB, ICCLAB) and (made.bits not in (8, 16) or made.kind != "u"):
        kind = {"i": ", signed", "f": ", floating-point"}.get(made.kind, "")
        raise unsupported(f"L*a*b* of {made.bits} bits{kind}")
