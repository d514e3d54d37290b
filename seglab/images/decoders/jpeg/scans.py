"""The scans of a JPEG: their positions, whether the image is complete, and a clean copy of what its pixels need.

Source: ITU-T T.81 annexes B, F and G.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from typing import NamedTuple

from seglab.errors import ImageError
from seglab.images.decoders.jpeg.header import (
    DNL,
    EOI,
    FRAMES,
    SKIPPED,
    SOI,
    SOS,
    TABLES,
    Frame,
    Header,
    Segment,
    damaged,
    is_adobe,
    is_jfif,
    next_marker,
    segment_at,
)

MOST_SCANS = 100
"""Largest number of scans. A progressive file has about ten; each costs a pass over the whole image."""
MOST_PIXELS_OF_A_SIDE = 65500
"""libjpeg's limit."""
COEFFICIENTS = 64
NEVER = -1
ALL_COEFFICIENTS = b"\0\x3f\0"
BEHIND_SAMPLES = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
TRANSFORMS = {3: 1, 4: 2}
"""What decoders take an unknown transform of Adobe's for, by the number of components: YCbCr, YCCK."""


class Scan(NamedTuple):
    """``before``: its tables and its header, whose content is ``parameters``. ``body``: its coded samples."""

    before: bytes
    parameters: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Parts:
    """What counts for pixels. ``has_end``: the file says where it ends (FFD9); all of it may be there without, too.

    ``size_at``: where height and width stand in ``beginning``.
    """

    frame: Frame
    beginning: bytes
    size_at: int
    scans: tuple[Scan, ...]
    has_end: bool
    remarks: tuple[str, ...] = ()

    def joined(self) -> bytes:
        """Return them as a whole file, of which a decoder has nothing to remark."""
        return b"".join(
            (self.beginning, *(part for scan in self.scans for part in (scan.before, scan.body)), _marker(EOI))
        )

    def first(self, count: int) -> Parts:
        """Return the first scans alone."""
        return replace(self, scans=self.scans[:count])

    def whole_blocks(self) -> Parts:
        """Return a file of the same coded samples, as high and wide as its blocks, of which edges may hide some."""
        if self.frame.is_lossless or len(self.scans) > 1:
            return self
        several = len(self.frame.components) > 1
        across = 8 * max(component.across for component in self.frame.components) if several else 8
        down = 8 * max(component.down for component in self.frame.components) if several else 8
        frame = self.frame._replace(
            width=-(-self.frame.width // across) * across, height=-(-self.frame.height // down) * down
        )
        if max(frame.width, frame.height) > MOST_PIXELS_OF_A_SIDE:
            return self
        size = struct.pack(">HH", frame.height, frame.width)
        beginning = self.beginning[: self.size_at] + size + self.beginning[self.size_at + 4 :]
        return replace(self, frame=frame, beginning=beginning)

    def with_body(self, number: int, body: bytes) -> Parts:
        """Return the same with other coded samples in one scan."""
        scans = list(self.scans)
        scans[number] = scans[number]._replace(body=body)
        return replace(self, scans=tuple(scans))


class _Between(NamedTuple):
    """What stands behind a scan. ``scan``: the next one's header, None for the last."""

    tables: bytes
    scan: Segment | None
    has_end: bool
    lines: int | None


def split(data: bytes, header: Header) -> Parts:
    """Take a JPEG apart. Raises :class:`ImageError` for one of too many scans."""
    scans: list[Scan] = []
    frame, tables, scan, has_end = header.frame, b"", header.segments[-1], False
    while True:
        found = BEHIND_SAMPLES.search(data, scan.end)
        end = found.start() if found else len(data)
        parameters = _parameters(data[scan.start : scan.end], frame)
        scans.append(Scan(tables + _segment(SOS, parameters), parameters, data[scan.end : end].rstrip(b"\xff")))
        if len(scans) > MOST_SCANS:
            raise ImageError(f"A JPEG of more than {MOST_SCANS} scans; expected about ten. Save it again.")
        tables, following, has_end, lines = _between(data, end)
        if lines and not frame.height:
            frame = frame._replace(height=lines)
        if following is None:
            break
        scan = following
    beginning, size_at, remarks = _beginning(data, header, frame)
    parts = Parts(frame, beginning, size_at, tuple(scans), has_end, remarks)
    return parts if has_end else _without_tail(parts)


def _between(data: bytes, at: int) -> _Between:
    """Read what stands behind a scan. Where it is nonsense, the scan before it was the last."""
    tables, lines = b"", None
    try:
        while True:
            marker, begin, _ = next_marker(data, at)
            if marker == EOI:
                return _Between(tables, None, True, lines)
            segment = segment_at(data, marker, begin)
            if marker == SOS:
                return _Between(tables, segment, False, lines)
            if marker == DNL and segment.end - segment.start >= 2:
                lines = int.from_bytes(data[segment.start : segment.start + 2], "big")
            elif marker in TABLES:
                tables += _segment(marker, data[segment.start : segment.end])
            elif marker not in SKIPPED:
                break
            at = segment.end
    except ImageError:
        pass
    return _Between(tables, None, False, lines)


def _beginning(data: bytes, header: Header, frame: Frame) -> tuple[bytes, int, tuple[str, ...]]:
    parts, remarks, size_at = [_marker(SOI)], [], 0
    if header.stray:
        remarks.append(f"{header.stray} stray bytes between its segments were skipped")
    jfif = any(is_jfif(data, segment) for segment in header.segments)
    for segment in header.segments[:-1]:
        content = data[segment.start : segment.end]
        if is_jfif(data, segment):
            if content[5] != 1:
                remarks.append(f"its JFIF version, {content[5]}.{content[6]:02}, is unknown")
            content = content[:5] + b"\1" + content[6:]
        elif is_adobe(data, segment):
            count = len(frame.components)
            if count in TRANSFORMS and content[11] not in (0, TRANSFORMS[count]):
                if count == 4 or not jfif:
                    remarks.append(f"its colour transform, {content[11]}, is unknown; the usual one was taken")
                content = content[:11] + bytes([TRANSFORMS[count]]) + content[12:]
        elif segment.marker in FRAMES:
            content = content[:1] + struct.pack(">H", frame.height) + content[3:]
            size_at = sum(len(part) for part in parts) + 5  # behind marker, length and precision
        elif segment.marker not in TABLES:
            continue
        parts.append(_segment(segment.marker, content))
    return b"".join(parts), size_at, tuple(remarks)


def _parameters(content: bytes, frame: Frame) -> bytes:
    """Return the content of a scan's header, without values that only progressive or lossless files use."""
    if not content or len(content) != 4 + 2 * content[0]:
        raise damaged("the header of a scan (SOS) contradicts itself")
    return content if frame.is_progressive or frame.is_lossless else content[:-3] + ALL_COEFFICIENTS


def _without_tail(parts: Parts) -> Parts:
    """Take zeros from the end of the last scan, where space was reserved that nothing was written to."""
    if parts.frame.is_arithmetic:  # what is missing would be taken for zeros that its encoder left out
        raise damaged("its end marker (FFD9) is missing")
    body = parts.scans[-1].body
    stripped = body.rstrip(b"\0")
    zeros = len(body) - len(stripped)
    if zeros and stripped.endswith(b"\xff"):
        stripped, zeros = stripped + b"\0", zeros - 1  # an FF among samples is written as FF00
    remark = "its end marker (FFD9) is missing; no pixels are missing"
    if zeros:
        remark = f"{zeros} zeros stand where its end marker (FFD9) should be; no pixels are missing"
    whole = parts.with_body(len(parts.scans) - 1, stripped)
    return replace(whole, remarks=(*parts.remarks, remark))


def missing_passes(parts: Parts) -> bool:
    """Return whether a progressive image lacks passes. Raises :class:`ImageError` if a whole component is missing."""
    frame = parts.frame
    if len(frame.components) == len(parts.scans[0].parameters[1:-3:2]) and not frame.is_progressive:
        return False
    precision = {component.identifier: [NEVER] * COEFFICIENTS for component in frame.components}
    for scan in parts.scans:
        first, last, bits = scan.parameters[-3:] if frame.is_progressive else ALL_COEFFICIENTS
        for identifier in scan.parameters[1:-3:2]:
            if identifier in precision and first <= last < COEFFICIENTS:
                precision[identifier][first : last + 1] = [bits & 15] * (last + 1 - first)
    if any(reached[0] == NEVER for reached in precision.values()):
        raise damaged("a component of its colours is missing")
    return any(any(reached) for reached in precision.values())


def _segment(marker: int, content: bytes) -> bytes:
    return _marker(marker) + struct.pack(">H", len(content) + 2) + content


def _marker(marker: int) -> bytes:
    return bytes([0xFF, marker])
