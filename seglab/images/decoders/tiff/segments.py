"""From the strips and tiles of a TIFF page to samples.

Compressed data is decoded by imagecodecs (JPEG by libjpeg-turbo), never to more bytes than a strip or tile has pixels
for. Source: TIFF 6.0; Technical Note 2 (JPEG), TIFF Technical Note 3 (floating-point predictor).
"""

from __future__ import annotations

import itertools
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from seglab.errors import ImageError, printable
from seglab.images.decoders.tiff import lzw
from seglab.images.decoders.tiff.directory import Directory, damaged, unsupported
from seglab.images.decoders.tiff.images import IMAGE_CODECS, OLD_JPEG_AT, OLD_JPEG_BYTES, decode_image
from seglab.images.decoders.tiff.lzw import LZW
from seglab.images.decoders.tiff.plan import FAX, NO_COMPRESSION, OLD_JPEG, Plan

Samples = NDArray[Any]
STRIPS, TILES = (273, 279), (324, 325)
XZ_MEMORY = 2**27
SURPLUS = 2**20
"""Bytes by which an inflated strip may exceed twice its size."""
LZW_AT_A_TIME = 2**25
"""Bytes that are unpacked in one call."""
NOT_PACKED = frozenset({NO_COMPRESSION, LZW})
"""Compressions for which :func:`_contents` yields uncompressed bytes."""
OTHER_COMPRESSIONS = {
    9: "JBIG", 10: "JBIG", 99: "lossless JPEG of Leaf", 262: "Kodak", 32766: "NeXT", 32767: "Sony raw",
    32769: "packed raw", 32770: "Samsung raw", 32771: "CCITT RLE/W", 32809: "ThunderScan", 32908: "PixarFilm",
    32909: "PixarLog", 34661: "JBIG", 34676: "SGI Log", 34677: "SGI Log 24", 34713: "Nikon raw", 34715: "JBIG2",
    22610: "JPEG XR", 34934: "JPEG XR",
    65000: "Kodak raw", 65535: "Pentax raw",
}  # fmt: skip


def segments_of(page: Directory, plan: Plan) -> list[tuple[int, int]]:
    """Return offset and length of each strip or tile. Raises :class:`ImageError` if one is not inside the file."""
    names = TILES if plan.is_tiled and TILES[0] in page else STRIPS
    offsets = page.whole_numbers(names[0], plan.segments)
    counts = page.whole_numbers(names[1], plan.segments)
    size = len(page.data)
    if plan.compression == OLD_JPEG and OLD_JPEG_AT in page:
        offsets, counts = [page.number(OLD_JPEG_AT, 0)], [page.number(OLD_JPEG_BYTES, 0)]
    if plan.compression == NO_COMPRESSION and (not counts or plan.segments == 1):
        counts = [_raw_bytes(plan, number) for number in range(plan.segments)]
    elif not counts and plan.segments == 1 and offsets:
        counts = [size - offsets[0]]
    if min(len(offsets), len(counts)) < plan.segments:
        raise damaged(f"its directory lists {min(len(offsets), len(counts))} of {plan.segments} strips or tiles")
    found = list(zip(offsets, counts, strict=True))
    for number, (offset, count) in enumerate(found):
        if offset <= 0 or count <= 0:
            raise damaged(f"strip or tile {number + 1} of {plan.segments} is missing")
        if offset + count > size:
            raise damaged(f"strip or tile {number + 1} of {plan.segments} ends at byte {offset + count} of {size}")
    return found


def _raw_bytes(plan: Plan, number: int) -> int:
    """Return the uncompressed size of a strip or tile in bytes."""
    across, down = plan.subsampling
    if (across, down) != (1, 1):
        return -(-_rows(plan, number) // down) * -(-plan.columns // across) * (across * down + 2)
    return _rows(plan, number) * plan.row_bytes


def _rows(plan: Plan, number: int) -> int:
    """Return the rows of a strip or tile; the last strip may have fewer."""
    if plan.is_tiled:
        return plan.rows
    return min(plan.rows, plan.height - number % plan.grid[0] * plan.rows)


def read_samples(page: Directory, plan: Plan) -> Samples:
    """Return the samples of a page: ``(H, W, C)`` of :attr:`Plan.dtype`. YCbCr of a JPEG is returned as RGB."""
    found = segments_of(page, plan)
    whole = np.empty((plan.height, plan.width, plan.channels), plan.dtype)
    for number, (data, (plane, top, left)) in enumerate(zip(_contents(page, plan, found), _places(plan), strict=True)):
        rows = min(_rows(plan, number), plan.height - top)
        columns = min(plan.columns, plan.width - left)
        samples = _segment(data, page, plan, number)
        tall, wide, channels = samples.shape
        if tall < rows or wide < columns or channels != plan.in_segment:
            raise damaged(
                f"strip or tile {number + 1} has {wide} x {tall} x {channels} samples instead of {columns} x {rows} x "
                f"{plan.in_segment}"
            )
        whole[top : top + rows, left : left + columns, plane] = samples[:rows, :columns]
    return whole


def _contents(page: Directory, plan: Plan, found: Sequence[tuple[int, int]]) -> Iterator[memoryview]:
    """Yield the bytes of each strip or tile as the file has them; LZW is unpacked, several strips at a time."""
    whole = memoryview(page.data)
    if plan.compression != LZW:
        yield from (whole[offset : offset + count] for offset, count in found)
        return
    at_a_time = max(1, LZW_AT_A_TIME // max(1, _raw_bytes(plan, 0)))
    for needed, numbers in itertools.groupby(range(len(found)), lambda number: _raw_bytes(plan, number)):
        while group := list(itertools.islice(numbers, at_a_time)):
            parts = [bytes(whole[found[number][0] : sum(found[number])]) for number in group]
            if any(part.count(0) == len(part) for part in parts):
                raise damaged("a strip or tile has only zeros")
            yield from _unpacked_lzw(parts, needed, plan)


def _unpacked_lzw(parts: Sequence[bytes], needed: int, plan: Plan) -> list[memoryview]:
    turned = [bytes(imagecodecs.bitorder_decode(part)) for part in parts] if plan.is_reversed else parts
    try:
        return lzw.unpacked(turned, needed)
    except (imagecodecs.TiffError, ValueError) as error:
        raise damaged(f"a strip or tile cannot be decoded as LZW ({printable(str(error))})") from error


def require_decodable(plan: Plan) -> None:
    """Raise :class:`ImageError` for a compression or predictor that is not supported."""
    if plan.compression not in (*CODECS, *IMAGE_CODECS, *NOT_PACKED, *FAX):
        name = OTHER_COMPRESSIONS.get(plan.compression, f"scheme {plan.compression}")
        raise unsupported(f"compressed by {name}")
    is_plain = plan.predictor == 1 or plan.compression in IMAGE_CODECS or plan.compression in FAX
    if not is_plain and (plan.predictor not in (2, 3) or (plan.predictor == 3 and plan.kind != "f")):
        raise unsupported(f"predictor {plan.predictor} for {plan.bits} bits")
    is_unusual = plan.is_planar or plan.predictor != 1 or (plan.bits, plan.channels) != (8, 3)
    if plan.subsampling != (1, 1) and plan.compression not in IMAGE_CODECS and is_unusual:
        raise unsupported(f"subsampled chroma of {plan.bits} bits in planes or with a predictor")


def _places(plan: Plan) -> Iterator[tuple[slice, int, int]]:
    """Yield channels, first row and first column of each strip or tile, in the order of the file."""
    planes = [slice(plane, plane + 1) for plane in range(plan.channels)] if plan.is_planar else [slice(None)]
    down, across = plan.grid
    for plane in planes:
        for row in range(down):
            for column in range(across):
                yield plane, row * plan.rows, column * plan.columns


def _segment(data: memoryview, page: Directory, plan: Plan, number: int) -> Samples:
    """Decode a strip or tile: ``(rows, columns, C)``, at least as large as its part of the page."""
    name = f"strip or tile {number + 1} of {plan.segments}"
    if plan.compression not in NOT_PACKED and not any(data[:16]) and data.tobytes().count(0) == len(data):
        raise damaged(f"{name} has only zeros")
    rows, needed = _rows(plan, number), _raw_bytes(plan, number)
    try:
        if plan.compression in IMAGE_CODECS:
            return decode_image(bytes(data), page, plan, rows)
        if plan.is_reversed and plan.compression != LZW:
            data = memoryview(imagecodecs.bitorder_decode(bytes(data)))
        if plan.compression in FAX:
            return _fax(bytes(data), page, plan, rows)
        raw = data if plan.compression in NOT_PACKED else CODECS[plan.compression](bytes(data), needed, _most(plan))
        if len(raw) < needed:
            raise damaged(f"{name} has {len(raw)} of {needed} bytes")
        return _unpacked(memoryview(raw)[:needed], plan, rows)
    except ImageError:
        raise
    except Exception as error:  # each codec has its own errors
        raise damaged(f"{name} cannot be decoded ({printable(str(error))})") from error


def _most(plan: Plan) -> int:
    """Return the uncompressed size of a strip or tile that is padded to its full size, as some are."""
    return max(_raw_bytes(replace(plan, is_tiled=True), 0), _raw_bytes(plan, 0))


def _inflated(data: bytes, needed: int, most: int) -> bytes | bytearray:
    try:
        return imagecodecs.deflate_decode(data, out=needed)
    except imagecodecs.DeflateError:  # too long or damaged; zlib can stop in time
        return _inflated_by_zlib(data, needed)


def _inflated_by_zlib(data: bytes, needed: int) -> bytes:
    """Inflate data that is too long. The rest is dropped, but the checksum at its end must be correct."""
    unpacking = zlib.decompressobj()
    found, dropped = unpacking.decompress(data, needed), 0
    while not unpacking.eof and (more := unpacking.decompress(unpacking.unconsumed_tail, 2**16)):
        dropped += len(more)
        if dropped > needed + SURPLUS:
            raise ValueError(f"it inflates to more than {needed + dropped} bytes")
    return found


def _unlzma(data: bytes, needed: int, most: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=XZ_MEMORY).decompress(data, needed)


def _sized(decode: Callable[..., bytes | bytearray]) -> Callable[[bytes, int, int], bytes | bytearray]:
    def decoded(data: bytes, needed: int, most: int) -> bytes | bytearray:
        try:
            return decode(data, out=needed)
        except RuntimeError:
            if most <= needed:
                raise
            return decode(data, out=most)

    return decoded


CODECS: dict[int, Callable[[bytes, int, int], bytes | bytearray]] = {
    8: _inflated,
    32946: _inflated,
    50013: _inflated,
    32773: _sized(imagecodecs.packbits_decode),
    34925: _unlzma,
    34926: _sized(imagecodecs.zstd_decode),
    50000: _sized(imagecodecs.zstd_decode),
}


def _fax(data: bytes, page: Directory, plan: Plan, rows: int) -> Samples:
    if plan.bits != 1 or plan.in_segment != 1:
        raise unsupported(f"fax compression of {plan.bits} bits")
    if plan.compression == 2:
        bits = imagecodecs.ccittrle_decode(data, height=rows, width=plan.columns)
    elif plan.compression == 3:
        options = page.number(292, 0)
        bits = imagecodecs.ccittfax3_decode(data, height=rows, width=plan.columns, t4options=options)
    else:
        bits = imagecodecs.ccittfax4_decode(data, height=rows, width=plan.columns)
    return np.asarray(bits, np.uint8).reshape(rows, plan.columns, 1)


def _unpacked(raw: memoryview, plan: Plan, rows: int) -> Samples:
    """Bring bytes to samples ``(rows, columns, C)``, and undo the predictor."""
    if plan.subsampling != (1, 1):
        return _spread_chroma(np.frombuffer(raw, np.uint8), plan, rows)
    shape = (rows, plan.columns, plan.in_segment)
    if plan.predictor == 3:
        return _sum_bytes(raw, plan, shape)
    samples = _numbers(raw, plan).reshape(shape)
    return _summed(samples, plan) if plan.predictor == 2 else samples


def _numbers(raw: memoryview, plan: Plan) -> Samples:
    if plan.kind == "f" and plan.bits == 24:
        return np.asarray(imagecodecs.float24_decode(bytes(raw), byteorder=plan.order))
    if plan.bits == 24:
        low, middle, high = np.frombuffer(raw, np.uint8).astype(np.uint32).reshape(-1, 3).T[:: _step(plan.order)]
        return np.asarray(low | middle << 8 | high << 16)
    if plan.bits in (8, 16, 32, 64):
        return np.frombuffer(raw, f"{plan.order}{plan.kind}{plan.bits // 8}").astype(plan.dtype, copy=False)
    runs = plan.columns * plan.in_segment
    return np.asarray(imagecodecs.packints_decode(bytes(raw), plan.dtype, plan.bits, runlen=runs))


def _step(order: str) -> int:
    return 1 if order == "<" else -1


def _summed(samples: Samples, plan: Plan) -> Samples:
    """Undo horizontal differencing (predictor 2), which floats take as integers of their size."""
    whole = samples.view(f"u{samples.dtype.itemsize}") if plan.kind == "f" else samples
    summed = np.asarray(imagecodecs.delta_decode(np.ascontiguousarray(whole), axis=-2))
    if plan.bits < 8 * plan.dtype.itemsize and plan.kind == "u":
        summed &= summed.dtype.type(2**plan.bits - 1)
    return summed.view(samples.dtype)


def _sum_bytes(raw: memoryview, plan: Plan, shape: tuple[int, int, int]) -> Samples:
    """Undo the floating-point predictor (3): differences of bytes, the high bytes of a row first."""
    if plan.bits == 24:
        raise unsupported("the floating-point predictor for 24 bits")
    differences = np.frombuffer(raw, plan.dtype).reshape(shape)
    return np.asarray(imagecodecs.floatpred_decode(differences, axis=-2))


def _spread_chroma(raw: NDArray[np.uint8], plan: Plan, rows: int) -> NDArray[np.uint8]:
    """Bring units of several Y samples, one Cb and one Cr to ``(rows, columns, 3)``; chroma is repeated."""
    across, down = plan.subsampling
    tall, wide = -(-rows // down), -(-plan.columns // across)
    units = raw.reshape(tall, wide, across * down + 2)
    luma = units[..., :-2].reshape(tall, wide, down, across).swapaxes(1, 2).reshape(tall * down, wide * across)
    chroma = units[..., -2:].repeat(down, axis=0).repeat(across, axis=1)  # (tall * down, wide * across, 2)
    return np.dstack([luma, chroma])[:rows, : plan.columns]
