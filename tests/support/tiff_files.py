"""A small TIFF writer for files that other writers cannot make: any depth, byte order and pages, and invalid ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

CODES = {1: "B", 2: "B", 3: "H", 4: "I", 7: "B", 11: "f", 12: "d", 13: "I", 16: "Q"}
RATIONAL = 5
COMPRESS: dict[int, Callable[[bytes], bytes]] = {
    1: bytes,
    5: lambda raw: bytes(imagecodecs.lzw_encode(raw)),
    8: zlib.compress,
    32946: zlib.compress,
    32773: lambda raw: bytes(imagecodecs.packbits_encode(raw)),
    34925: lambda raw: bytes(imagecodecs.lzma_encode(raw)),
    50000: lambda raw: bytes(imagecodecs.zstd_encode(raw)),
}
Tag = tuple[int, int, Sequence[Any]]


@dataclass
class Page:
    """A page of ``samples`` ``(H, W, C)``. ``tile``: rows and columns, else strips of ``rows``. ``encode``: makes a
    strip or tile ``(h, w, C)`` to bytes where it is not packed and compressed here. ``below``: its SubIFDs.
    """

    samples: NDArray[Any]
    photometric: int = 2
    bits: int = 8
    kind: int = 1
    compression: int = 1
    predictor: int = 1
    is_planar: bool = False
    is_reversed: bool = False
    rows: int | None = None
    tile: tuple[int, int] | None = None
    tags: Sequence[Tag] = ()
    without: Iterable[int] = ()
    encode: Callable[[NDArray[Any]], bytes] | None = None
    below: Sequence[Page] = field(default_factory=tuple)


def written(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    """Write pages to a TIFF, or a BigTIFF."""
    magic = b"II" if order == "<" else b"MM"
    word = "Q" if big else "I"
    head = magic + (struct.pack(f"{order}HHHQ", 43, 8, 0, 0) if big else struct.pack(f"{order}HI", 42, 0))
    blob, link = bytearray(head), len(head) - struct.calcsize(f"{order}{word}")
    for page in pages:
        link = _add(blob, page, link, order, big)
    return bytes(blob)


def _add(blob: bytearray, page: Page, link: int | None, order: str, big: bool) -> int:
    """Append a page and write its offset to ``link``; return where the offset of the next page goes."""
    word = "Q" if big else "I"
    below = []
    for page_below in page.below:
        end = _add(blob, page_below, None, order, big)
        below.append(end - _size_of_directory(page_below, big))
    offsets, counts = [], []
    for segment in _segments(page, order):
        blob += b"\0" * (len(blob) % 2)
        offsets.append(len(blob))
        counts.append(len(segment))
        blob += segment
    tags = _tags(page, offsets, counts, 16 if big else 4)
    if below:
        tags.append((330, 16 if big else 4, below))
    given = {tag for tag, *_ in page.tags}
    kept = [tag for tag in tags if tag[0] not in given and tag[0] not in set(page.without)]
    return _write_directory(blob, sorted([*kept, *page.tags]), link, order, word)


def _size_of_directory(page: Page, big: bool) -> int:
    tags = _tags(page, [], [], 4)
    given = {tag for tag, *_ in page.tags}
    count = len([tag for tag in tags if tag[0] not in given | set(page.without)]) + len(page.tags)
    return (8 + 20 * count) if big else (2 + 12 * count)


def _write_directory(blob: bytearray, tags: list[Tag], link: int | None, order: str, word: str) -> int:
    room, entries = struct.calcsize(f"{order}{word}"), b""
    for tag, kind, values in tags:
        raw = _values(order, kind, values)
        if len(raw) > room:
            blob += b"\0" * (len(blob) % 2)
            place, raw_in = len(blob), raw
            blob += raw_in
            raw = struct.pack(f"{order}{word}", place)
        count = len(values) // (2 if kind == RATIONAL else 1)
        entries += struct.pack(f"{order}HH{word}", tag, kind, count) + raw.ljust(room, b"\0")
    blob += b"\0" * (len(blob) % 2)
    if link is not None:
        struct.pack_into(f"{order}{word}", blob, link, len(blob))
    blob += struct.pack(f"{order}{'Q' if word == 'Q' else 'H'}", len(tags)) + entries
    blob += bytes(room)
    return len(blob) - room


def _values(order: str, kind: int, values: Sequence[Any]) -> bytes:
    if isinstance(values, bytes):
        return values
    return struct.pack(f"{order}{len(values)}{'I' if kind == RATIONAL else CODES[kind]}", *values)


def _tags(page: Page, offsets: list[int], counts: list[int], word: int) -> list[Tag]:
    height, width, channels = page.samples.shape
    tags: list[Tag] = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [page.bits] * channels), (259, 3, [page.compression]),
        (262, 3, [page.photometric]), (277, 3, [channels]), (284, 3, [1 + page.is_planar]),
        (339, 3, [page.kind] * channels),
    ]  # fmt: skip
    if page.tile:
        tags += [(322, 4, [page.tile[1]]), (323, 4, [page.tile[0]]), (324, word, offsets), (325, word, counts)]
    else:
        tags += [(278, 4, [page.rows or height]), (273, word, offsets), (279, word, counts)]
    if page.predictor != 1:
        tags.append((317, 3, [page.predictor]))
    if page.is_reversed:
        tags.append((266, 3, [2]))
    return tags


def _segments(page: Page, order: str) -> Iterable[bytes]:
    height, width, channels = page.samples.shape
    rows, columns = page.tile or (page.rows or height, width)
    planes = [page.samples[..., k : k + 1] for k in range(channels)] if page.is_planar else [page.samples]
    for plane in planes:
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                part = plane[top : top + rows, left : left + columns]
                if page.tile:
                    below, right = rows - part.shape[0], columns - part.shape[1]
                    part = np.pad(part, ((0, below), (0, right), (0, 0)), mode="edge")
                yield _segment(part, page, order)


def _segment(part: NDArray[Any], page: Page, order: str) -> bytes:
    if page.encode:
        return page.encode(part)
    raw = COMPRESS[page.compression](_packed(part, page, order))
    return bytes(imagecodecs.bitorder_encode(raw)) if page.is_reversed else raw


def _packed(part: NDArray[Any], page: Page, order: str) -> bytes:
    if page.predictor == 3:
        return np.asarray(imagecodecs.floatpred_encode(np.ascontiguousarray(part), axis=-2)).tobytes()
    if page.predictor == 2:
        whole = part.view(f"u{part.dtype.itemsize}") if page.kind == 3 else part
        whole = whole.astype(np.int64)
        part = np.diff(whole, axis=1, prepend=0).astype(np.uint64) & np.uint64(2**page.bits - 1)
        part = part.astype(f"u{next(size for size in (1, 2, 4, 8) if 8 * size >= page.bits)}")
    if page.bits in (8, 16, 32, 64):
        return part.astype(part.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
    if page.bits == 24:
        four = part.astype("<u4")[..., None].view(np.uint8)[..., :3]
        return (four if order == "<" else four[..., ::-1]).tobytes()
    bits = (part[..., None].astype(np.uint32) >> np.arange(page.bits)[::-1].astype(np.uint32)) & 1
    return np.packbits(bits.reshape(len(part), -1).astype(np.uint8), axis=1).tobytes()
