"""Counting the frames of a GIF by its blocks. Source: GIF89a specification (CompuServe, 1990)."""

from __future__ import annotations

EXTENSION, FRAME = 0x21, 0x2C
MOST = 1000
"""Frames are counted up to this."""


def count_frames(data: bytes) -> int:
    """Return the number of frames in the file, which may be cut off; at most :data:`MOST`."""
    at = 13 + _table(data[10:11])
    frames = 0
    while at < len(data) and frames < MOST:
        if data[at] == EXTENSION:
            at = _behind_blocks(data, at + 2)
        elif data[at] == FRAME:
            frames += 1
            at = _behind_blocks(data, at + 11 + _table(data[at + 9 : at + 10]))
        else:
            break
    return frames


def _table(flags: bytes) -> int:
    """Return the length in bytes of a colour table."""
    return 3 << (1 + (flags[0] & 7)) if flags and flags[0] & 0x80 else 0


def _behind_blocks(data: bytes, at: int) -> int:
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1
