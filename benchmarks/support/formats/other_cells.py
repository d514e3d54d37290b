"""The matrix of BMP by a small writer, and of GIF, WebP, AVIF and JPEG 2000 by libraries."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.support.formats import colours
from benchmarks.support.formats.cells import (
    CONVERTED,
    LOSSLESS,
    LOSSY,
    Bound,
    Cell,
    Picture,
    deepened,
    grey_picture,
    picture,
    shallowed,
    three,
    turned,
)
from benchmarks.support.formats.png_cells import exif, xmp
from benchmarks.support.formats.tiff_writer import packed

MASKS = {
    "555": (16, (0x7C00, 0x03E0, 0x001F)), "565": (16, (0xF800, 0x07E0, 0x001F)), "444": (16, (0x0F00, 0x00F0, 0x000F)),
    "blue first 565": (16, (0x001F, 0x07E0, 0xF800)), "BGRX": (32, (0xFF0000, 0xFF00, 0xFF)),
    "RGBX": (32, (0xFF, 0xFF00, 0xFF0000)), "XBGR": (32, (0xFF000000, 0xFF0000, 0xFF00)),
    "101010": (32, (0x3FF00000, 0x000FFC00, 0x000003FF)),
}  # fmt: skip
COARSE = Bound(8.0, 18.0)
"""What 4 or 5 bits a sample leave, however they are spread."""


def cells() -> Iterator[Cell]:
    """Yield the matrix."""
    for part in (_bmp_palettes, _bmp_colours, _bmp_runs, _gif, _webp, _avif, _heic, _jpeg2000, _cut):
        yield from part()


def bmp(
    rows: bytes,
    bits: int,
    *,
    compression: int = 0,
    palette: bytes = b"",
    masks: bytes = b"",
    top_down: bool = False,
    version: int = 40,
) -> bytes:
    """Return a BMP of the picture's size; ``rows``: padded to 4 bytes each, in the file's order."""
    height, width = picture().shape[:2]
    if version == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        signed = -height if top_down else height
        colours_used = len(palette) // 4
        head = struct.pack(
            "<IiiHHIIiiII", version, width, signed, 1, bits, compression, len(rows), 2835, 2835, colours_used, 0
        )
        head = (head + masks).ljust(version, b"\0") if version > 40 else head + masks
    offset = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + head + palette + rows


def _rows(values: NDArray[Any], bits: int, *, top_down: bool = False) -> bytes:
    """Return rows, the lowest first, each padded to 4 bytes; ``values``: ``(H, W)`` words or ``(H, W, C)`` bytes."""
    array = values if values.ndim == 3 else values[..., None]
    lines = [packed(array[y : y + 1], bits, "<") for y in range(array.shape[0])]
    padded = [line + bytes(-len(line) % 4) for line in lines]
    return b"".join(padded if top_down else padded[::-1])


def _cell(group: str, name: str, data: bytes, *accepted: Picture, bound: Bound = LOSSLESS) -> Cell:
    suffix = {
        "cut off": ".bin",
        "BMP": ".bmp",
        "GIF": ".gif",
        "WebP": ".webp",
        "AVIF": ".avif",
        "HEIC": ".heic",
        "JPEG 2000": ".jp2",
    }[group]
    return Cell("others", group, name, suffix, data, accepted, bound)


def _bmp_palettes() -> Iterator[Cell]:
    for bits, top_down, version in itertools.product((1, 4, 8), (False, True), (12, 40, 108, 124)):
        if version == 12 and top_down:
            continue
        table = np.random.default_rng(bits).integers(0, 256, (2**bits, 3)).astype(np.uint8)
        index = deepened(grey_picture(), bits)
        blue_first = table[:, ::-1]
        entries = blue_first.tobytes() if version == 12 else np.pad(blue_first, ((0, 0), (0, 1))).tobytes()
        data = bmp(_rows(index, bits, top_down=top_down), bits, palette=entries, top_down=top_down, version=version)
        yield _cell("BMP", f"palette {bits} bit, header {version}, top down {top_down}", data, table[index])


def _bmp_colours() -> Iterator[Cell]:
    for top_down, version in itertools.product((False, True), (12, 40, 108, 124)):
        if version == 12 and top_down:
            continue
        data = bmp(_rows(picture()[..., ::-1], 8, top_down=top_down), 24, top_down=top_down, version=version)
        yield _cell("BMP", f"24 bit, header {version}, top down {top_down}", data, picture())
    for (name, (bits, masks)), version in itertools.product(MASKS.items(), (40, 108, 124)):
        words, right = np.zeros(picture().shape[:2], np.uint32), np.empty_like(picture())
        for channel, mask in enumerate(masks):
            shift = (mask & -mask).bit_length() - 1
            samples = deepened(picture()[..., channel], mask.bit_count())
            right[..., channel] = shallowed(samples, mask.bit_count())
            words |= samples << np.uint32(shift)
        packed_masks = struct.pack("<III", *masks) + (b"\0" * 4 if version > 40 else b"")
        data = bmp(_rows(words, bits), bits, compression=3, masks=packed_masks, version=version)
        bound = COARSE if bits == 16 else LOSSLESS
        yield _cell("BMP", f"bitfields {name}, header {version}", data, right, bound=bound)
    five = deepened(picture(), 5)
    plain = five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]
    yield _cell("BMP", "16 bit, no masks", bmp(_rows(plain, 16), 16), shallowed(five, 5), bound=COARSE)
    for name, fourth in (("zeros", 0), ("opaque", 255)):
        four = np.dstack([picture()[..., ::-1], np.full(picture().shape[:2], fourth, np.uint8)])
        yield _cell("BMP", f"32 bit, fourth byte {name}", bmp(_rows(four, 8), 32), picture())


def _bmp_runs() -> Iterator[Cell]:
    table = np.random.default_rng(9).integers(0, 256, (256, 3)).astype(np.uint8)
    entries = np.pad(table[:, ::-1], ((0, 0), (0, 1))).tobytes()
    for bits in (8, 4):
        index = deepened(grey_picture(), bits).astype(np.uint8)
        body = b"".join(_run_row(row, bits) for row in index[::-1]) + b"\0\1"
        data = bmp(body, bits, compression=1 if bits == 8 else 2, palette=entries[: 4 * 2**bits])
        yield _cell("BMP", f"runs, {bits} bit", data, table[index])


def _run_row(row: NDArray[np.uint8], bits: int) -> bytes:
    """Return a row as runs of one value each (of 4 bits: the same nibble twice) and one absolute part."""
    head, rest = row[:6], row[6:]
    literal = (
        bytes(head) if bits == 8 else bytes((int(a) << 4 | int(b)) for a, b in zip(head[::2], head[1::2], strict=True))
    )
    out = b"\0\x06" + literal + bytes(len(literal) % 2)
    for value, group in itertools.groupby(rest.tolist()):
        out += bytes([len(list(group)), value if bits == 8 else value << 4 | value])
    return out + b"\0\0"


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def _gif() -> Iterator[Cell]:
    for interlace, count in itertools.product((0, 1), (2, 16, 256)):
        image = Image.fromarray(picture()).quantize(count, dither=Image.Dither.NONE)
        right = np.asarray(image.convert("RGB"))
        name = f"{count} colours, {'interlaced' if interlace else 'plain'}"
        yield _cell("GIF", name, _saved(image, "GIF", interlace=interlace), right)
        other = Image.fromarray(np.ascontiguousarray(picture()[::-1])).quantize(count)
        moving = _saved(image, "GIF", save_all=True, append_images=[other], interlace=interlace)
        yield _cell("GIF", f"{name}, two frames", moving, right)


def _webp() -> Iterator[Cell]:
    image = Image.fromarray(picture())
    alpha = Image.fromarray(np.dstack([picture(), np.maximum(grey_picture(), 1)]))
    yield _cell("WebP", "lossless", _saved(image, "WEBP", lossless=True), picture())
    yield _cell("WebP", "lossless, alpha", _saved(alpha, "WEBP", lossless=True, exact=True), picture())
    for quality in (50, 95):
        yield _cell(
            "WebP", f"quality {quality}", _saved(image, "WEBP", quality=quality), picture(), bound=Bound(7.0, 60.0)
        )
        data = _saved(alpha, "WEBP", quality=quality, exact=True)
        yield _cell("WebP", f"quality {quality}, alpha", data, picture(), bound=Bound(7.0, 60.0))
    for orientation in range(1, 9):
        data = _saved(image, "WEBP", lossless=True, exif=b"Exif\0\0" + exif(orientation))
        yield _cell("WebP", f"EXIF {orientation}", data, turned(picture(), orientation))
    yield _cell("WebP", "XMP says 6", _saved(image, "WEBP", lossless=True, xmp=xmp(6)), picture())
    stored = colours.in_space(picture(), colours.DISPLAY_P3, 2.2)
    profile = colours.matrix_profile(colours.DISPLAY_P3, 2.2, "P3")
    data = _saved(Image.fromarray(stored), "WEBP", lossless=True, icc_profile=profile)
    yield _cell("WebP", "Display P3", data, colours.from_space(stored, colours.DISPLAY_P3, 2.2), bound=CONVERTED)
    other = Image.fromarray(np.ascontiguousarray(picture()[::-1]))
    yield _cell(
        "WebP", "two frames", _saved(image, "WEBP", save_all=True, append_images=[other], lossless=True), picture()
    )


def _avif() -> Iterator[Cell]:
    image = Image.fromarray(picture())
    for quality, subsampling in itertools.product((60, 95), ("4:4:4", "4:2:0")):
        data = _saved(image, "AVIF", quality=quality, subsampling=subsampling)
        yield _cell("AVIF", f"quality {quality}, {subsampling}", data, picture(), bound=Bound(7.0, 60.0))
    for orientation in range(1, 9):
        data = _saved(image, "AVIF", quality=90, exif=b"Exif\0\0" + exif(orientation))
        yield _cell("AVIF", f"EXIF {orientation}", data, turned(picture(), orientation), bound=Bound(7.0, 60.0))


def _heic() -> Iterator[Cell]:
    try:
        from pillow_heif import from_pillow
    except ImportError:
        return
    for orientation in range(1, 9):
        target = io.BytesIO()
        heif = from_pillow(Image.fromarray(picture()))
        heif.save(target, quality=90, exif=b"Exif\0\0" + exif(orientation))
        yield _cell(
            "HEIC", f"EXIF {orientation}", target.getvalue(), turned(picture(), orientation), bound=Bound(7.0, 60.0)
        )
    for quality, chroma in itertools.product((60, 95), (420, 444)):
        target = io.BytesIO()
        from_pillow(Image.fromarray(picture())).save(target, quality=quality, chroma=chroma)
        yield _cell("HEIC", f"quality {quality}, {chroma}", target.getvalue(), picture(), bound=Bound(7.0, 60.0))


def _cut() -> Iterator[Cell]:
    """Files that lack pixels: none may be read."""
    noise = np.random.default_rng(5).integers(-9, 10, (240, 330, 3))
    image = Image.fromarray(np.clip(picture(240, 330) + noise, 0, 255).astype(np.uint8))
    files = {
        "BMP": bmp(_rows(picture()[..., ::-1], 8), 24),
        "GIF": _saved(image.quantize(256), "GIF"),
        "WebP, lossless": _saved(image, "WEBP", lossless=True),
        "WebP, lossy": _saved(image, "WEBP", quality=90),
        "AVIF": _saved(image, "AVIF", quality=80),
        "JP2": _saved(image, "JPEG2000", irreversible=False),
        "J2K": _saved(image, "JPEG2000", irreversible=False, no_jp2=True),
    }
    for (name, data), share in itertools.product(files.items(), (0.3, 0.6, 0.85, 0.95)):
        end = int(len(data) * share)
        yield _cell("cut off", f"{name}, at {share:.0%}", data[:end])
        yield _cell("cut off", f"{name}, zeros from {share:.0%}", data[:end] + bytes(len(data) - end))


def _jpeg2000() -> Iterator[Cell]:
    for container, bits, colour in itertools.product(("jp2", "j2k"), (8, 12, 16), ("RGB", "grey")):
        shown = picture() if colour == "RGB" else grey_picture()
        right = shown if colour == "RGB" else three(shown)
        deep = deepened(shown, bits).astype(np.uint8 if bits == 8 else np.uint16)
        for reversible in (True, False):
            if not reversible and bits != 8:
                continue
            options: dict[str, Any] = {
                "reversible": reversible,
                "bitspersample": bits,
                "level": None if reversible else 40,
            }
            data = bytes(imagecodecs.jpeg2k_encode(deep, codecformat=container, **options))
            name = f"{container}, {colour} {bits} bit, {'reversible' if reversible else 'lossy'}"
            yield _cell("JPEG 2000", name, data, right, bound=LOSSLESS if reversible else LOSSY)
    tiled = _saved(Image.fromarray(picture()), "JPEG2000", tile_size=(32, 32), irreversible=False)
    yield _cell("JPEG 2000", "jp2, tiles", tiled, picture())
