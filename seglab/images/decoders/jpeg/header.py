"""The header of a JPEG: segments, frame, and what they state about colours and orientation.

Sources: ITU-T T.81 (JPEG) annex B, T.871 (JFIF), T.872 (Adobe's APP14), EXIF 2.32, ICC.1:2010 annex B.4.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from seglab.errors import ImageError

SOF0, SOF3, DHT, SOF9, SOF10, DAC = 0xC0, 0xC3, 0xC4, 0xC9, 0xCA, 0xCC
SOI, EOI, SOS, DQT, DNL, DRI, DHP = 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE
APP0, APP1, APP2, APP14, COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
JPEG_LS = 0xF7
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, DAC}
PROGRESSIVE = frozenset({0xC2, SOF10})
ARITHMETIC = frozenset({SOF9, SOF10})
DECODED = frozenset({SOF0, 0xC1, 0xC2, SOF3}) | ARITHMETIC
WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
TABLES = frozenset({DHT, DAC, DQT, DRI})
SKIPPED = frozenset({DNL, *range(0xE0, 0xF0), COM})
NAMES = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, DHP), "A hierarchical JPEG"),
    0xCB: "A lossless JPEG with arithmetic coding",
    JPEG_LS: "A JPEG-LS image",
}
ICC, EXIF = b"ICC_PROFILE\0", b"Exif\0"
MOST_FILLED = 65535
"""Largest number of stray bytes between two segments that is accepted."""
MOST_SEGMENTS = 10_000
NO_FILL = re.compile(rb"[^\xff]")
_length = struct.Struct(">H").unpack_from
_frame = struct.Struct(">BHHB").unpack_from


class Segment(NamedTuple):
    """A marker, and where its content begins and ends (behind the two bytes of its length)."""

    marker: int
    start: int
    end: int


class Component(NamedTuple):
    """Its identifier, and how finely it is sampled, across and down, beside the others (1 to 4)."""

    identifier: int
    across: int
    down: int


class Frame(NamedTuple):
    """What a SOF segment says. ``height`` is 0 where it is said behind the first scan (DNL)."""

    marker: int
    bits: int
    width: int
    height: int
    components: tuple[Component, ...]

    @property
    def is_lossless(self) -> bool:
        return self.marker == SOF3

    @property
    def is_progressive(self) -> bool:
        return self.marker in PROGRESSIVE

    @property
    def is_arithmetic(self) -> bool:
        return self.marker in ARITHMETIC

    @property
    def fewest_bits(self) -> int:
        """How many bits its samples take at least: one for each block, or each sample of a lossless image."""
        if self.is_arithmetic:
            return 0
        side = 1 if self.is_lossless else 8
        across = side * max(component.across for component in self.components)
        down = side * max(component.down for component in self.components)
        return sum(
            -(-self.width * component.across // across) * -(-self.height * component.down // down)
            for component in self.components
        )


class Header(NamedTuple):
    """The segments up to the first scan's (SOS), which is the last of them.

    ``stray``: bytes between segments that belong to none.
    """

    frame: Frame
    segments: list[Segment]
    stray: int

    @property
    def is_one_scan(self) -> bool:
        """Whether all samples are in the first scan."""
        scan = self.segments[-1]
        return not self.frame.is_progressive and scan.end - scan.start >= 4 + 2 * len(self.frame.components)


def damaged(reason: str) -> ImageError:
    """Return the error for a damaged JPEG."""
    return ImageError(f"Damaged image: {reason}. Expected a whole JPEG; copy it again from the original.")


def read_header(data: bytes) -> Header:
    """Read the segments of a JPEG up to its first scan. Raises :class:`ImageError` for what cannot be decoded."""
    segments: list[Segment] = []
    frame = None
    at, stray = 2, 0
    while stray <= MOST_FILLED and len(segments) <= MOST_SEGMENTS:
        marker, begin, skipped = next_marker(data, at)
        stray += skipped
        if marker in WITHOUT_LENGTH:
            at, stray = begin, stray + 2
            continue
        segment = segment_at(data, marker, begin)
        at = segment.end
        if marker in FRAMES or marker in NAMES:
            if frame is not None:
                raise damaged("it has two headers (SOF)")
            frame = _read_frame(data, segment)
        elif marker not in TABLES and marker not in SKIPPED and marker != SOS:
            raise damaged(f"its header has a marker FF{marker:02X}")
        segments.append(segment)
        if marker == SOS:
            if frame is None:
                raise damaged("its header (SOF) is missing")
            return Header(frame, segments, stray)
    raise damaged(f"its header has {len(segments)} segments and {stray} bytes that belong to none")


def segments_of(data: bytes) -> Iterator[Segment]:
    """Yield the segments up to the first scan's (SOS). Raises :class:`ImageError` where they break off."""
    marker, at = 0, 2
    while marker != SOS:
        marker, at, _ = next_marker(data, at)
        if marker not in WITHOUT_LENGTH:
            segment = segment_at(data, marker, at)
            at = segment.end
            yield segment


def next_marker(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the next marker, where its content begins, and how many bytes were skipped before it (FFs are none)."""
    begin, skipped = at, 0
    while skipped <= MOST_FILLED:
        found = data.find(b"\xff", begin)
        behind = NO_FILL.search(data, found) if found >= 0 else None
        if behind is None:
            raise damaged("it ends within its header")
        skipped += found - begin
        begin = behind.end()
        if data[begin - 1]:
            return data[begin - 1], begin, skipped
        skipped += 2
    raise damaged(f"its header has {skipped} surplus bytes")


def segment_at(data: bytes, marker: int, begin: int) -> Segment:
    """Return the segment whose length stands at ``begin``."""
    if marker in (SOI, EOI):
        raise damaged("it ends before its pixels" if marker == EOI else "another JPEG begins in its header")
    if begin + 2 > len(data):
        raise damaged("it ends within its header")
    end = begin + _length(data, begin)[0]
    if end > len(data) or end < begin + 2:
        raise damaged("it ends within its header" if end > len(data) else "a length in its header is wrong")
    return Segment(marker, begin + 2, end)


def _read_frame(data: bytes, segment: Segment) -> Frame:
    if segment.marker not in DECODED:
        raise ImageError(
            f"{NAMES[segment.marker]}; expected a baseline, progressive or lossless JPEG. Save it again as one of "
            "these."
        )
    if segment.end - segment.start < 6:
        raise damaged("its header (SOF) is too short")
    bits, height, width, count = _frame(data, segment.start)
    if segment.end - segment.start != 6 + 3 * count or width == 0:
        raise damaged("its header (SOF) contradicts itself")
    if count not in (1, 3, 4):
        raise ImageError(
            f"A JPEG of {count} components; expected 1 (grey), 3 (colour) or 4 (CMYK). Save it again as one of these."
        )
    body = data[segment.start + 6 : segment.end]
    components = tuple(Component(body[i], body[i + 1] >> 4, body[i + 1] & 15) for i in range(0, 3 * count, 3))
    if not all(1 <= across <= 4 and 1 <= down <= 4 for _, across, down in components):
        raise damaged("its header (SOF) contradicts itself")
    return Frame(segment.marker, bits, width, height, components)


def exif_of(data: bytes, header: Header) -> bytes | None:
    """Return the first EXIF block."""
    for marker, start, end in header.segments:
        if marker == APP1 and data.startswith(EXIF, start):
            return data[start:end]
    return None


def profile_of(data: bytes, header: Header) -> tuple[bytes | None, bool]:
    """Return the ICC profile, joined from its segments by their numbers; and whether it is broken (then it is None)."""
    chunks = [
        data[start + len(ICC) : end]
        for marker, start, end in header.segments
        if marker == APP2 and data.startswith(ICC, start)
    ]
    if not chunks:
        return None, False
    if any(len(chunk) < 3 or chunk[1] != len(chunks) for chunk in chunks) or len({c[0] for c in chunks}) < len(chunks):
        return None, True
    return b"".join(chunk[2:] for chunk in sorted(chunks, key=lambda chunk: chunk[0])), False


def is_jfif(data: bytes, segment: Segment) -> bool:
    """Return whether this is a JFIF segment. (Decoders ignore shorter ones.)"""
    return segment.marker == APP0 and segment.end - segment.start >= 14 and data.startswith(b"JFIF\0", segment.start)


def is_adobe(data: bytes, segment: Segment) -> bool:
    """Return whether this is Adobe's segment, whose byte 11 states the colour transform."""
    return segment.marker == APP14 and segment.end - segment.start >= 12 and data.startswith(b"Adobe", segment.start)
