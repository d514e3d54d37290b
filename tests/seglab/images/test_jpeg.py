"""JPEGs of every kind: the pixels that independent decoders give, or the image that was encoded."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from seglab.errors import ImageError, TooLargeError
from seglab.images.decoders import jpeg
from seglab.images.decoders.base import Decoded, Request
from seglab.images.reader import read_photo
from tests.support.jpegs import (
    WRITTEN_BY_CJPEG,
    by_cjpeg,
    by_pillow,
    encoded,
    gradient,
    inserted,
    joined,
    photograph,
    samples_at,
    segment,
    segments,
    without,
)

NEAR = 5
"""Grey levels on average by which quality 85 and subsampled colours change a smooth image, and no more."""


def read(data: bytes, at_least: int | None = None) -> Decoded:
    return jpeg.decode(data, Request(at_least))


def pixels(data: bytes, at_least: int | None = None) -> np.ndarray:
    return np.asarray(read(data, at_least).pixels)


@pytest.mark.parametrize("kind", WRITTEN_BY_CJPEG)
def test_samplings_and_codings_that_few_write(kind: str) -> None:
    data = by_cjpeg(kind)
    found = read(data)
    assert found.remarks == ()
    assert np.array_equal(found.pixels, by_pillow(data))  # type: ignore[arg-type]
    assert np.abs(np.asarray(found.pixels, float) - gradient()).mean() < NEAR
    scaled = read(data, 16)
    assert (scaled.size, min(np.asarray(scaled.pixels).shape[:2]) >= 16) == ((40, 48), True)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{"subsampling": number} for number in range(3)]
    + [{"progressive": True}, {"restart_marker_blocks": 3}, {"keep_rgb": True}],
)
def test_what_pillow_writes(mode: str, options: dict[str, int]) -> None:
    data = encoded(Image.fromarray(photograph()).convert(mode), **options)
    assert read(data).remarks == ()
    assert np.array_equal(pixels(data), by_pillow(data))
    assert read(data, 32).size == (120, 160)


def test_ordinary_files_are_decoded_scaled() -> None:
    data = encoded(photograph(400, 600))
    assert [pixels(data, least).shape[:2] for least in (50, 51, 100, 201)] == [
        (50, 75),
        (100, 150),
        (100, 150),
        (400, 600),
    ]
    small = np.asarray(Image.fromarray(photograph(400, 600)).reduce(8), float)
    assert np.abs(pixels(data, 50) - small).mean() < NEAR


@pytest.mark.parametrize("bits", [2, 8, 12, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_ones_are_read_whole_and_exactly(bits: int, channels: int) -> None:
    whole = photograph(200, 300)
    eight = whole if channels == 3 else whole[..., 0]
    deep = eight >> (8 - bits) if bits <= 8 else eight.astype(np.uint16) << (bits - 8)
    colours = {"colorspace": "RGB", "outcolorspace": "RGB"} if channels == 3 else {}
    data = imagecodecs.jpeg8_encode(np.ascontiguousarray(deep), lossless=True, bitspersample=bits, **colours)  # type: ignore[arg-type]
    expected = eight if bits >= 8 else (eight >> (8 - bits)) * 85
    for at_least in (None, 20):  # libjpeg-turbo would write past the end of a scaled image
        found = pixels(data, at_least)  # type: ignore[arg-type]
        assert found.shape == (200, 300, 3)
        assert np.array_equal(found if channels == 3 else found[..., 0], expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_twelve_bits_become_eight_by_the_high_ones(channels: int) -> None:
    eight = photograph() if channels == 3 else photograph()[..., 0]
    data = imagecodecs.jpeg8_encode(np.ascontiguousarray(eight.astype(np.uint16) << 4), 95, bitspersample=12)
    found = pixels(data) if channels == 3 else pixels(data)[..., 0]  # type: ignore[arg-type]
    assert np.abs(found.astype(float) - eight).mean() < NEAR


def test_colours_by_adobes_marker_and_by_names_of_components() -> None:
    rgb = encoded(photograph(), keep_rgb=True)
    assert np.abs(pixels(rgb).astype(float) - photograph()).mean() < NEAR
    named = without(rgb, 0xE0, 0xEE)  # its components are R, G and B by name
    assert np.array_equal(pixels(named), pixels(rgb))
    cmyk = encoded(Image.fromarray(photograph()).convert("CMYK"), subsampling=0)
    for changed in (cmyk, without(cmyk, 0xEE)):  # everybody takes CMYK as inverted, whatever is said
        assert np.array_equal(pixels(changed), by_pillow(changed))


def test_only_exif_turns_and_not_where_another_file_says_how_it_lies() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(photograph(), exif=exif)
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:RDF><rdf:Description tiff:Orientation="6"/>'
    named = inserted(encoded(photograph()), 0xDB, segment(0xE1, xmp))
    assert (read(turned).size, pixels(turned).shape) == ((160, 120), (160, 120, 3))
    assert np.array_equal(pixels(turned), np.rot90(by_pillow(turned), -1))
    assert np.array_equal(pixels(named), by_pillow(encoded(photograph())))
    assert jpeg.decode(turned, Request(), is_upright=True).size == (120, 160)


def test_a_profile_is_used_in_whatever_order_its_pieces_come() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wide = _swapped_primaries(profile)
    plain = encoded(photograph())
    half = len(wide) // 2
    pieces = [
        segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 2]) + part) for n, part in ((1, wide[:half]), (2, wide[half:]))
    ]
    found = [inserted(plain, 0xDB, b"".join(order)) for order in (pieces, pieces[::-1])]
    assert all("colours converted" in "".join(read(data).remarks) for data in found)
    assert np.array_equal(pixels(found[0]), pixels(found[1]))
    assert not np.array_equal(pixels(found[0]), pixels(plain))
    assert np.array_equal(np.asarray(jpeg.decode(found[0], Request(), is_upright=True).pixels), pixels(plain))


def _swapped_primaries(profile: bytes) -> bytes:
    """Return a profile of sRGB whose red and green have changed places, under another name."""
    return (
        profile.replace(b"rXYZ", b"tXYZ")
        .replace(b"gXYZ", b"rXYZ")
        .replace(b"tXYZ", b"gXYZ")
        .replace(b"sRGB", b"sBGR")
        .replace("sRGB".encode("utf-16-be"), "sBGR".encode("utf-16-be"))
    )


def test_the_first_picture_of_several() -> None:
    first, second = encoded(photograph()), encoded(photograph()[::-1])
    assert np.array_equal(pixels(first + second), pixels(first))


def test_a_height_behind_the_first_scan() -> None:
    data = encoded(photograph())
    at = data.index(b"\xff\xc0") + 5
    later = data[:at] + b"\0\0" + data[at + 2 : -2] + segment(0xDC, struct.pack(">H", 120)) + b"\xff\xd9"
    assert np.array_equal(pixels(later), pixels(data))
    with pytest.raises(ImageError, match="its height is missing"):
        read(data[:at] + b"\0\0" + data[at + 2 :])


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (0xC5, "A hierarchical JPEG"),
        (0xCB, "lossless JPEG with arithmetic"),
        (0xCE, "A hierarchical"),
        (0xF7, "JPEG-LS"),
    ],
)
def test_kinds_that_are_refused_by_name(marker: int, message: str) -> None:
    parts, rest = segments(encoded(photograph()))
    changed = [bytes([0xFF, marker]) + part[2:] if part[1] == 0xC0 else part for part in parts]
    with pytest.raises(ImageError, match=message) as failed:
        read(joined(changed, rest))
    assert "Damaged" not in str(failed.value)


def test_two_components_and_fractional_samplings_are_refused_by_name() -> None:
    data = encoded(photograph())
    at = data.index(b"\xff\xc0")
    two = data[:at] + segment(0xC0, data[at + 4 : at + 9] + b"\x02\x01\x11\0\x02\x11\0") + data[at + 19 :]
    with pytest.raises(ImageError, match="A JPEG of 2 components; expected 1"):
        read(two)
    with pytest.raises(ImageError, match=r"unusual kind .*Fractional sampling") as failed:
        read(data[: at + 11] + b"\x31" + data[at + 12 : at + 14] + b"\x21" + data[at + 15 :])
    assert "Damaged" not in str(failed.value)


def test_sizes_are_judged_before_anything_is_decoded() -> None:
    data = bytearray(encoded(photograph()))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(TooLargeError, match="65535 x 65535"):
        read(bytes(data))
    with pytest.raises(TooLargeError):
        jpeg.decode(encoded(photograph()), Request(max_pixels=1000))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}])
def test_few_bytes_for_very_many_pixels_are_refused_at_once(options: dict[str, int]) -> None:
    data = bytearray(encoded(photograph(), **options))
    at = data.index(b"\xff\xc2" if "progressive" in options else b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 19000, 19000)
    with pytest.raises(ImageError, match=r"Damaged image: .* bytes cannot hold its 19000 x 19000 pixels"):
        read(bytes(data), 64)


def test_the_emptiest_images_are_no_bombs() -> None:
    for mode in ("L", "RGB", "CMYK"):
        for options in ({}, {"progressive": True}, {"subsampling": 2}):
            data = encoded(Image.new(mode, (1000, 803)), optimize=True, quality=1, **options)
            assert np.array_equal(pixels(data), by_pillow(data))
    lossless = imagecodecs.jpeg8_encode(np.zeros((400, 300), np.uint8), lossless=True)
    assert not pixels(lossless).any()  # type: ignore[arg-type]


def test_headers_that_contradict_each_other_decide_no_buffer() -> None:
    data = encoded(photograph(800, 800))
    parts, rest = segments(data)
    frame = next(part for part in parts if part[1] == 0xC0)
    lossless = b"\xff\xc3" + frame[2:5] + b"\x10\0\x10\0" + frame[9:]
    cut = samples_at(data)
    for changed in (
        inserted(data, 0xC0, lossless), inserted(data, 0xDA, lossless), data[:cut] + lossless + rest,
        joined([lossless if part is frame else part for part in parts], rest),
        data[: cut + 50] + lossless + data[cut + 50 :],
    ):  # fmt: skip
        for at_least in (None, 64):
            with pytest.raises(ImageError, match="Damaged"):
                read(changed, at_least)


def test_sides_longer_than_libjpeg_takes() -> None:
    long = np.tile(photograph()[:8, :, 0], (1, 410))[:, :65535]
    found = pixels(bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(long), 95)))
    assert np.abs(found[..., 0].astype(float) - long).mean() < NEAR


def test_frames_of_videos_leave_out_the_usual_tables() -> None:
    data = encoded(photograph())
    assert np.array_equal(pixels(without(data, 0xC4)), pixels(data))


def test_too_many_scans_are_refused() -> None:
    data = encoded(photograph(), progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(ImageError, match="more than 100 scans"):
        read(data[:-2] + data[last:-2] * 100 + b"\xff\xd9")


def test_it_is_what_the_reader_uses() -> None:
    data = encoded(photograph())
    assert np.array_equal(read_photo(data).pixels, pixels(data))
