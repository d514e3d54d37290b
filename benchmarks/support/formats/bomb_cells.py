"""Small files that claim to be large: none may take more memory or time than their size and the limits allow."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np
from PIL import Image

from benchmarks.support.formats import colours
from benchmarks.support.formats.cells import Cell, Picture, picture
from benchmarks.support.formats.dicom_cells import BASELINE, J2K, RAW, RLE, Pixels, dicom
from benchmarks.support.formats.jpeg_writer import Form, jpeg
from benchmarks.support.formats.png_cells import chunk
from benchmarks.support.formats.tiff_writer import Layout, Pack, tiff

HUGE = 60_000
MUCH = 600_000_000
"""Bytes that a bomb inflates to."""


def cells() -> Iterator[Cell]:
    """Yield the matrix."""
    for part in (_png, _jpeg, _tiff, _tiff_directories, _dicom, _others):
        yield from part()


def _cell(group: str, name: str, data: bytes, *accepted: Picture) -> Cell:
    suffixes = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "DICOM": ".dcm"}
    return Cell("bombs", group, name, suffixes.get(group, ".bin"), data, accepted)


def _png_file(width: int, height: int, data: bytes, *before: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(before) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _zeros(length: int) -> bytes:
    """Return a zlib stream of this many zeros."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(length >> 20)) + packer.flush()


def _png() -> Iterator[Cell]:
    zeros = _zeros(MUCH)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in picture()))
    height, width = picture().shape[:2]
    yield _cell("PNG", "60,000 x 60,000, few bytes", _png_file(HUGE, HUGE, rows))
    yield _cell("PNG", "2^31 - 1 x 2^31 - 1", _png_file(2**31 - 1, 2**31 - 1, rows))
    yield _cell("PNG", "0 x 0", _png_file(0, 0, rows))
    yield _cell("PNG", "pixels that inflate to 600 MB", _png_file(width, height, zeros), np.zeros_like(picture()))
    profile = chunk(b"iCCP", b"a\0\0" + zeros)
    yield _cell("PNG", "a profile that inflates to 600 MB", _png_file(width, height, rows, profile), picture())
    text = chunk(b"zTXt", b"a\0\0" + zeros)
    yield _cell("PNG", "a text that inflates to 600 MB", _png_file(width, height, rows, text), picture())
    many = chunk(b"tEXt", b"a\0b") * 100_000
    yield _cell("PNG", "100,000 texts", _png_file(width, height, rows, many), picture())


def _resized(data: bytes, width: int, height: int) -> bytes:
    """Return a JPEG with another size in its frame header."""
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def _jpeg() -> Iterator[Cell]:
    data = jpeg(colours.to_ycbcr(picture()), Form([(1, 1)] * 3))
    yield _cell("JPEG", "65,500 x 65,500", _resized(data, 65500, 65500))
    yield _cell("JPEG", "0 x 0", _resized(data, 0, 0))
    yield _cell("JPEG", "65,535 x 100, few bytes", _resized(data, 65535, 100))
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "JPEG", progressive=True)
    progressive = buffer.getvalue()
    at = progressive.index(b"\xff\xc2")
    large = progressive[: at + 5] + struct.pack(">HH", 19000, 19000) + progressive[at + 9 :]
    yield _cell("JPEG", "progressive, 19,000 x 19,000, few bytes", large)
    comments = b"\xff\xfe\x00\x03a" * 200_000
    yield _cell("JPEG", "200,000 comments", data[:2] + comments + data[2:], picture())


def _tiff() -> Iterator[Cell]:
    zeros = _zeros(MUCH)
    bombs = {
        "deflate": (8, zeros),
        "zstd": (50000, bytes(imagecodecs.zstd_encode(bytes(MUCH)))),
        "lzma": (34925, bytes(imagecodecs.lzma_encode(bytes(MUCH // 4)))),
    }
    black = np.zeros_like(picture())
    for (name, (number, bomb)), tile in itertools.product(bombs.items(), (0, 64)):
        layout = Layout(compression=number, pack=_always(bomb), tile=tile)
        what = f"{name} that inflates to much more, {'tiles' if tile else 'a strip'}"
        yield _cell("TIFF", what, tiff(picture(), layout), black)
    large = {(256, 4): [HUGE], (257, 4): [HUGE], (278, 4): [HUGE]}
    tags = tuple((number, kind, values) for (number, kind), values in large.items())
    yield _cell("TIFF", "60,000 x 60,000, few bytes", tiff(picture(), Layout(tags=tags)))
    wide = tuple((number, 4, [2**31]) for number in (322, 323))
    yield _cell("TIFF", "tiles of 2^31", tiff(picture(), Layout(tile=64, tags=wide)))
    yield _cell("TIFF", "65,535 samples a pixel", tiff(picture(), Layout(tags=((277, 3, [65535]),))))
    yield _cell("TIFF", "65,535 bits a sample", tiff(picture(), Layout(tags=((258, 3, [65535] * 3),))))
    frame = _resized(jpeg(colours.to_ycbcr(picture()), Form([(1, 1)] * 3)), 65500, 65500)
    data = tiff(picture(), Layout(photometric=6, compression=7, pack=_always(frame)))
    yield _cell("TIFF", "a JPEG inside of 65,500 x 65,500", data)
    stream = _j2k_of(65535, 65535)
    data = tiff(picture(), Layout(compression=34712, pack=_always(stream)))
    yield _cell("TIFF", "a JPEG 2000 inside of 65,535 x 65,535", data)


def _always(content: bytes) -> Pack:
    return lambda _: content


def _j2k_of(width: int, height: int) -> bytes:
    """Return a JPEG 2000 codestream of one tile whose header states another size."""
    data = bytearray(imagecodecs.jpeg2k_encode(picture(), codecformat="j2k", reversible=True))
    at = bytes(data).index(b"\xff\x51") + 6
    for offset, value in ((0, width), (4, height), (16, width), (20, height)):
        struct.pack_into(">I", data, at + offset, value)
    return bytes(data)


def _tiff_directories() -> Iterator[Cell]:
    whole = bytearray(tiff(picture(), Layout()))
    start = struct.unpack_from("<I", whole, 4)[0]
    entries = struct.unpack_from("<H", whole, start)[0]
    loop = bytearray(whole)
    struct.pack_into("<I", loop, start + 2 + 12 * entries, start)
    yield _cell("TIFF", "a directory that follows itself", bytes(loop), picture())
    many = bytearray(whole)
    place = start + 2 + 12 * entries
    for _ in range(60_000):
        struct.pack_into("<I", many, place, len(many) + len(many) % 2)
        many += bytes(len(many) % 2) + struct.pack("<HHHIII", 1, 254, 4, 1, 1, 0)
        place = len(many) - 4
    yield _cell("TIFF", "60,000 reduced pages", bytes(many), picture())
    lies = tuple((number, 4, [2**32 - 8]) for number in (273, 279))
    yield _cell("TIFF", "strips outside of the file", tiff(picture(), Layout(tags=lies)))
    counts = bytearray(whole)
    for at in range(start + 2, start + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", counts, at)[0] == 258:
            struct.pack_into("<I", counts, at + 4, 2**31)
    yield _cell("TIFF", "a tag of 2^31 values", bytes(counts), picture())


def _dicom() -> Iterator[Cell]:
    raw = picture().tobytes()
    yield _cell(
        "DICOM", "65,535 x 65,535, few bytes", dicom(raw, RAW["explicit"], Pixels("RGB"), Rows=65535, Columns=65535)
    )
    yield _cell("DICOM", "10^9 frames", dicom(raw, RAW["explicit"], Pixels("RGB", frames=10**9)))
    padded = dicom(raw + bytes(MUCH), RAW["deflated"], Pixels("RGB"))
    yield _cell("DICOM", "deflated, inflates to 600 MB", padded, picture())
    frame = _resized(jpeg(colours.to_ycbcr(picture()), Form([(1, 1)] * 3)), 65500, 65500)
    yield _cell("DICOM", "a JPEG inside of 65,500 x 65,500", dicom([frame], BASELINE, Pixels("YBR_FULL")))
    yield _cell("DICOM", "a JPEG 2000 inside of 65,535 x 65,535", dicom([_j2k_of(65535, 65535)], J2K, Pixels("RGB")))
    runs = b"\x81\0" * 2_000_000
    rle = struct.pack("<16I", 3, 64, 64, 64, *[0] * 12) + runs
    yield _cell("DICOM", "RLE that unpacks to 256 MB", dicom([rle], RLE, Pixels("RGB")), np.zeros_like(picture()))


def _others() -> Iterator[Cell]:
    image = Image.fromarray(picture())
    bmp, gif, webp, jp2 = (_saved(image, kind) for kind in ("BMP", "GIF", "WEBP", "JPEG2000"))
    large = bytearray(bmp)
    struct.pack_into("<ii", large, 18, HUGE, HUGE)
    yield _cell("BMP", "60,000 x 60,000", bytes(large))
    screen = bytearray(gif)
    struct.pack_into("<HH", screen, 6, 65535, 65535)
    yield _cell("GIF", "a screen of 65,535 x 65,535", bytes(screen))
    wide = bytearray(jp2)
    at = jp2.index(b"ihdr") + 4
    struct.pack_into(">II", wide, at, HUGE, HUGE)
    yield _cell("JPEG 2000", "60,000 x 60,000", bytes(wide))
    yield _cell("JPEG 2000", "a stream of 60,000 x 60,000", _j2k_of(HUGE, HUGE))
    extended = b"VP8X" + struct.pack("<II", 10, 0) + (16382).to_bytes(3, "little") * 2
    riff = extended + webp[12:]
    yield _cell(
        "WebP", "a canvas of 16,383 x 16,383", b"RIFF" + struct.pack("<I", len(riff) + 4) + b"WEBP" + riff, picture()
    )


def _saved(image: Image.Image, kind: str) -> bytes:
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()
