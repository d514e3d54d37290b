"""The boxes of AVIF, HEIC and JPEG 2000 files, and the colours they state.

Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (items and their properties).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from seglab.images.completeness import LEAST, require_end

DEEPEST = 6
MOST_BOXES = 10_000
CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"jp2h": 0}
"""Boxes that hold boxes, and the number of bytes before these."""


def boxes(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield (type, content) of all complete boxes, including those in :data:`CONTAINERS`."""
    yield from _boxes(memoryview(data), 0, [MOST_BOXES])


def outer_boxes(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield (type, content) of the complete outermost boxes."""
    yield from _boxes(memoryview(data), DEEPEST - 1, [MOST_BOXES])


def _boxes(content: memoryview, depth: int, left: list[int]) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at + 8 <= len(content) and depth < DEEPEST and left[0] > 0:
        left[0] -= 1
        size, name = struct.unpack_from(">I4s", content, at)
        head = 8
        if size == 1 and at + 16 <= len(content):
            size, head = struct.unpack_from(">Q", content, at + 8)[0], 16
        end = at + size if size else len(content)
        if end < at + head or end > len(content):
            return
        inside = content[at + head : end]
        yield name, inside
        if name in CONTAINERS:
            yield from _boxes(inside[CONTAINERS[name] :], depth + 1, left)
        at = end


def require_whole_media(data: bytes) -> None:
    """Raise :class:`ImageError` for an AVIF or HEIC whose data end in zeros, because their codes never do; zeros after
    the data are accepted.
    """
    ends = [bytes(content[-LEAST:]) for name, content in outer_boxes(data) if name == b"mdat"]
    if not ends or not ends[-1].strip(b"\0"):
        require_end(data)


def coded_colours(data: bytes) -> tuple[int, int] | None:
    """Return the code points (ITU-T H.273) of primaries and transfer function in a HEIF file; None if it has none, or
    has an ICC profile.
    """
    found = [bytes(content[:11]) for name, content in boxes(data) if name == b"colr"]
    if any(said[:4] in (b"prof", b"rICC") for said in found):
        return None
    said = next((said for said in found if said[:4] == b"nclx" and len(said) == 11), None)
    if said is None:
        return None
    primaries, transfer = struct.unpack_from(">HH", said, 4)
    return primaries, transfer
