"""BMP and DIB of every version: palettes, true colour, bit fields, run lengths, and embedded JPEG or PNG.

Sources: Microsoft, "Bitmap Storage" (Windows GDI; [MS-WMF] 2.2.2); OS/2 2.x bitmaps as in "Encyclopedia of Graphics
File Formats". Alpha is dropped. Colours are sRGB unless a profile is embedded; a linked profile is not opened.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.completeness import RawRows, require_end, require_rows
from seglab.images.decoders import jpeg, png
from seglab.images.decoders.base import Decoded, Request, whole
from seglab.images.decoders.bmp_runs import unpack_runs
from seglab.images.kinds import BITMAP_CORE, BITMAP_HEADERS
from seglab.images.pixels.colour import to_srgb

FILE_HEADER = 14
OS2 = (16, 64)
"""Header sizes of OS/2 2.x, where compressions 3 and 4 mean other ones than in Windows."""
RAW, RLE8, RLE4, BITFIELDS, JPEG, PNG, ALPHA_BITFIELDS = range(7)
MASKS = {16: (0x7C00, 0x3E0, 0x1F), 32: (0xFF0000, 0xFF00, 0xFF)}
"""Default masks of red, green and blue, by bits per pixel."""
RAW_MODES = {1: ("P", "P;1"), 2: ("P", "P;2"), 4: ("P", "P;4"), 8: ("P", "P"), 24: ("RGB", "BGR"), 32: ("RGB", "BGRX")}
"""Pillow's mode and raw mode, by bits per pixel."""
ROWS_AT_A_TIME = 256
EMBEDDED, LINKED = b"DEBM", b"KNIL"
"""Colour space types of version 5: a profile in this file, or in another one."""
END_OF_RUNS = b"\0\1"
"""The end code of run lengths."""
AGAIN = "Expected a whole file; copy it again from the original."


@dataclass(frozen=True, slots=True)
class Bitmap:
    """The header. ``masks``: of red, green and blue in a pixel of 16 or 32 bits. ``palette``: uint8 ``(N, 3)`` RGB.
    ``offset``: of the pixels in the file. ``profile``: the embedded ICC profile, if any.
    """

    width: int
    height: int
    is_top_down: bool
    bits: int
    compression: int
    masks: tuple[int, int, int]
    palette: NDArray[np.uint8]
    offset: int
    profile: bytes | None = None
    remarks: tuple[str, ...] = ()

    @property
    def stride(self) -> int:
        """Bytes from one row to the next."""
        return (self.width * self.bits + 31) // 32 * 4


def decode(data: bytes, request: Request) -> Decoded:
    """Decode a BMP, or a DIB, which has no file header."""
    try:
        bitmap = _read(data)
    except struct.error as error:
        raise _damaged(f"it ends after {len(data)} bytes, inside its header") from error
    request.require_size(bitmap.width, bitmap.height)
    if bitmap.compression in (JPEG, PNG):
        decoder = jpeg.decode if bitmap.compression == JPEG else png.decode
        return decoder(data[bitmap.offset :], request, is_upright=True)
    image = _image(bitmap, data)
    converted, remark = to_srgb(image, bitmap.profile)
    return whole(converted, *bitmap.remarks, *((remark,) if remark else ()))


def _read(data: bytes) -> Bitmap:
    start = FILE_HEADER if data.startswith(b"BM") else 0
    size = struct.unpack_from("<I", data, start)[0]
    if size not in BITMAP_HEADERS:
        raise _unread(f"a header of {size} bytes")
    header = data[start : start + size].ljust(124, b"\0")
    if len(data) < start + size:
        raise _damaged(f"it ends after {len(data)} bytes, inside its header")
    if size == BITMAP_CORE:
        width, height, _, bits, compression, colours = *struct.unpack_from("<4H", header, 4), RAW, 0
    else:
        width, height, _, bits, compression, _, _, _, colours = struct.unpack_from("<iiHHIIiiI", header, 4)
    end = start + size
    is_os2 = size in OS2
    compression = _compression(bits, compression, is_os2=is_os2)
    if compression in (BITFIELDS, ALPHA_BITFIELDS) and size < 52:
        fields, end = data[end : end + 12], end + (12 if compression == BITFIELDS else 16)
    else:
        fields = header[40:52]
    masks = struct.unpack("<3I", fields) if compression in (BITFIELDS, ALPHA_BITFIELDS) else (0, 0, 0)
    offset = struct.unpack_from("<I", data, 10)[0] if start else 0
    entry = 3 if size == BITMAP_CORE else 4
    count = min(colours or 2**bits, 256 if bits <= 8 else colours)
    if offset >= end:
        count = min(count, (offset - end) // entry)
    else:
        offset = end + count * entry
    palette = np.frombuffer(data[end : end + count * entry], np.uint8)
    palette = palette[: len(palette) // entry * entry].reshape(-1, entry)[: 2 ** min(bits, 8), 2::-1]  # (N, 3)
    if width <= 0 or height == 0:
        raise _damaged(f"its header gives {width} x {height} pixels")
    profile, remarks = _profile(data, start, header) if size == 124 else (None, ())
    usable = masks if any(masks) else MASKS.get(bits, (0, 0, 0))
    return Bitmap(width, abs(height), height < 0, bits, compression, usable, palette, offset, profile, remarks)


def _compression(bits: int, compression: int, *, is_os2: bool) -> int:
    """Return the Windows number of a supported compression. RLE8 stands for 24-bit run lengths, too."""
    if is_os2 and (compression, bits) == (4, 24):
        return RLE8
    wanted = {
        RAW: (1, 2, 4, 8, 16, 24, 32), RLE8: (8,), RLE4: (4,), BITFIELDS: (16, 32), ALPHA_BITFIELDS: (16, 32),
    }  # fmt: skip
    if compression in (JPEG, PNG) and not is_os2:
        return compression
    if (is_os2 and compression == BITFIELDS) or bits not in wanted.get(compression, ()):
        raise _unread(f"{bits} bits per pixel, compression {compression}")
    return compression


def _profile(data: bytes, start: int, header: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    place, size = struct.unpack_from("<II", header, 112)
    if header[56:60] == LINKED:
        return None, ("its colour profile is in another file, which is not opened; colours are taken as sRGB",)
    if header[56:60] != EMBEDDED or not size:
        return None, ()
    return data[start + place : start + place + size] or b"none", ()


def _image(bitmap: Bitmap, data: bytes) -> Image.Image:
    if bitmap.compression in (RLE8, RLE4):
        require_end(data, END_OF_RUNS)
        pixels = unpack_runs(data[bitmap.offset :], bitmap.width, bitmap.height, bitmap.bits)
        if bitmap.bits == 24:
            return _upright(np.ascontiguousarray(pixels[..., ::-1]), bitmap)
        return _upright(_full_palette(bitmap)[pixels[..., 0]], bitmap)
    least = bitmap.offset + bitmap.stride * (bitmap.height - 1) + (bitmap.width * bitmap.bits + 7) // 8
    if len(data) < least:
        raise _damaged(f"it ends after {len(data)} bytes; its pixels need {least}")
    require_rows(data, RawRows(bitmap.offset, bitmap.stride))
    view = memoryview(data)[bitmap.offset :]
    if bitmap.bits in (16, 32) and bitmap.masks != MASKS[32]:
        return _upright(_unpacked(bitmap, view), bitmap)
    size, direction = (bitmap.width, bitmap.height), 1 if bitmap.is_top_down else -1
    content = bytes(view[: bitmap.stride * bitmap.height]).ljust(bitmap.stride * bitmap.height, b"\0")
    mode, raw = RAW_MODES[bitmap.bits]
    image = Image.frombytes(mode, size, content, "raw", raw, bitmap.stride, direction)
    if mode == "P":
        image.putpalette(_full_palette(bitmap).tobytes())
    return image


def _unpacked(bitmap: Bitmap, view: memoryview) -> NDArray[np.uint8]:
    """Return bit fields as uint8 ``(H, W, 3)``, rows in stored order. Rows are converted in blocks to save memory."""
    pixels = np.empty((bitmap.height, bitmap.width, 3), np.uint8)
    for row in range(0, bitmap.height, ROWS_AT_A_TIME):
        count = min(ROWS_AT_A_TIME, bitmap.height - row)
        block = bytes(view[row * bitmap.stride : (row + count) * bitmap.stride]).ljust(count * bitmap.stride, b"\0")
        rows = np.frombuffer(block, "<u2" if bitmap.bits == 16 else "<u4").reshape(count, -1)[:, : bitmap.width]
        for channel, mask in enumerate(bitmap.masks):
            pixels[row : row + count, :, channel] = _field(rows, mask)
    return pixels


def _full_palette(bitmap: Bitmap) -> NDArray[np.uint8]:
    """Return the palette as uint8 ``(256, 3)``. Missing entries are black; without a palette it is a grey ramp."""
    full = np.zeros((256, 3), np.uint8)
    if len(bitmap.palette) == 0 and bitmap.bits <= 8:
        steps = np.arange(2**bitmap.bits) * 255 // (2**bitmap.bits - 1)
        full[: len(steps)] = steps[:, None]
    else:
        full[: len(bitmap.palette)] = bitmap.palette
    return full


def _field(values: NDArray[np.uint16] | NDArray[np.uint32], mask: int) -> NDArray[np.uint8]:
    """Return the samples under a mask, scaled to 0-255; of more than 8 bits the highest 8 are kept."""
    if mask == 0:
        return np.zeros(values.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    highest = mask >> shift
    if highest & (highest + 1):
        raise _unread(f"bit fields with gaps, {mask:#x}")
    samples = (values & values.dtype.type(mask & np.iinfo(values.dtype).max)) >> values.dtype.type(shift)
    depth = highest.bit_length()
    if depth > 8:
        return np.asarray(samples >> (depth - 8), np.uint8)
    spread = (np.arange(highest + 1) * 255 // highest).astype(np.uint8)
    return np.asarray(spread[samples])


def _upright(pixels: NDArray[np.uint8], bitmap: Bitmap) -> Image.Image:
    return Image.fromarray(pixels if bitmap.is_top_down else np.ascontiguousarray(pixels[::-1]))


def _damaged(what: str) -> ImageError:
    return ImageError(f"Damaged image: a BMP; {what}. {AGAIN}")


def _unread(what: str) -> ImageError:
    return ImageError(
        f"A BMP of a kind that cannot be read ({what}); expected 1 to 32 bits per pixel, raw or run-length encoded. "
        "Save it as PNG."
    )
