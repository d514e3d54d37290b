"""Compressed data inside a DICOM file: JPEG, JPEG-LS, JPEG 2000, recognised by their first bytes.

Headers are read before a decoder is called, which may allocate what they state. Sources: ITU-T T.81 annex B (JPEG,
also lossless), T.87 annex C (JPEG-LS), T.800 annex A (JPEG 2000), T.814 (HTJ2K).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from seglab.errors import ImageError
from seglab.images.decoders.dicom.elements import damaged
from seglab.images.decoders.dicom.layout import EXPORT, Layout
from seglab.images.decoders.jpeg.header import Segment, segments_of

JPEG_START, J2K_START = b"\xff\xd8\xff", b"\xff\x4f\xff\x51"
JP2_START = b"\0\0\0\x0cjP  \r\n\x87\n"
END = b"\xff\xd9"
"""Of a JPEG as well as of a JPEG 2000."""
FILLING = b"\0\xff"
"""What writers fill up frames with."""
FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7})
"""Markers of JPEG that begin a frame; 0xF7: JPEG-LS."""
LOSSLESS, NEARLY_LOSSLESS = 0xC3, 0xF7
JFIF, ADOBE, HP_COLOURS = 0xE0, 0xEE, 0xE8
RGB_IDS = (b"RGB", b"rgb")


@dataclass(frozen=True)
class Stream:
    """A codestream. ``kind``: the marker of a JPEG's frame, or 0 for JPEG 2000 (``is_fast``: of high throughput).

    ``precision``: bits of a sample. ``colours``: those of three components, as the stream itself says: ``RGB``, ``YBR``
    or nothing.
    """

    data: bytes
    kind: int
    width: int
    height: int
    components: int
    precision: int
    colours: str = ""
    is_signed: bool = False
    is_fast: bool = False

    @property
    def is_lossless_jpeg(self) -> bool:
        """Whether this is a lossless JPEG."""
        return self.kind in (LOSSLESS, NEARLY_LOSSLESS)


def stream_of(frame: bytes, layout: Layout) -> Stream:
    """Read a codestream's header. Raises :class:`ImageError` where it is damaged or not as ``layout`` says."""
    data = frame.rstrip(FILLING)
    if data.startswith(JP2_START):
        at = data.find(b"jp2c")
        data = data[at + 4 :] if at > 0 else b""
    try:
        stream = _jpeg(data) if data.startswith(JPEG_START) else _jpeg_2000(data)
    except (struct.error, IndexError) as error:
        raise damaged("its compressed image breaks off in its header") from error
    if not data.endswith(END):
        raise damaged(f"its compressed image of {len(frame)} bytes has no end")
    _require_same(stream, layout)
    return stream


def _require_same(stream: Stream, layout: Layout) -> None:
    own = (stream.width, stream.height, stream.components)
    said = (layout.columns, layout.rows, layout.samples)
    if own != said:
        words = " x ".join(map(str, own[:2])), " x ".join(map(str, said[:2]))
        raise ImageError(
            f"A DICOM image whose compressed data have {words[0]} pixels of {own[2]} samples, and whose header says "
            f"{words[1]} of {said[2]}; expected the same. {EXPORT}"
        )


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments of a JPEG's header; the frame's is the last."""
    for segment in segments_of(data):
        yield segment
        if segment.marker in FRAMES:
            return
    raise damaged("its JPEG has no image")


def _jpeg(data: bytes) -> Stream:
    colours = ""
    for marker, start, end in segments(data):
        content = data[start:end]
        if marker == JFIF and content.startswith(b"JFIF"):
            colours = "YBR"
        elif marker == ADOBE and content.startswith(b"Adobe") and len(content) > 11 and colours != "YBR":
            colours = {0: "RGB", 1: "YBR"}.get(content[11], "")
        elif marker == HP_COLOURS and content.startswith(b"mrfx") and content[4] != 0:
            colours = "RGB"  # of JPEG-LS, undone by its decoder
        elif marker in FRAMES:
            precision, height, width, components = struct.unpack_from(">BHHB", content)
            if not colours and content[6::3][:3] in RGB_IDS:
                colours = "RGB"
            return Stream(data, marker, width, height, components, precision, colours)
    raise damaged("its JPEG has no image")


def _jpeg_2000(data: bytes) -> Stream:
    if not data.startswith(J2K_START):
        raise ImageError(
            f"A DICOM image whose compressed data begin with {data[:4].hex(' ') or 'nothing'}; expected JPEG, JPEG-LS "
            f"or JPEG 2000. {EXPORT}"
        )
    right, lower, left, upper = struct.unpack_from(">4I", data, 8)
    components = struct.unpack_from(">H", data, 40)[0]
    depths = data[42 : 42 + 3 * components]
    if len(set(depths[::3])) != 1 or set(depths[1::3]) | set(depths[2::3]) != {1}:
        raise ImageError(f"A DICOM image in JPEG 2000 whose components differ in size or depth. {EXPORT}")
    is_fast, is_transformed = _styles(data)
    return Stream(
        data=data,
        kind=0,
        width=right - left,
        height=lower - upper,
        components=components,
        precision=(depths[0] & 0x7F) + 1,
        colours="RGB" if is_transformed else "",
        is_signed=depths[0] > 0x7F,
        is_fast=is_fast,
    )


def _styles(data: bytes) -> tuple[bool, bool]:
    """Return whether a JPEG 2000 is high-throughput (marker CAP), and whether its decoder undoes a colour transform."""
    at, is_fast, is_transformed = 2, False, False
    while (marker := struct.unpack_from(">H", data, at)[0]) not in (0xFF90, 0xFFD9):  # up to the first tile
        length = struct.unpack_from(">H", data, at + 2)[0]
        if marker >> 8 != 0xFF or length < 2:
            raise damaged(f"its JPEG 2000 has no marker at byte {at}")
        is_fast |= marker == 0xFF50
        if marker == 0xFF52:
            is_transformed = data[at + 8] != 0
        at += 2 + length
    return is_fast, is_transformed
