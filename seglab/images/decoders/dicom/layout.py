"""The layout of a DICOM object's pixels, checked before anything is read (Image Pixel Module, PS3.3 C.7.6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seglab.errors import ImageError

if TYPE_CHECKING:
    from pydicom import Dataset

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
HALVED = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
"""Colours in which two neighbours share their chroma if they are not compressed."""
KNOWN = GREY | HALVED | {"PALETTE COLOR", "RGB", "YBR_FULL", "YBR_ICT", "YBR_RCT"}
LARGEST = 65535
EXPORT = "Export it again, as baseline JPEG or raw RGB."


@dataclass(frozen=True)
class Layout:
    """``samples``: of a pixel, 1 or 3. ``colours``: one of :data:`KNOWN`. ``allocated``: bits of a raw sample, of which
    ``stored`` ones are used, ``high`` the highest of them. ``planar``: colour by colour, not pixel by pixel.
    """

    rows: int
    columns: int
    samples: int
    colours: str
    allocated: int
    stored: int
    high: int
    signed: bool
    planar: bool

    @property
    def raw_bytes(self) -> int:
        """Number of bytes of all pixels when uncompressed."""
        bits = self.rows * self.columns * self.samples * self.allocated
        return -(-bits // 8)


def layout_of(header: Dataset) -> Layout:
    """Read and check the layout. Raises :class:`ImageError`."""
    frames = whole_number(header, "NumberOfFrames", 1, most=2**31) or 1
    if frames != 1:
        raise ImageError(f"A DICOM file of {frames} frames; expected one photograph. Export its frames one by one.")
    colours = _colours(header)
    samples = whole_number(header, "SamplesPerPixel", 1 if colours in GREY | {"PALETTE COLOR"} else 3)
    allocated = whole_number(header, "BitsAllocated", None)
    stored = whole_number(header, "BitsStored", 8 if allocated == 8 else None)
    layout = Layout(
        rows=whole_number(header, "Rows", None, least=1),
        columns=whole_number(header, "Columns", None, least=1),
        samples=samples,
        colours=colours,
        allocated=allocated,
        stored=stored,
        high=stored - 1 if stored == allocated else whole_number(header, "HighBit", stored - 1),
        signed=whole_number(header, "PixelRepresentation", 0) != 0,
        planar=samples > 1 and whole_number(header, "PlanarConfiguration", 0) == 1,
    )
    _require_consistent(layout)
    return layout


def whole_number(header: Dataset, name: str, default: int | None, *, least: int = 0, most: int = LARGEST) -> int:
    """Return a number of the header, or ``default`` where it is missing. Raises :class:`ImageError` if out of range."""
    value: Any = header.get(name)
    if value is None or value == "":
        if default is None:
            raise ImageError(f"A DICOM image without {name}, which says how its pixels lie. {EXPORT}")
        return default
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if not least <= number <= most:
        raise ImageError(
            f"A DICOM image with {name} {printable(value)}; expected one whole number of {least} to {most}. {EXPORT}"
        )
    return number


def printable(value: object) -> str:
    """Return a value of a header for messages, on one line and shortened."""
    return "".join(character for character in str(value)[:80] if character.isprintable())


def _colours(header: Dataset) -> str:
    colours = str(header.get("PhotometricInterpretation") or "").strip(" \0").upper()
    if not colours:
        raise ImageError(f"A DICOM image without PhotometricInterpretation, which says what its samples are. {EXPORT}")
    if colours not in KNOWN:
        raise ImageError(f"A DICOM image in {printable(colours)}; expected {', '.join(sorted(KNOWN))}. {EXPORT}")
    return colours


def _require_consistent(layout: Layout) -> None:
    expected = 1 if layout.colours in GREY | {"PALETTE COLOR"} else 3
    if layout.samples != expected:
        raise ImageError(
            f"A DICOM image in {layout.colours} with {layout.samples} samples per pixel; expected {expected}. {EXPORT}"
        )
    if layout.allocated not in (1, 8, 16, 32):
        raise ImageError(f"DICOM samples in {layout.allocated} bits; expected 1, 8, 16 or 32. {EXPORT}")
    if not 1 <= layout.stored <= min(16, layout.allocated):
        raise ImageError(
            f"DICOM samples of {layout.stored} bits in {layout.allocated}; expected 1 to {min(16, layout.allocated)}. "
            f"{EXPORT}"
        )
    if not layout.stored - 1 <= layout.high < layout.allocated:
        raise ImageError(
            f"DICOM samples of {layout.stored} bits whose highest is number {layout.high} of {layout.allocated}; "
            f"expected {layout.stored - 1} to {layout.allocated - 1}. {EXPORT}"
        )
