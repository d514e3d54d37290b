"""A small encoder of baseline JPEG for what libraries do not write: any components, samplings, scans and markers.

Source: ITU-T T.81. All Huffman codes of a table have one length, so the tables are short to write.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
AC_SYMBOLS = [0x00, 0xF0, *(run << 4 | size for run in range(16) for size in range(1, 11))]
DC_BITS, AC_BITS = 4, 8
JFIF = (0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")
ZIGZAG = sorted(range(64), key=lambda at: (at // 8 + at % 8, (at // 8 if (at // 8 + at % 8) % 2 else at % 8)))
Segment = tuple[int, bytes]


@dataclass(frozen=True)
class Form:
    """How to write it.

    ``factors``: (across, down) of each component. ``ids``: of the components. ``segments``: behind SOI. ``restart``:
    MCUs between restart markers. ``apart``: each component has a scan of its own. ``dnl``: the height comes behind the
    first scan. ``step``: of quantisation, the same for all coefficients. ``deep_tables``: quantisation in 16 bits.
    """

    factors: Sequence[tuple[int, int]]
    ids: bytes = b"\x01\x02\x03\x04"
    segments: Sequence[Segment] = (JFIF,)
    restart: int = 0
    apart: bool = False
    dnl: bool = False
    step: int = 2
    deep_tables: bool = False
    fill: bytes = b""
    behind: bytes = field(default=EOI)


def segment(marker: int, body: bytes) -> bytes:
    """Return a marker segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def adobe(transform: int) -> Segment:
    """Return Adobe's APP14, which says how components are to be converted."""
    return 0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform])


def jpeg(planes: NDArray[Any], form: Form) -> bytes:
    """Return a JPEG of ``planes`` ``(H, W, C)``, 0-255, as they are: no colours are converted."""
    height, width, count = planes.shape
    most = [max(factor[axis] for factor in form.factors) for axis in (0, 1)]
    grids = [_coefficients(planes[..., c], form.factors[c], most, form.step) for c in range(count)]
    table = [form.step] * 64
    quantisation = b"\x10" + struct.pack(">64H", *table) if form.deep_tables else b"\0" + bytes(table)
    frame = struct.pack(">BHHB", 8, 0 if form.dnl else height, width, count)
    frame += b"".join(bytes([form.ids[c], form.factors[c][0] << 4 | form.factors[c][1], 0]) for c in range(count))
    dc = bytes([0x00]) + _lengths(DC_BITS, 12) + bytes(range(12))
    ac = bytes([0x10]) + _lengths(AC_BITS, len(AC_SYMBOLS)) + bytes(AC_SYMBOLS)
    marks = [*form.segments, (0xDB, quantisation), (0xC0, frame), (0xC4, dc), (0xC4, ac)]
    marks += [(0xDD, struct.pack(">H", form.restart))] if form.restart else []
    out = SOI + b"".join(form.fill + segment(*mark) for mark in marks)
    for number, scan in enumerate([[c] for c in range(count)] if form.apart else [list(range(count))]):
        head = bytes([len(scan)]) + b"".join(bytes([form.ids[c], 0]) for c in scan) + b"\0\x3f\0"
        out += segment(0xDA, head) + _scan(grids, scan, form, (height, width), most)
        out += segment(0xDC, struct.pack(">H", height)) if form.dnl and number == 0 else b""
    return out + form.behind


def _lengths(bits: int, count: int) -> bytes:
    return bytes(count if length == bits else 0 for length in range(1, 17))


def _coefficients(plane: NDArray[Any], factor: tuple[int, int], most: list[int], step: int) -> NDArray[np.int32]:
    """Return quantised coefficients in zigzag order: int32 ``(rows of blocks, columns of blocks, 64)``, whole MCUs."""
    height, width = plane.shape
    mcus = (-(-height // (8 * most[1])), -(-width // (8 * most[0])))
    padded = np.pad(plane, ((0, mcus[0] * 8 * most[1] - height), (0, mcus[1] * 8 * most[0] - width)), mode="edge")
    size = (mcus[1] * 8 * factor[0], mcus[0] * 8 * factor[1])
    small = cv2.resize(padded.astype(np.float32), size, interpolation=cv2.INTER_AREA) - 128
    rows, columns = size[1] // 8, size[0] // 8
    out = np.empty((rows, columns, 64), np.int32)
    for row in range(rows):
        for column in range(columns):
            block = cv2.dct(np.ascontiguousarray(small[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]))
            out[row, column] = np.round(block.ravel()[ZIGZAG] / step)
    return out


def _scan(grids: list[NDArray[np.int32]], scan: list[int], form: Form, size: tuple[int, int], most: list[int]) -> bytes:
    """Return entropy-coded data, with restart markers."""
    units = list(_units(grids, scan, form, size, most))
    step = form.restart or len(units)
    parts = []
    for start in range(0, len(units), step):
        last = dict.fromkeys(scan, 0)
        bits: list[str] = []
        for unit in units[start : start + step]:
            for component, block in unit:
                _block(bits, block, last[component])
                last[component] = int(block[0])
        parts.append(_stuffed("".join(bits)))
    out = parts[0]
    for number, part in enumerate(parts[1:]):
        out += bytes([0xFF, 0xD0 + number % 8]) + part
    return out


def _units(grids: list[NDArray[np.int32]], scan: list[int], form: Form, size: tuple[int, int], most: list[int]) -> Any:
    """Yield MCUs: lists of (component, block). A scan of one component has only blocks that hold pixels (A.2.2)."""
    if len(scan) == 1:
        grid, factor = grids[scan[0]], form.factors[scan[0]]
        rows = math.ceil(math.ceil(size[0] * factor[1] / most[1]) / 8)
        columns = math.ceil(math.ceil(size[1] * factor[0] / most[0]) / 8)
        for row in range(rows):
            for column in range(columns):
                yield [(scan[0], grid[row, column])]
        return
    across, down = form.factors[scan[0]]
    for row in range(grids[scan[0]].shape[0] // down):
        for column in range(grids[scan[0]].shape[1] // across):
            yield [
                (c, grids[c][row * form.factors[c][1] + y, column * form.factors[c][0] + x])
                for c in scan
                for y in range(form.factors[c][1])
                for x in range(form.factors[c][0])
            ]


def _block(bits: list[str], block: NDArray[np.int32], last: int) -> None:
    difference = int(block[0]) - last
    bits.append(format(difference and abs(difference).bit_length(), f"0{DC_BITS}b") + _value(difference))
    run = 0
    for value in map(int, block[1:]):
        if value == 0:
            run += 1
            continue
        while run > 15:
            bits.append(_code(0xF0))
            run -= 16
        bits.append(_code(run << 4 | abs(value).bit_length()) + _value(value))
        run = 0
    if run:
        bits.append(_code(0x00))


def _code(symbol: int) -> str:
    return format(AC_SYMBOLS.index(symbol), f"0{AC_BITS}b")


def _value(value: int) -> str:
    size = abs(value).bit_length()
    return format(value if value > 0 else value + (1 << size) - 1, f"0{size}b") if size else ""


def _stuffed(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return int("1" + bits, 2).to_bytes(len(bits) // 8 + 1, "big")[1:].replace(b"\xff", b"\xff\0")
