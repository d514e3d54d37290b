"""The directories of a TIFF: their tags, and where the next one is. No pixels are decoded here.

tifffile is not used, because files cannot be trusted: values are read only on demand and never beyond the end of the
file, circular chains end, and the number of pages and tags is bounded. Source: TIFF 6.0, section 2; BigTIFF
(https://www.awaresystems.be/imaging/tiff/bigtiff.html).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from seglab.errors import ImageError

MOST_TAGS = 4096
MOST_PAGES = 1000
"""Pages that are looked at; what lies behind is counted no more."""
MOST_SUBDIRECTORIES = 64
RATIONALS = {5: "u4", 10: "i4"}
TYPES = {
    1: "u1", 2: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 11: "f4", 12: "f8", 13: "u4", 16: "u8",
    17: "i8", 18: "u8",
}  # fmt: skip
SUB_IFDS = 330


def damaged(what: str) -> ImageError:
    """Return the error for a TIFF that is not whole."""
    return ImageError(
        f"Damaged image: {what}. Expected a whole TIFF; its copy or download may be incomplete: get it again."
    )


def unsupported(what: str) -> ImageError:
    """Return the error for an undamaged TIFF of a kind that is not supported."""
    return ImageError(
        f"A TIFF of a kind that cannot be read ({what}); expected one photograph in grey or RGB. Save it as TIFF or "
        "PNG with 8 or 16 bits per sample."
    )


class Entry(NamedTuple):
    """The type and number of a tag's values, and where in the file they begin."""

    kind: int
    length: int
    at: int


class Layout(NamedTuple):
    """How numbers are written: ``order`` is ``<`` or ``>``; BigTIFFs have longer ones."""

    order: Literal["<", ">"]
    is_big: bool

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.is_big else "I")


@dataclass(frozen=True)
class Directory:
    """A page's tags. ``following``: where the next directory lies, 0 where there is none."""

    data: bytes = field(repr=False)
    layout: Layout
    entries: dict[int, Entry]
    following: int

    def __contains__(self, tag: int) -> bool:
        return tag in self.entries

    def numbers(self, tag: int, most: int = 64) -> list[float]:
        """Return a tag's values, not more than ``most``; none where it is absent. Raises :class:`ImageError`."""
        entry = self.entries.get(tag)
        if entry is None:
            return []
        count = min(entry.length, most)
        is_rational = entry.kind in RATIONALS
        kind = np.dtype(self.layout.order + (RATIONALS[entry.kind] if is_rational else TYPES.get(entry.kind, "u1")))
        count *= 1 + is_rational
        if entry.at + count * kind.itemsize > len(self.data):
            raise damaged(f"the values of its tag {tag} lie beyond its {len(self.data)} bytes")
        values: list[float] = np.frombuffer(self.data, kind, count, entry.at).tolist()
        return [a / b if b else 0.0 for a, b in zip(values[::2], values[1::2], strict=True)] if is_rational else values

    def whole_numbers(self, tag: int, most: int = 64) -> list[int]:
        """The same as integers."""
        return [int(value) for value in self.numbers(tag, most) if np.isfinite(value)]

    def number(self, tag: int, default: int) -> int:
        """Return a tag's first value."""
        return next(iter(self.whole_numbers(tag, 1)), default)

    def raw(self, tag: int) -> bytes:
        """Return a tag's bytes; none where it is absent or lies outside the file."""
        entry = self.entries.get(tag)
        if entry is None or entry.at + entry.length > len(self.data):
            return b""
        return self.data[entry.at : entry.at + entry.length]

    def text(self, tag: int) -> str:
        """Return a text; empty where it is absent."""
        return self.raw(tag).partition(b"\0")[0].decode("utf-8", "replace")


class Chain(NamedTuple):
    """A file's pages. ``is_longer``: there are more than were looked at. ``is_broken``: the next lies outside it."""

    pages: tuple[Directory, ...]
    is_longer: bool = False
    is_broken: bool = False


def read_chain(data: bytes) -> Chain:
    """Read the directories of a file's pages. Raises :class:`ImageError` if there is not even a first one."""
    layout, following = _header(data)
    seen: set[int] = set()
    pages: list[Directory] = []
    while following and following not in seen:
        if len(pages) == MOST_PAGES:
            return Chain(tuple(pages), is_longer=True)
        seen.add(following)
        page = _directory(data, layout, following)
        if page is None:
            if not pages:
                raise _incomplete(data)
            return Chain(tuple(pages), is_broken=True)
        pages.append(page)
        following = page.following
    if not pages:
        raise _incomplete(data)
    return Chain(tuple(pages))


def subdirectories(page: Directory) -> Iterable[Directory]:
    """Return the directories below a page: thumbnails, smaller levels, or the photograph of which it is a copy."""
    offsets = page.whole_numbers(SUB_IFDS, MOST_SUBDIRECTORIES)
    below = (_directory(page.data, page.layout, offset) for offset in dict.fromkeys(offsets) if offset > 0)
    return [directory for directory in below if directory is not None]


def _header(data: bytes) -> tuple[Layout, int]:
    layout = Layout("<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+"))
    start = 8 if layout.is_big else 4
    if len(data) < 2 * start:
        raise _incomplete(data)
    return layout, int(struct.unpack_from(layout.offset, data, start)[0])


def _directory(data: bytes, layout: Layout, at: int) -> Directory | None:
    """Return the directory at an offset; None where there cannot be one."""
    order, is_big = layout
    head, entry = (order + "Q", order + "HHQQ") if is_big else (order + "H", order + "HHII")
    begin = at + struct.calcsize(head)
    if at < 8 or begin > len(data):
        return None
    count = int(struct.unpack_from(head, data, at)[0])
    size = struct.calcsize(entry)
    end = begin + count * size
    if not 0 < count <= MOST_TAGS or end > len(data):
        return None
    entries: dict[int, Entry] = {}
    for number, (tag, kind, values, place) in enumerate(struct.iter_unpack(entry, data[begin:end])):
        room = 8 if is_big else 4
        fits = values * np.dtype(TYPES.get(kind, "u8")).itemsize <= room and kind not in RATIONALS
        entries.setdefault(tag, Entry(kind, values, begin + (number + 1) * size - room if fits else place))
    has_next = end + struct.calcsize(layout.offset) <= len(data)
    return Directory(data, layout, entries, int(struct.unpack_from(layout.offset, data, end)[0]) if has_next else 0)


def _incomplete(data: bytes) -> ImageError:
    return ImageError(
        f"Damaged image: {len(data)} bytes that begin as a TIFF and do not continue as one. Expected a whole file; its "
        "copy or download may be incomplete: get it again."
    )
