"""Every kind of BMP, written here byte by byte, against the pixels that went in."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from seglab.errors import ImageError, TooLargeError
from seglab.images.pixels.colour import UNUSABLE
from seglab.images.reader import read_photo

HEIGHT, WIDTH = 9, 13
RAW, RLE8, RLE4, BITFIELDS, JPEG, PNG, ALPHA_BITFIELDS = range(7)
RNG = np.random.default_rng(3)
COLOURS = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
PALETTE = RNG.integers(0, 256, (256, 3), np.uint8)


def rows(content: NDArray[np.uint8], *, top_down: bool) -> bytes:
    """Return ``(h, n)`` bytes as rows of BMPs: the lowest first, filled up to four bytes."""
    filled = np.pad(content, ((0, 0), (0, -content.shape[1] % 4)))
    return (filled if top_down else filled[::-1]).tobytes()


def bitmap(
    body: bytes, bits: int, *, size: int = 40, compression: int = RAW, masks: bytes = b"", palette: bytes = b"",
    colours: int = 0, height: int = HEIGHT, reserved: int = 0, offset: int | None = None, has_file: bool = True,
) -> bytes:  # fmt: skip
    if size == 12:
        header = struct.pack("<IHHHH", 12, WIDTH, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, bits, compression, len(body), 2835, 2835, colours, 0)
        header = (
            struct.pack("<I", size) + (header[4:] + (masks if size > 40 else b"")).ljust(size - 4, b"\0")[: size - 4]
        )
    behind = (masks if size <= 40 else b"") + palette
    start = 14 + len(header) + len(behind) if offset is None else offset
    file = b"BM" + struct.pack("<III", start + len(body), reserved, start) if has_file else b""
    return file + header + behind + body


def entries(palette: NDArray[np.uint8], length: int) -> bytes:
    return np.pad(palette[:, ::-1], ((0, 0), (0, length - 3))).tobytes()


def fields(masks: tuple[int, ...], bits: int) -> tuple[bytes, NDArray[np.uint8]]:
    """Return pixels with the high bits of COLOURS under masks, and what comes back of them."""
    values, wanted = np.zeros((HEIGHT, WIDTH), np.uint64), np.zeros_like(COLOURS)
    for channel, mask in enumerate(masks):
        depth = mask.bit_count()
        shift = (mask & -mask).bit_length() - 1 if mask else 0
        samples = COLOURS[..., channel].astype(np.uint64)
        kept = samples >> (8 - depth) if depth <= 8 else samples << (depth - 8)
        values |= (kept & (2**depth - 1)) << shift
        if mask:
            wanted[..., channel] = kept * 255 // (2**depth - 1) if depth <= 8 else samples
    stored = values.astype("<u2" if bits == 16 else "<u4")
    return rows(stored.view(np.uint8).reshape(HEIGHT, -1), top_down=False), wanted


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [12, 16, 40, 52, 56, 64, 108, 124])
def test_palettes_of_every_depth_and_version(bits: int, size: int) -> None:
    indices = RNG.integers(0, 2**bits, (HEIGHT, WIDTH), np.uint8)
    spread = ((indices[..., None] >> np.arange(bits - 1, -1, -1)) & 1).reshape(HEIGHT, -1).astype(np.uint8)
    palette = entries(PALETTE[: 2**bits], 3 if size == 12 else 4)
    content = np.packbits(spread, axis=1)
    for top_down in (False, True) if size > 16 else (False,):
        height = -HEIGHT if top_down else HEIGHT
        data = bitmap(rows(content, top_down=top_down), bits, size=size, palette=palette, height=height)
        assert np.array_equal(read_photo(data).pixels, PALETTE[indices])


@pytest.mark.parametrize("size", [12, 16, 40, 64, 124])
@pytest.mark.parametrize("bits", [16, 24, 32])
def test_true_colour_of_every_version(size: int, bits: int) -> None:
    if bits == 16:
        body, wanted = fields((0x7C00, 0x3E0, 0x1F), 16)
    else:
        filled = np.dstack([COLOURS[..., ::-1], np.full((HEIGHT, WIDTH, bits // 8 - 3), 7, np.uint8)])
        body, wanted = rows(filled.reshape(HEIGHT, -1), top_down=False), COLOURS
    assert np.array_equal(read_photo(bitmap(body, bits, size=size)).pixels, wanted)


@pytest.mark.parametrize(("bits", "masks"), [
    (16, (0xF800, 0x7E0, 0x1F)), (16, (0xF00, 0xF0, 0xF)), (16, (0x3, 0x1C, 0x20)), (16, (0x1F, 0x7E0, 0xF800)),
    (16, (0xFF00, 0xFF, 0)), (32, (0xFF, 0xFF00, 0xFF0000)), (32, (0xFF000000, 0xFF0000, 0xFF00)),
    (32, (0x3FF00000, 0xFFC00, 0x3FF)), (32, (0x7F, 0x3F80, 0x1FC000)), (32, (0xFFF00000, 0xFFC00, 0x3FF)),
])  # fmt: skip
@pytest.mark.parametrize("size", [40, 52, 56, 108, 124])
def test_bit_fields_wherever_they_lie(bits: int, masks: tuple[int, ...], size: int) -> None:
    body, wanted = fields(masks, bits)
    data = bitmap(body, bits, size=size, compression=BITFIELDS, masks=struct.pack("<3I", *masks))
    assert np.array_equal(read_photo(data).pixels, wanted)
    if size == 40:
        alpha = bitmap(body, bits, compression=ALPHA_BITFIELDS, masks=struct.pack("<4I", *masks, 0))
        assert np.array_equal(read_photo(alpha).pixels, wanted)


def run_lengths(indices: NDArray[np.uint8], bits: int) -> bytes:
    """Return RLE codes of rows as they are stored: a literal, then runs, for each row."""
    codes = bytearray()
    for row in indices[::-1].tolist():
        first, rest = row[:5], row[5:]
        content = (
            bytes(first) if bits == 8 else bytes(a << 4 | b for a, b in zip(first[::2], [*first[1::2], 0], strict=True))
        )
        codes += bytes([0, 5]) + content + bytes(len(content) % 2)
        for value in rest:
            codes += bytes([1, value if bits == 8 else value << 4])
        codes += b"\0\0"
    return bytes(codes) + b"\0\1"


@pytest.mark.parametrize(("bits", "compression"), [(8, RLE8), (4, RLE4)])
def test_run_lengths(bits: int, compression: int) -> None:
    indices = RNG.integers(0, 2**bits, (HEIGHT, WIDTH), np.uint8)
    body = run_lengths(indices, bits)
    for gap in (b"", b"\0"):  # pixels may begin at any byte
        palette = entries(PALETTE[: 2**bits], 4)
        data = bitmap(gap + body, bits, compression=compression, palette=palette, offset=54 + len(palette) + len(gap))
        assert np.array_equal(read_photo(data).pixels, PALETTE[indices])
    for end in range(4, len(body) - 4, 7):
        with pytest.raises(ImageError, match="run lengths break off"):
            read_photo(bitmap(body[:end], bits, compression=compression, palette=palette))


def test_run_lengths_may_leave_pixels_out_and_take_turns() -> None:
    body = b"\2\1" + b"\0\2\3\1" + b"\5\2" + b"\0\1"  # two pixels, three across and one up, five pixels, the end
    pixels = read_photo(bitmap(body, 8, compression=RLE8, palette=entries(PALETTE, 4))).pixels
    wanted = np.zeros((HEIGHT, WIDTH), np.uint8)
    wanted[HEIGHT - 1, :2], wanted[HEIGHT - 2, 5:10] = 1, 2
    assert np.array_equal(pixels, PALETTE[wanted])
    turns = bitmap(b"\5\x12" + b"\0\1", 4, compression=RLE4, palette=entries(PALETTE[:16], 4))
    assert np.array_equal(read_photo(turns).pixels[-1, :5], PALETTE[[1, 2, 1, 2, 1]])


def test_runs_of_true_colour() -> None:
    rows_of_runs = (b"".join(b"\1" + bytes(pixel[::-1]) for pixel in row) for row in COLOURS[::-1].tolist())
    codes = b"\0\0".join(rows_of_runs)
    assert np.array_equal(read_photo(bitmap(codes + b"\0\1", 24, size=64, compression=4)).pixels, COLOURS)


@pytest.mark.parametrize(("format", "compression"), [("PNG", PNG), ("JPEG", JPEG)])
def test_a_png_or_jpeg_inside(format: str, compression: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(COLOURS).save(buffer, format, **({"quality": 95} if format == "JPEG" else {}))
    with Image.open(io.BytesIO(buffer.getvalue())) as image:
        wanted = np.asarray(image.convert("RGB"), np.int16)
    assert np.abs(read_photo(bitmap(buffer.getvalue(), 0, compression=compression)).pixels - wanted).max() <= 2


def test_headers_that_are_unusual_are_read() -> None:
    body = rows(COLOURS[..., ::-1].reshape(HEIGHT, -1), top_down=False)
    for data in (
        bitmap(body, 24, reserved=7), bitmap(body, 24, has_file=False), bitmap(body, 24)[:-1],
        bitmap(b"gap" + body, 24, offset=57), bitmap(body, 24, palette=bytes(64)),
    ):  # fmt: skip
        assert np.array_equal(read_photo(data).pixels, COLOURS)
    few = bitmap(
        rows(np.full((HEIGHT, WIDTH), 2, np.uint8), top_down=False), 8, palette=entries(PALETTE[:2], 4), colours=2
    )
    assert not read_photo(few).pixels.any()  # beyond the palette: black


def test_a_profile_inside_counts_and_one_in_another_file_is_not_opened() -> None:
    body = rows(COLOURS[..., ::-1].reshape(HEIGHT, -1), top_down=False)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    elsewhere = "its colour profile is in another file, which is not opened; colours are taken as sRGB"
    for kind, content, remarks in (
        (b"DEBM", profile, ()), (b"DEBM", b"nonsense", (UNUSABLE,)), (b"KNIL", b"/etc/passwd\0", (elsewhere,)),
    ):  # fmt: skip
        data = bytearray(bitmap(body, 24, size=124) + content)
        data[14 + 56 : 14 + 60] = kind
        struct.pack_into("<II", data, 14 + 112, len(data) - len(content) - 14, len(content))
        photo = read_photo(bytes(data))
        assert np.array_equal(photo.pixels, COLOURS)
        assert photo.remarks == remarks


@pytest.mark.parametrize(("data", "words"), [
    (bitmap(b"", 64), "64 bits per pixel, compression 0"), (bitmap(b"", 8, compression=11), "compression 11"),
    (bitmap(bytes(999), 16, compression=BITFIELDS, masks=struct.pack("<3I", 0x5555, 0x2AAA, 0)), "with gaps"),
    (bitmap(bytes(99), 24), "its pixels need"), (bitmap(b"", 24)[:40], "inside its header"),
    (bitmap(b"", 24, height=0), "gives 13 x 0 pixels"),
    (b"BM" + bytes(12) + struct.pack("<I", 77) + bytes(99), "77 bytes"),
])  # fmt: skip
def test_what_cannot_be_read_is_told(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        read_photo(data)


@pytest.mark.parametrize("compression", [RAW, RLE8, PNG])
def test_sizes_are_refused_before_anything_is_allocated(compression: int) -> None:
    with pytest.raises(TooLargeError):
        read_photo(bitmap(b"", 8, compression=compression, height=2**31 - 1))
