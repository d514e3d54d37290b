"""Colour profiles, against plain arithmetic with the numbers that the standards give."""

from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from seglab.images.pixels.colour import UNUSABLE, to_srgb
from seglab.images.reader import read_photo
from tests.seglab.images.test_formats_png import written

RNG = np.random.default_rng(8)
INSIDE = RNG.integers(70, 180, (24, 32, 3), np.uint8)
"""Colours that sRGB can show in every space here."""
RAMP = np.repeat(np.arange(256, dtype=np.uint8).reshape(8, 32, 1), 3, axis=2)
# RGB to XYZ relative to D50, as Lindbloom's tables give them (Bradford).
TO_D50 = {
    "sRGB": [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]],
    "Adobe RGB": [[0.609756, 0.20524, 0.149224], [0.311124, 0.625656, 0.06322], [0.019481, 0.06089, 0.744839]],
    "ProPhoto": [[0.7976749, 0.1351917, 0.0313534], [0.2880402, 0.7118741, 0.0000857], [0.0, 0.0, 0.8252100]],
    "Display P3": [[0.515119, 0.291978, 0.157104], [0.241189, 0.692244, 0.066567], [-0.001051, 0.041879, 0.784071]],
}  # fmt: skip
GAMMAS = {"Adobe RGB": 2.19921875, "ProPhoto": 1.8, "Display P3": None, "sRGB": 1.0}
"""None: sRGB's curve. sRGB's primaries stand for linear light here."""


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def icc(space: str, device: bytes = b"mntr", colours: bytes = b"RGB ") -> bytes:
    """Return a profile of version 2, with tables for curves, as older programs write it."""
    gamma = GAMMAS[space]
    steps = np.linspace(0, 1, 4096)
    table = linear(steps * 255) if gamma is None else steps**gamma
    curve = b"curv\0\0\0\0" + struct.pack(">I", 4096) + np.round(table * 65535).astype(">u2").tobytes()
    name = f"{space} of a test".encode()
    columns = np.array(TO_D50[space]).T
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + bytes(79),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249),
        **{
            key: b"XYZ \0\0\0\0" + fixed(*column)
            for key, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
        },
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC", b"kTRC"), curve),
    }
    table_of_tags, body, start = b"", b"", 132 + 12 * len(tags)
    for key, content in tags.items():
        table_of_tags += key + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s12x4s", start + len(body), b"test", 0x02100000, device, colours, b"XYZ ", b"acsp")
    header = header.ljust(68, b"\0") + fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table_of_tags + body


def linear(levels: NDArray[np.float64] | NDArray[np.uint8]) -> NDArray[np.float64]:
    values = np.asarray(levels, np.float64) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def in_srgb(pixels: NDArray[np.uint8] | NDArray[np.float64], space: str) -> NDArray[np.float64]:
    gamma = GAMMAS[space]
    light = linear(pixels) if gamma is None else (pixels / 255.0) ** gamma
    srgb = light @ np.array(TO_D50[space]).T @ np.linalg.inv(np.array(TO_D50["sRGB"])).T
    srgb = srgb.clip(0, 1)
    return 255 * np.where(srgb <= 0.0031308, 12.92 * srgb, 1.055 * srgb ** (1 / 2.4) - 0.055)  # type: ignore[no-any-return]


@pytest.mark.parametrize("space", GAMMAS)
def test_colours_come_out_as_arithmetic_gives_them(space: str) -> None:
    for pixels in (INSIDE, RAMP):
        converted, remark = to_srgb(Image.fromarray(pixels), icc(space))
        assert np.abs(np.asarray(converted) - in_srgb(pixels, space)).max() <= 2
        if pixels is INSIDE:
            assert remark == f"colours converted from {space} of a test to sRGB"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_every_format_that_carries_a_profile_is_converted(format: str) -> None:
    smooth = np.asarray(Image.fromarray(INSIDE[:3, :4]).resize((64, 48), Image.Resampling.BICUBIC))
    options = (
        {"lossless": True} if format == "WEBP" else {"quality": 97, "subsampling": 0 if format == "JPEG" else "4:4:4"}
    )
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(
        buffer, format, icc_profile=icc("Adobe RGB"), **(options if format in ("JPEG", "WEBP", "AVIF") else {})
    )
    with Image.open(io.BytesIO(buffer.getvalue())) as stored:
        wanted = in_srgb(np.asarray(stored.convert("RGB")), "Adobe RGB")
    photo = read_photo(buffer.getvalue())
    assert np.abs(photo.pixels - wanted).max() <= 4
    assert photo.remarks == ("colours converted from Adobe RGB of a test to sRGB",)


@pytest.mark.parametrize("space", GAMMAS)
def test_sixteen_bits_are_converted(space: str) -> None:
    deep = RNG.integers(70 * 257, 180 * 257, (24, 32, 3), np.uint16)
    for stored in (deep, deep[..., :1], deep[..., :1] // 30):
        chunks = [(b"iCCP", b"icc\0\0" + zlib.compress(icc(space))), (b"sBIT", b"\x10" * stored.shape[2])]
        photo = read_photo(written(stored, 16, 2 if stored.shape[2] == 3 else 0, before=chunks))
        wanted = in_srgb(np.broadcast_to(stored / 257, deep.shape), space)
        difference = np.abs(photo.pixels - wanted)
        assert difference.mean() < 0.6
        assert (difference > 2).mean() < 0.02  # at the edge of sRGB, half a level makes many
        assert photo.remarks in ((), (f"colours converted from {space} of a test to sRGB",))


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "L", "1"])
def test_alpha_palettes_and_grey_are_converted_too(mode: str) -> None:
    image = Image.fromarray(INSIDE).convert(mode)
    plain = np.asarray(image.convert("RGB"))
    for profile in (icc("ProPhoto"), icc("ProPhoto", colours=b"GRAY")):
        converted, remark = to_srgb(image, profile)
        if profile[16:20] == b"GRAY" and mode in ("RGBA", "P"):
            assert np.array_equal(np.asarray(converted), plain)
            assert remark == UNUSABLE
        else:
            assert np.abs(np.asarray(converted) - in_srgb(plain, "ProPhoto")).max() <= 2
            assert (remark is None) == (mode == "1")  # black and white stay what they are


def test_a_profile_is_srgb_by_what_it_does_and_not_by_its_name() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    converted, remark = to_srgb(Image.fromarray(RAMP), own)
    assert np.array_equal(np.asarray(converted), RAMP)
    assert remark is None
    misnamed = icc("Adobe RGB").replace(b"Adobe RGB of a test", b"sRGB IEC61966-2.1  ")
    converted, remark = to_srgb(Image.fromarray(INSIDE), misnamed)
    assert np.abs(np.asarray(converted) - in_srgb(INSIDE, "Adobe RGB")).max() <= 2


def test_a_remark_is_made_only_where_colours_change() -> None:
    white = np.full((4, 4, 3), 255, np.uint8)
    converted, remark = to_srgb(Image.fromarray(white), icc("Adobe RGB"))
    assert np.abs(np.asarray(converted).astype(int) - 255).max() <= 1
    assert remark is None


@pytest.mark.parametrize("profile", [
    b"", b"nonsense", bytes(128), icc("ProPhoto")[:200], icc("ProPhoto", device=b"link"),
    icc("ProPhoto", device=b"nmcl"),
    icc("ProPhoto", device=b"abst"), icc("ProPhoto", colours=b"CMYK"), icc("ProPhoto", colours=b"Lab "),
    bytes(17 << 20), icc("ProPhoto").replace(b"rTRC", b"xxxx", 1),
])  # fmt: skip
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_profiles_that_are_of_no_use_leave_colours_as_they_are(profile: bytes, mode: str) -> None:
    image = Image.fromarray(INSIDE).convert(mode)
    converted, remark = to_srgb(image, profile)
    if remark is not None:
        assert np.array_equal(np.asarray(converted), np.asarray(image.convert("RGB")))
        assert remark == UNUSABLE
    else:
        assert profile == b"" or (mode == "L" and b"xxxx" in profile) or (mode == "CMYK" and profile[16:20] == b"CMYK")


def test_spoiled_profiles_never_do_harm() -> None:
    whole = icc("Display P3")
    image = Image.fromarray(INSIDE)
    for _ in range(300):
        spoiled = bytearray(whole)
        for place in RNG.integers(0, 500, 6):
            spoiled[place] = int(RNG.integers(256))
        converted, _remark = to_srgb(image, bytes(spoiled))
        assert (converted.mode, converted.size) == ("RGB", image.size)


def test_one_transform_serves_threads() -> None:
    images = [Image.fromarray(np.roll(INSIDE, step, axis=0)).resize((160, 120)) for step in range(24)]
    profile = icc("Adobe RGB")
    alone = [np.asarray(to_srgb(image, profile)[0]) for image in images]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda image: np.asarray(to_srgb(image, profile)[0]), images * 5))
    assert all(np.array_equal(found, alone[place % 24]) for place, found in enumerate(together))
