"""A small TIFF writer for what libraries do not write: any depth, order, layout and photometric. Source: TIFF 6.0."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pack = Callable[[NDArray[Any]], bytes]
"""Makes of a block ``(rows, columns, samples)`` the bytes of one strip or tile."""
Tag = tuple[int, int, Sequence[int]]
"""Number, type (1 byte, 2 text, 3 short, 4 long, 5 rational as pairs, 7 undefined, 16 long8), values."""

CODES = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 7: "B", 16: "Q"}


@dataclass(frozen=True)
class Layout:
    """How pixels lie in a page.

    ``rows``: a strip's, 0 for all. ``tile``: its side, 0 for strips. ``kind``: SampleFormat. ``pack``: of a block;
    None packs ``bits`` a sample, most significant first. ``tags``: more of them, or others; ``without``: tags left out.
    """

    bits: int = 8
    photometric: int = 2
    planar: int = 1
    rows: int = 0
    tile: int = 0
    order: str = "<"
    big: bool = False
    compression: int = 1
    compress: Callable[[bytes], Any] = bytes
    pack: Pack | None = None
    predictor: int = 1
    kind: int = 1
    fill_order: int = 1
    tags: tuple[Tag, ...] = ()
    without: tuple[int, ...] = ()


def tiff(samples: NDArray[Any], layout: Layout) -> bytes:
    """Return a file of one page: ``samples`` is ``(H, W, C)``."""
    return tiff_pages([(samples, layout)])


def tiff_pages(pages: Sequence[tuple[NDArray[Any], Layout]]) -> bytes:
    """Return a file of several pages; all have the byte order of the first."""
    order, big = pages[0][1].order, pages[0][1].big
    word = "Q" if big else "I"
    mark = b"II" if order == "<" else b"MM"
    out = bytearray(mark + (struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)))
    link = 8 if big else 4
    for samples, layout in pages:
        tags = _page(out, samples, replace(layout, order=order, big=big))
        _align(out)
        struct.pack_into(order + word, out, link, len(out))
        link = _directory(out, tags, order, big)
    return bytes(out)


def packed(block: NDArray[Any], bits: int, order: str, fill_order: int = 1) -> bytes:
    """Return a block's rows, each filled up to whole bytes."""
    if block.dtype.kind == "f" or bits in (8, 16, 32, 64):
        kind = block.dtype.kind if block.dtype.kind in "fi" else "u"
        raw = block.astype(f"{order}{kind}{bits // 8}").tobytes()
    else:
        flat = block.reshape(block.shape[0], -1).astype(np.uint32)
        planes = (flat[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint32)) & 1  # (rows, values, bits)
        raw = np.packbits(planes.reshape(block.shape[0], -1).astype(np.uint8), axis=1).tobytes()
    return (
        raw
        if fill_order == 1
        else np.packbits(np.unpackbits(np.frombuffer(raw, np.uint8)), bitorder="little").tobytes()
    )


def _page(out: bytearray, samples: NDArray[Any], layout: Layout) -> list[Tag]:
    height, width, channels = samples.shape
    planes = [samples[..., c : c + 1] for c in range(channels)] if layout.planar == 2 else [samples]
    offsets, counts = [], []
    for plane in planes:
        for block in _blocks(plane, layout):
            _align(out)
            content = bytes(layout.compress(_packed(block, layout)))
            offsets.append(len(out))
            counts.append(len(content))
            out += content
    tags: list[Tag] = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [layout.bits] * channels), (259, 3, [layout.compression]),
        (262, 3, [layout.photometric]), (277, 3, [channels]), (284, 3, [layout.planar]),
        *_places(layout, height, offsets, counts),
    ]  # fmt: skip
    tags += [(317, 3, [layout.predictor])] if layout.predictor != 1 else []
    tags += [(339, 3, [layout.kind] * channels)] if layout.kind != 1 else []
    tags += [(266, 3, [layout.fill_order])] if layout.fill_order != 1 else []
    tags += layout.tags
    return sorted({tag[0]: tag for tag in tags if tag[0] not in layout.without}.values())


def _packed(block: NDArray[Any], layout: Layout) -> bytes:
    if layout.pack is not None:
        return layout.pack(block)
    return packed(_predicted(block, layout), layout.bits, layout.order, layout.fill_order)


def _predicted(block: NDArray[Any], layout: Layout) -> NDArray[Any]:
    if layout.predictor == 2:
        whole = block.astype(f"u{layout.bits // 8}")
        return np.concatenate([whole[:, :1], whole[:, 1:] - whole[:, :-1]], axis=1)
    return block


def float_predicted(block: NDArray[Any]) -> bytes:
    """Return floats ``(rows, columns, samples)`` by predictor 3: bytes apart, the highest first, then differences."""
    rows, _, samples = block.shape
    raw = np.frombuffer(block.astype(block.dtype.newbyteorder(">")).tobytes(), np.uint8)
    apart = raw.reshape(rows, -1, block.dtype.itemsize).transpose(0, 2, 1).reshape(rows, -1)
    return np.concatenate([apart[:, :samples], apart[:, samples:] - apart[:, :-samples]], axis=1).tobytes()


def _blocks(plane: NDArray[Any], layout: Layout) -> list[NDArray[Any]]:
    height, width = plane.shape[:2]
    if not layout.tile:
        rows = layout.rows or height
        return [plane[top : top + rows] for top in range(0, height, rows)]
    side = layout.tile
    padded = np.pad(plane, ((0, -height % side), (0, -width % side), (0, 0)), mode="edge")
    return [
        padded[top : top + side, left : left + side] for top in range(0, height, side) for left in range(0, width, side)
    ]


def _places(layout: Layout, height: int, offsets: list[int], counts: list[int]) -> list[Tag]:
    kind = 16 if layout.big else 4
    if layout.tile:
        return [(322, 4, [layout.tile]), (323, 4, [layout.tile]), (324, kind, offsets), (325, kind, counts)]
    return [(273, kind, offsets), (278, 4, [layout.rows or height]), (279, kind, counts)]


def _directory(out: bytearray, tags: list[Tag], order: str, big: bool) -> int:
    """Append a directory and return where the place of the next one is written."""
    room, count = (8, "Q") if big else (4, "I")
    entry = 4 + 2 * room
    start = len(out)
    tail = start + (8 if big else 2) + entry * len(tags) + room
    cells, values_tail = b"", b""
    for number, kind, values in tags:
        raw = struct.pack(f"{order}{len(values)}{CODES[kind]}", *values)
        length = len(values) // 2 if kind == 5 else len(values)
        if len(raw) > room:
            place = tail + len(values_tail)
            values_tail += raw + bytes(-len(raw) % 2)
            raw = struct.pack(order + count, place)
        cells += struct.pack(order + "HH" + count, number, kind, length) + raw.ljust(room, b"\0")
    out += struct.pack(order + ("Q" if big else "H"), len(tags)) + cells + bytes(room) + values_tail
    return tail - room


def _align(out: bytearray) -> None:
    out += bytes(len(out) % 2)
