"""Files that a stranger made to break the reader, and that did."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.pixels.colour import space_profile
from seglab.images.pixels.icc import ColourSpace
from seglab.images.reader import read_image, read_photo
from seglab.synth import synthesise
from tests.support.dicom_files import dicom
from tests.support.tiff_files import Page, written

GAMMA = 1.8


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return synthesise(120, 160, seed=3).image


@pytest.mark.parametrize("method", [2, 3])
def test_a_profile_in_a_jpeg_2000_is_applied_once(photo: NDArray[np.uint8], method: int) -> None:
    """Independent: the curve of the profile and that of sRGB, by hand."""
    profile = space_profile(ColourSpace(gamma=GAMMA), "gamma 1.8")
    assert profile is not None
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG2000", irreversible=False)
    plain = buffer.getvalue()
    at = plain.index(b"colr") - 4
    size = int.from_bytes(plain[at : at + 4], "big")
    box = struct.pack(">I4sBBB", 11 + len(profile), b"colr", method, 0, 0) + profile
    header = plain.index(b"jp2h") - 4
    grown = int.from_bytes(plain[header : header + 4], "big") + len(box) - size
    data = bytearray(plain[:at] + box + plain[at + size :])
    data[header : header + 4] = struct.pack(">I", grown)
    linear = (photo / 255.0) ** GAMMA
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    found = read_photo(bytes(data))
    assert np.abs(found.pixels - expected).mean() < 1
    assert "converted" in found.remarks[0]


@pytest.mark.parametrize("place", [0.3, 0.6])
def test_damaged_htj2k_is_no_black_photograph(
    photo: NDArray[np.uint8], place: float, capfd: pytest.CaptureFixture[str]
) -> None:
    syntax = "1.2.840.10008.1.2.4.201"
    whole = bytes(imagecodecs.htj2k_encode(photo))
    assert read_image(dicom(photo, syntax, whole, PhotometricInterpretation="YBR_RCT")).any()
    at = int(place * len(whole))
    spoiled = whole[:at] + bytes(len(whole) // 8) + whole[at + len(whole) // 8 :]
    with pytest.raises(ImageError, match="amaged"):
        read_image(dicom(photo, syntax, spoiled, PhotometricInterpretation="YBR_RCT"))
    assert capfd.readouterr() == ("", "")


def rle_bitmap(width: int, height: int, codes: bytes) -> bytes:
    palette = b"".join(bytes((value, value, value, 0)) for value in range(256))
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(codes), 0, 0, 256, 0)
    offset = 14 + len(info) + len(palette)
    return struct.pack("<2sIHHI", b"BM", offset + len(codes), 0, 0, offset) + info + palette + codes


def test_half_a_bitmap_of_run_lengths_is_refused() -> None:
    rows = b"".join(bytes((100, 40 + row, 0, 0)) for row in range(100))
    whole = rle_bitmap(100, 100, rows + b"\0\1")
    assert read_image(whole)[0, 0].tolist() == [139] * 3
    with pytest.raises(ImageError, match="zeros"):
        read_image(rle_bitmap(100, 100, rows[:160] + bytes(len(rows) + 2 - 160)))
    with pytest.raises(ImageError, match="break off"):
        read_image(rle_bitmap(20000, 19000, rows + b"\0\1"))


@pytest.mark.parametrize("is_good", [True, False])
def test_deflated_strips_that_go_on_are_checked_to_their_end(photo: NDArray[np.uint8], is_good: bool) -> None:
    """The strip is longer than its place; its sum is right or wrong."""

    def encode(part: NDArray[np.uint8]) -> bytes:
        packed = zlib.compress(part.tobytes() + bytes(5000))
        return packed if is_good else packed[:-1] + bytes([packed[-1] ^ 1])

    data = written(Page(photo, compression=8, encode=encode))
    if is_good:
        assert np.array_equal(read_image(data), photo)
        return
    with pytest.raises(ImageError, match="amaged"):
        read_image(data)


def test_lightness_with_a_sign_is_refused() -> None:
    signed = np.full((20, 30, 3), 15000, np.int16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, signed, photometric="cielab")
    with pytest.raises(ImageError, match=r"L\*a\*b\* of 16 bits, signed"):
        read_image(buffer.getvalue())


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"WindowCenter": 100, "WindowWidth": 50}, "window"),
        ({"RescaleSlope": -1, "RescaleIntercept": 255}, "negative rescaling"),
        ({"PresentationLUTShape": "INVERSE"}, "inverse presentation"),
    ],
)
def test_what_changes_greys_and_is_not_applied_is_remarked(
    photo: NDArray[np.uint8], field: dict[str, Any], words: str
) -> None:
    grey = photo[..., 0]
    found = read_photo(dicom(grey, **field))
    assert np.array_equal(found.pixels[..., 0], grey)
    assert found.remarks == (f"its greys are read as stored; not applied: {words}",)
    assert read_photo(dicom(grey)).remarks == ()


@pytest.mark.parametrize(("mode", "transform"), [("RGB", 2), ("RGB", 9), ("CMYK", 1), ("CMYK", 9)])
def test_a_colour_transform_that_does_not_fit_is_the_usual_one(
    photo: NDArray[np.uint8], mode: str, transform: int
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photo).convert(mode).save(buffer, "JPEG", quality=92)
    data = buffer.getvalue()
    if mode == "RGB":
        data = data[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]) + data[20:]
    else:
        place = data.index(b"Adobe") + 11
        data = data[:place] + bytes([transform]) + data[place + 1 :]
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))
    found = read_photo(data)
    assert np.array_equal(found.pixels, expected)
    assert found.remarks == (f"its colour transform, {transform}, is unknown; the usual one was taken",)
