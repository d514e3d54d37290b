"""Every kind of PNG, written here byte by byte, against the samples that went in."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError, TooLargeError
from seglab.images.reader import read_photo

HEIGHT, WIDTH = 11, 13
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = [
    *((depth, 0) for depth in (1, 2, 4, 8, 16)), (8, 2), (16, 2), *((depth, 3) for depth in (1, 2, 4, 8)),
    (8, 4), (16, 4), (8, 6), (16, 6),
]  # fmt: skip
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Of Adam7: first row and column, steps down and across."""
Chunk = tuple[bytes, bytes]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def packed(samples: NDArray[np.uint16], depth: int) -> bytes:
    """Return rows of ``(h, w, channels)`` as PNG stores them, each with filter 0."""
    if not samples.size:
        return b""
    flat = samples.reshape(len(samples), -1)
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in flat]
    else:
        bits = (flat[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = [np.packbits(row.reshape(-1).astype(np.uint8)).tobytes() for row in bits]
    return b"".join(b"\0" + row for row in rows)


def written(
    samples: NDArray[np.uint16], depth: int, colour: int, *, interlaced: bool = False, before: Iterable[Chunk] = (),
    after: Iterable[Chunk] = (), palette: bytes = b"",
) -> bytes:  # fmt: skip
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    parts = [samples[top::down, left::across] for top, left, down, across in PASSES] if interlaced else [samples]
    body = zlib.compress(b"".join(packed(part, depth) for part in parts))
    chunks = [
        (b"IHDR", header), *before, *([(b"PLTE", palette)] if palette else []), (b"IDAT", body[: len(body) // 2]),
        (b"IDAT", body[len(body) // 2 :]), *after, (b"IEND", b""),
    ]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def samples_of(depth: int, colour: int, seed: int = 5) -> NDArray[np.uint16]:
    shape = (HEIGHT, WIDTH, CHANNELS[colour])
    return np.random.default_rng(seed).integers(0, 2**depth, shape, np.uint16)


def expected(samples: NDArray[np.uint16], depth: int, colour: int, palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if colour == 3:
        return palette[samples[..., 0]]
    colours = samples[..., :3] if colour in (2, 6) else np.repeat(samples[..., :1], 3, axis=2)
    return np.asarray(colours >> 8 if depth == 16 else colours * (255 // (2**depth - 1)), np.uint8)


def grey(values: NDArray[np.uint8], *chunks: Chunk) -> bytes:
    return written(values.astype(np.uint16)[..., None], 8, 0, before=chunks)


RAMP = np.arange(256, dtype=np.uint8).reshape(8, 32)


@pytest.mark.parametrize(("depth", "colour"), KINDS)
@pytest.mark.parametrize("interlaced", [False, True])
def test_every_kind_of_png_gives_its_samples(
    depth: int, colour: int, interlaced: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    samples = samples_of(depth, colour)
    palette = np.random.default_rng(1).integers(0, 256, (2**depth if colour == 3 else 1, 3), np.uint8)
    wanted = expected(samples, depth, colour, palette)
    transparent = {0: b"\0\1", 2: bytes(5) + b"\1", 3: b"\0\xff\x80"}.get(colour)
    for seen_through, orientation in itertools.product((False, True), (1, 3, 6)):
        chunks = [(b"tRNS", transparent)] if seen_through and transparent else []
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = written(
            samples, depth, colour, interlaced=interlaced, palette=palette.tobytes() if colour == 3 else b"",
            after=[(b"eXIf", exif.tobytes()[6:])] if orientation == 3 else [],
            before=[(b"eXIf", exif.tobytes()[6:])] if orientation == 6 else [],
        )  # fmt: skip
        if chunks:
            place = data.index(b"IDAT") - 4
            data = data[:place] + chunk(*chunks[0]) + data[place:]
        photo = read_photo(data)
        turned = {1: wanted, 3: wanted[::-1, ::-1], 6: np.rot90(wanted, -1)}[orientation]
        assert np.array_equal(photo.pixels, turned), (seen_through, orientation)
        assert photo.size == turned.shape[:2]
        assert photo.remarks == ()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (2, 3), (5, 5)])
@pytest.mark.parametrize(("depth", "colour"), [(16, 2), (16, 4), (8, 2), (1, 0)])
def test_small_images_in_passes(height: int, width: int, depth: int, colour: int) -> None:
    samples = samples_of(depth, colour)[:height, :width]
    wanted = expected(samples, depth, colour, np.zeros((1, 3), np.uint8))
    assert np.array_equal(read_photo(written(samples, depth, colour, interlaced=True)).pixels, wanted)


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_twelve_bits_in_sixteen_are_told_and_said(colour: int) -> None:
    samples = samples_of(12, colour)
    photo = read_photo(written(samples, 16, colour))
    wanted = samples[..., :3] if colour in (2, 6) else np.repeat(samples[..., :1], 3, axis=2)
    assert np.array_equal(photo.pixels, wanted >> 4)
    assert photo.remarks == ("all samples lie below 4096 of 65535; read as 12 bits",)


@pytest.mark.parametrize(("bits", "shift"), [(16, 8), (12, 4), (10, 2)])
def test_significant_bits_say_the_range_of_dark_images(bits: int, shift: int) -> None:
    samples = samples_of(10, 2)
    photo = read_photo(written(samples, 16, 2, before=[(b"sBIT", bytes([bits] * 3))]))
    assert np.array_equal(photo.pixels, samples >> shift)


def test_samples_of_twelve_bits_that_fill_the_range_keep_their_high_byte() -> None:
    samples = samples_of(16, 2)
    photo = read_photo(written(samples, 16, 2, before=[(b"sBIT", b"\x0c\x0c\x0c")]))
    assert np.array_equal(photo.pixels, samples >> 8)
    assert photo.remarks == ()


def srgb(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def gamma(value: int) -> Chunk:
    return b"gAMA", struct.pack(">I", value)


@pytest.mark.parametrize("value", [100000, 55556, 35000, 200000])
def test_a_gamma_is_brought_to_that_of_srgb(value: int) -> None:
    photo = read_photo(grey(RAMP, gamma(value)))
    wanted = srgb((RAMP / 255.0) ** (100000 / value))
    assert np.abs(photo.pixels - wanted[..., None]).max() <= 2
    assert photo.remarks == (f"colours converted from gamma {value / 100000:g} to sRGB",)


def test_linear_light_of_sixteen_bits_keeps_its_dark_half() -> None:
    samples = np.arange(0, 65536, 32, dtype=np.uint16).reshape(32, 64)
    for colour, stored in ((0, samples[..., None]), (2, np.repeat(samples[..., None], 3, axis=2))):
        photo = read_photo(written(stored, 16, colour, before=[gamma(100000)]))
        assert np.abs(photo.pixels - srgb(samples / 65535.0)[..., None]).max() <= 1, colour


@pytest.mark.parametrize("chunks", [
    [gamma(45455)], [gamma(45000)], [gamma(100000), (b"sRGB", b"\0")],
    [gamma(45455), (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))],
    [gamma(100000), (b"cICP", b"\1\x0d\0\1")], [(b"cICP", b"\1\1\0\1")],
])  # fmt: skip
def test_colours_of_srgb_stay_as_they_are(chunks: list[Chunk]) -> None:
    photo = read_photo(grey(RAMP, *chunks))
    assert np.array_equal(photo.pixels[..., 0], RAMP)
    assert photo.remarks == ()


@pytest.mark.parametrize("chunks", [
    [gamma(0)], [gamma(2**31)], [(b"gAMA", b"\0")], [(b"cHRM", bytes(32))], [(b"cHRM", b"\xff" * 32)],
    [(b"cHRM", struct.pack(">8I", 31270, 32900, *(30000, 30000) * 3))],
])  # fmt: skip
def test_nonsense_for_colours_is_ignored_and_said(chunks: list[Chunk]) -> None:
    photo = read_photo(grey(RAMP, *chunks))
    assert np.array_equal(photo.pixels[..., 0], RAMP)
    assert photo.remarks == (f"its {chunks[0][0].decode()} chunk is invalid and was ignored",)


@pytest.mark.parametrize(("code", "words"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused_by_its_name(code: int, words: str) -> None:
    with pytest.raises(ImageError, match=rf"A PNG of high dynamic range \({words}\)"):
        read_photo(grey(RAMP, (b"cICP", bytes([9, code, 0, 1]))))


def test_xmp_does_not_turn_an_image() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    photo = read_photo(grey(RAMP, (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)))
    assert photo.size == RAMP.shape


def test_a_broken_comment_does_not_cost_the_image() -> None:
    data = grey(RAMP, (b"tEXt", b"Comment\0hello"))
    place = data.index(b"hello")
    photo = read_photo(data[:place] + b"jello" + data[place + 5 :])
    assert np.array_equal(photo.pixels[..., 0], RAMP)
    assert photo.remarks == ("its tEXt chunk is damaged and was passed over",)


def test_texts_and_profiles_that_unfold_without_end_are_no_matter() -> None:
    bomb = zlib.compress(bytes(1 << 27), 9)
    photo = read_photo(grey(RAMP, (b"zTXt", b"Comment\0\0" + bomb), (b"iCCP", b"name\0\0" + bomb)))
    assert np.array_equal(photo.pixels[..., 0], RAMP)
    assert photo.remarks == ("its colour profile cannot be used; colours are taken as sRGB",)


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE", b"IDAT", b"eXIf", b"gAMA", b"iCCP", b"cICP"])
def test_what_pixels_depend_on_is_refused_when_its_check_sum_does_not_fit(name: bytes) -> None:
    before = [(name, b"12345678")] if name not in (b"IHDR", b"PLTE", b"IDAT") else []
    data = bytearray(written(np.zeros((4, 4, 1), np.uint16), 8, 3, before=before, palette=b"abc"))
    data[data.index(name) + 6] ^= 1
    with pytest.raises(ImageError, match="Damaged image: a PNG; the checksum of its"):
        read_photo(bytes(data))


def test_a_png_that_is_cut_off_anywhere_is_damaged_and_bytes_behind_it_are_not() -> None:
    data = grey(RAMP)
    for end in range(8, len(data)):
        with pytest.raises(ImageError, match="Damaged image: a PNG"):
            read_photo(data[:end])
    assert np.array_equal(read_photo(data + b"more").pixels[..., 0], RAMP)


@pytest.mark.parametrize("depth", [8, 16])
def test_pixels_that_do_not_fit_their_sum_are_damaged(depth: int, capfd: pytest.CaptureFixture[str]) -> None:
    data = written(samples_of(depth, 2), depth, 2)
    end = data.index(b"IEND") - 8
    start = data.rindex(b"IDAT") + 4
    spoiled = data[start : end - 1] + bytes([data[end - 1] ^ 1])
    with pytest.raises(ImageError, match="Damaged image: a PNG"):
        read_photo(data[: start - 8] + chunk(b"IDAT", spoiled) + data[end + 4 :])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("change", "words"), [
    ((b"\r\n\x1a\n", b"\n\x1a\n"), "transfer in text mode"), ((b"IDAT", b"JDAT"), "check sum|no pixels|chunk JDAT"),
])  # fmt: skip
def test_other_damage_is_told(change: tuple[bytes, bytes], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        read_photo(grey(RAMP).replace(*change))


def test_apples_own_png_is_refused_by_name() -> None:
    with pytest.raises(ImageError, match=r"of a kind that cannot be read \(Apple's CgBI"):
        read_photo(grey(RAMP, (b"CgBI", b"\x50\0\x20\2")))


def test_a_size_is_refused_before_anything_else() -> None:
    data = written(np.zeros((1, 1, 1), np.uint16), 8, 0)
    large = struct.pack(">II", 2**30, 2**30) + data[24:29]
    with pytest.raises(TooLargeError):
        read_photo(data[:16] + large + struct.pack(">I", zlib.crc32(b"IHDR" + large)) + data[33:])


def test_frames_and_alpha_are_said() -> None:
    frames = [Image.fromarray(RAMP), Image.fromarray(RAMP[::-1].copy()), Image.fromarray(RAMP.T.copy().reshape(8, 32))]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    photo = read_photo(buffer.getvalue())
    assert np.array_equal(photo.pixels[..., 0], RAMP)
    assert photo.remarks == ("the first of 3 frames",)
    unseen = np.dstack([RAMP, np.zeros_like(RAMP)]).astype(np.uint16)
    for depth in (8, 16):
        photo = read_photo(written(unseen << (depth - 8), depth, 4))  # type: ignore[arg-type]
        assert np.array_equal(photo.pixels[..., 0], RAMP)
        assert photo.remarks == ("every pixel is transparent; read by the colours below",)
