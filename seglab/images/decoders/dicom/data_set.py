"""Reading of a DICOM file or bare data set: its header, and the position of its pixels.

Deflated data sets are inflated only as far as the image needs, and pydicom only gets the few elements that are used.
Source: DICOM PS3.10 section 7, PS3.5 annex A.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seglab.errors import ImageError
from seglab.images.decoders.dicom.elements import (
    LONG_VRS,
    PIXELS,
    SHORT_VRS,
    Element,
    Encoding,
    damaged,
    element_at,
    elements,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom import Dataset

MAGIC = 128, b"DICM"
IMPLICIT, BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
CLASS_IN_META, SYNTAX = 0x00020002, 0x00020010
PRIVATE_BIG = frozenset({"1.2.840.113619.5.2"})
"""Private transfer syntaxes with implicit encoding."""
SMALL, TABLE, PROFILE = 1 << 16, 1 << 18, 1 << 24
"""Most bytes of an element that is read: a number or a text, a table or a sequence of tables, a colour profile."""
WANTED = {
    0x00080016: SMALL,  # SOP Class UID
    0x00080060: SMALL,  # Modality
    **dict.fromkeys(range(0x00280002, 0x00280103 + 1), SMALL),  # the Image Pixel Module
    **dict.fromkeys(range(0x00281050, 0x00281056 + 1), SMALL),  # windows and rescaling
    **dict.fromkeys((0x00281101, 0x00281102, 0x00281103), SMALL),  # palettes: what they are
    **dict.fromkeys((0x00281201, 0x00281202, 0x00281203, 0x00281221, 0x00281222, 0x00281223), TABLE),
    0x00282000: PROFILE,  # ICC Profile
    0x00283000: TABLE,  # Modality LUT Sequence
    0x00283010: TABLE,  # VOI LUT Sequence
    0x20500020: SMALL,  # Presentation LUT Shape
}
"""Tags of the elements that are read, and their largest lengths."""
MARGIN = 32 << 20
"""Bytes that a deflated data set may have in addition to its image."""
STEP = 1 << 20


@dataclass(frozen=True)
class DataSet:
    """``header``: the elements of :data:`WANTED` that there are. ``kind``: its class, where the header has none.

    ``syntax``: how it is written, as a UID; empty where the file does not say. ``data``: all bytes, with the element of
    ``pixels`` in them (None: it has no pixels).
    """

    header: Dataset
    kind: str
    syntax: str
    encoding: Encoding
    data: bytes
    pixels: Element | None


def read(data: bytes, size_of_image: Callable[[Dataset], int]) -> DataSet:
    """Find the header and the pixels of a DICOM file, or of a data set without a file's header.

    ``size_of_image``: the bytes of pixels that a header tells of; it may refuse them. Raises :class:`ImageError`.
    """
    at, meta = _meta(data)
    syntax = meta.get(SYNTAX, "")
    if syntax != DEFLATED:
        return _read(data, at, meta, syntax)
    beginning, is_whole = inflate(data, at, MARGIN)
    if not is_whole:
        first = _read(beginning, 0, meta, syntax)
        most = MARGIN + size_of_image(first.header)
        beginning, is_whole = inflate(data, at, most)
        if not is_whole:
            raise ImageError(
                f"A deflated DICOM data set of more than {most >> 20} MiB, which its image does not need; expected the "
                f"image and at most {MARGIN >> 20} MiB beside it. Export it again without deflate."
            )
    return _read(beginning, 0, meta, syntax)


def inflate(data: bytes, at: int, most: int) -> tuple[bytes, bool]:
    """Return at most ``most`` inflated bytes, and whether these are all. Raises :class:`ImageError` if damaged."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = bytearray()
    waiting: bytes | memoryview = b""
    view = memoryview(data)
    try:
        while not engine.eof and len(inflated) <= most:
            if not waiting:
                waiting, at = view[at : at + STEP], at + STEP
            if not waiting:
                raise damaged("its deflated data break off")
            inflated += engine.decompress(waiting, min(STEP, most + 1 - len(inflated)))
            waiting = engine.unconsumed_tail
    except zlib.error as error:
        raise damaged("its deflated data cannot be inflated") from error
    return bytes(inflated[:most]), engine.eof and len(inflated) <= most


def _meta(data: bytes) -> tuple[int, dict[int, str]]:
    """Return where the data set begins behind the elements of group 2, and the texts of these."""
    offset, magic = MAGIC
    at = offset + len(magic) if data[offset : offset + len(magic)] == magic else 0
    texts: dict[int, str] = {}
    while (element := element_at(data, at, Encoding(is_implicit=False))) is not None and element.tag >> 16 == 2:
        if element.tag in (CLASS_IN_META, SYNTAX) and element.length <= SMALL:
            value = data[element.value : element.value + element.length]
            texts[element.tag] = value.decode("ascii", "replace").strip(" \0")
        at = element.value + element.length
    return at, texts


def _read(data: bytes, at: int, meta: dict[int, str], syntax: str) -> DataSet:
    from pydicom.filereader import read_dataset

    encoding = _encoding(data, at, syntax)
    parts: list[bytes] = []
    pixels: Element | None = None
    for element, end in elements(data, at, encoding):
        if element.tag >= 0x7FE00008:
            pixels = element if element.tag == PIXELS else pixels
        elif end > len(data):
            if syntax == DEFLATED:  # its beginning
                break
            raise damaged(f"it breaks off at byte {len(data)}, inside element {name_of(element.tag)}")
        elif end - element.start <= WANTED.get(element.tag, 0):
            parts.append(data[element.start : end])
        elif element.tag in WANTED:
            raise damaged(f"element {name_of(element.tag)} has {element.length} bytes")
    header = read_dataset(io.BytesIO(b"".join(parts)), encoding.is_implicit, not encoding.is_big)
    return DataSet(header, meta.get(CLASS_IN_META, ""), syntax, encoding, data, pixels)


def name_of(tag: int) -> str:
    """Return a tag as DICOM writes it."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _encoding(data: bytes, at: int, syntax: str) -> Encoding:
    """Return how a data set is written: as its first element looks, for syntaxes are said wrongly at times."""
    beginning = data[at : at + 6]
    is_implicit = beginning[4:6] not in LONG_VRS | SHORT_VRS
    if not syntax:
        return Encoding(is_implicit, is_big=beginning[:1] == b"\0" and beginning[1:2] != b"\0")
    return Encoding(is_implicit, is_big=syntax == BIG_ENDIAN)
