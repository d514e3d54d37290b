"""The one frame of encapsulated pixels. Source: DICOM PS3.5 annex A.4."""

from __future__ import annotations

from seglab.errors import ImageError
from seglab.images.decoders.dicom.codestreams import J2K_START, JP2_START, JPEG_START
from seglab.images.decoders.dicom.data_set import BIG_ENDIAN, DEFLATED, IMPLICIT, DataSet
from seglab.images.decoders.dicom.elements import UNDEFINED, damaged, fragments
from seglab.images.decoders.dicom.layout import EXPORT, printable

EXPLICIT = "1.2.840.10008.1.2.1"
RLE = "1.2.840.10008.1.2.5"
JPEGS = "1.2.840.10008.1.2.4."
COMPRESSED = frozenset(f"{JPEGS}{number}" for number in (*range(50, 67), 70, 80, 81, 90, 91, 201, 202, 203))
"""JPEG of all processes, JPEG-LS, JPEG 2000, HTJ2K."""
VIDEOS = frozenset(f"{JPEGS}{number}" for number in range(100, 109))
"""MPEG-2, MPEG-4 and HEVC."""
PLAIN = frozenset({"", IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN})
STARTS = (JPEG_START, J2K_START, JP2_START)


def is_encapsulated(data_set: DataSet) -> bool:
    """Return whether the pixels are compressed. Raises :class:`ImageError` for an unsupported transfer syntax."""
    syntax = data_set.syntax
    if syntax in VIDEOS or syntax.startswith(tuple(f"{video}." for video in VIDEOS)):
        raise ImageError(f"A DICOM video ({_name(syntax)}); expected one photograph. Export one of its frames.")
    if syntax not in COMPRESSED | PLAIN | {RLE}:
        raise ImageError(
            f"A DICOM image written as {_name(syntax)}; expected raw pixels, run lengths, JPEG, JPEG-LS or JPEG 2000. "
            f"{EXPORT}"
        )
    has_items = data_set.pixels is not None and data_set.pixels.length == UNDEFINED
    if not has_items and syntax not in PLAIN:
        raise ImageError(f"A DICOM image written as {_name(syntax)} whose pixels are not encapsulated. {EXPORT}")
    return has_items


def frame_of(data_set: DataSet) -> bytes:
    """Return the compressed frame, joined from its fragments. Raises :class:`ImageError` for several frames."""
    pixels = data_set.pixels
    if pixels is None:
        raise damaged("it has no pixels")
    items = fragments(data_set.data, pixels.value, data_set.encoding)
    table = next(items, memoryview(b""))
    whole = bytearray()
    starts = 0
    for item in items:
        starts += bytes(item[:12]).startswith(STARTS)
        whole += item
    frames = max(len(table) // 4, starts)
    if frames > 1:
        raise ImageError(f"A DICOM file of {frames} frames; expected one photograph. Export its frames one by one.")
    return bytes(whole)


def _name(syntax: str) -> str:
    from pydicom.uid import UID

    return printable(UID(syntax).name)
