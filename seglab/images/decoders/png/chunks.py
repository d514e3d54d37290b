"""The chunks of a PNG: pixels, properties, and whether the file is complete.

Source: PNG, third edition (W3C, 2025). Every chunk is checked here, and the decoder only gets the essential ones, so
decompression bombs in texts and profiles never reach it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from seglab.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS = 1_000_000
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Allowed bits per sample by colour type: grey, RGB, palette, grey with alpha, RGBA."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
SAID = frozenset({b"eXIf", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"acTL", b"fcTL", b"tRNS"})
"""Chunks that change what a pixel means. Others are not needed, and their checksums are not checked."""
AGAIN = "Expected a whole file; copy it again from the original."


@dataclass(frozen=True, slots=True)
class Header:
    """What IHDR says. ``colour_type``: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA."""

    width: int
    height: int
    depth: int
    colour_type: int
    content: bytes

    @property
    def is_interlaced(self) -> bool:
        """Whether pixels are stored in passes (Adam7)."""
        return self.content[12] == 1

    def of_size(self, width: int, height: int) -> Header:
        """Return the header of an image of the same kind with another size, not interlaced."""
        content = struct.pack(">II", width, height) + self.content[8:12] + b"\0"
        return Header(width, height, self.depth, self.colour_type, content)


@dataclass(frozen=True, slots=True)
class Chunks:
    """``palette``: PLTE's content. ``pixels``: the parts of IDAT. ``said``: the first of each of :data:`SAID`, but for
    ``fcTL``, which is there if it comes before the pixels. ``remarks``: as of any decoder.
    """

    header: Header
    palette: bytes
    pixels: tuple[memoryview, ...]
    said: dict[bytes, bytes]
    remarks: tuple[str, ...]

    def essential(self) -> bytes:
        """Return the file with only the chunks that its pixels need."""
        return as_file(self.header, self.pixels, self.palette)


def as_file(header: Header, pixels: Iterable[bytes | memoryview], palette: bytes = b"") -> bytes:
    """Return a PNG with only header, palette and pixels; ``pixels``: contents of IDAT chunks."""
    parts: list[bytes | memoryview] = [SIGNATURE, *_chunk(b"IHDR", header.content)]
    if palette:
        parts += _chunk(b"PLTE", palette)
    for part in pixels:
        parts += _chunk(b"IDAT", part)
    return b"".join([*parts, *_chunk(b"IEND", b"")])


def read_header(data: bytes) -> Header:
    """Return the header. Raises :class:`ImageError` where it is missing or invalid."""
    if not data.startswith(SIGNATURE):
        raise ImageError(
            "Damaged image: a PNG whose first bytes were changed, as a transfer in text mode changes them; expected "
            "the file's own bytes. Transfer it again in binary mode."
        )
    if len(data) < 33 or data[8:16] != b"\0\0\0\rIHDR":
        raise _damaged("it does not begin with its header")
    content = data[16:29]
    width, height, depth, colour_type, compression, filters, interlace = struct.unpack(">IIBBBBB", content)
    if zlib.crc32(data[12:29]) != int.from_bytes(data[29:33], "big"):
        raise _damaged("the checksum of its header is wrong")
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise _damaged(f"its header gives {width} x {height} pixels")
    if depth not in DEPTHS.get(colour_type, ()) or compression or filters or interlace > 1:
        raise ImageError(
            f"A PNG of a kind that cannot be read ({depth} bits, colour type {colour_type}, compression {compression}, "
            f"filter {filters}, interlace {interlace}); expected a standard PNG. Save it again as PNG."
        )
    return Header(width, height, depth, colour_type, content)


def read_chunks(data: bytes, header: Header) -> Chunks:
    """Return the chunks of a complete file. Raises :class:`ImageError` for a file that is cut off or damaged."""
    collected = _Collected()
    whole, at = memoryview(data), 33
    for _ in range(MOST_CHUNKS):
        name, content, at = _next_chunk(whole, at)
        if name == b"IEND":
            return collected.chunks(header)
        collected.add(name, content)
    raise ImageError(
        f"A PNG of a kind that cannot be read (more than {MOST_CHUNKS} chunks); expected fewer. Save it again as PNG."
    )


class _Collected:
    def __init__(self) -> None:
        self.palette = b""
        self.pixels: list[memoryview] = []
        self.said: dict[bytes, bytes] = {}
        self.broken: set[str] = set()
        self._last = b"IHDR"

    def add(self, name: bytes, content: memoryview | None) -> None:
        """Add a chunk; ``content``: None where its checksum is wrong."""
        if content is None:
            if name in CRITICAL or name in SAID:
                raise _damaged(f"the checksum of its {name.decode()} chunk is wrong")
            self.broken.add(name.decode("ascii", "replace"))
        elif name == b"IDAT":
            if self.pixels and self._last != b"IDAT":
                raise _damaged("its pixels are not in one piece")
            self.pixels.append(content)
        elif name == b"PLTE":
            self.palette = self.palette or bytes(content)
        elif name in SAID:
            if name != b"fcTL" or not self.pixels:
                self.said.setdefault(name, bytes(content))
        elif not name[0] & 0x20:
            _refuse_critical(name)
        self._last = name

    def chunks(self, header: Header) -> Chunks:
        if not self.pixels:
            raise _damaged("it has no pixels")
        if header.colour_type == 3 and not 3 <= len(self.palette) <= 768:
            raise _damaged("it has no palette")
        remarks = [f"its {name} chunk is damaged and was passed over" for name in sorted(self.broken)]
        palette = self.palette[: len(self.palette) // 3 * 3] if header.colour_type == 3 else b""
        return Chunks(header, palette, tuple(self.pixels), self.said, tuple(remarks[:3]))


def _next_chunk(whole: memoryview, at: int) -> tuple[bytes, memoryview | None, int]:
    """Return name, content (None where its checksum is wrong) and end of the chunk at an offset."""
    if at + 12 > len(whole):
        raise _damaged(f"it ends after {len(whole)} bytes, before its IEND chunk")
    size, name = struct.unpack_from(">I4s", whole, at)
    if not name.isalpha() or not name.isascii():
        if not any(whole[at:]):
            zeros = len(whole) - at
            raise ImageError(
                f"The last {zeros} of {len(whole)} bytes are zeros instead of image data; expected a whole file. Its "
                "copy may be in progress or incomplete: run again when it is complete."
            )
        raise _damaged(f"at byte {at} there is no chunk")
    end = at + 8 + size
    if end + 4 > len(whole):
        raise _damaged(f"it ends after {len(whole)} bytes, inside its {name.decode()} chunk")
    content = whole[at + 8 : end]
    is_right = zlib.crc32(whole[at + 4 : end]) == int.from_bytes(whole[end : end + 4], "big")
    return name, content if is_right else None, end + 4


def _chunk(name: bytes, content: bytes | memoryview) -> list[bytes | memoryview]:
    check = zlib.crc32(content, zlib.crc32(name))
    return [struct.pack(">I", len(content)), name, content, struct.pack(">I", check)]


def _refuse_critical(name: bytes) -> None:
    what = "Apple's CgBI, made for iPhone apps" if name == b"CgBI" else f"chunk {name.decode()}"
    raise ImageError(f"A PNG of a kind that cannot be read ({what}); expected a standard PNG. Save it again as PNG.")


def _damaged(what: str) -> ImageError:
    return ImageError(f"Damaged image: a PNG; {what}. {AGAIN}")
