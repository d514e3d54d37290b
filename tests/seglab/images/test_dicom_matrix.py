"""Every way of writing a DICOM photograph: the same pixels, by decoders that depend on nothing else installed."""

from __future__ import annotations

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.reader import read_image, read_photo
from seglab.synth import synthesise
from tests.support.dicom_files import dicom, encoded, jpeg

pydicom = pytest.importorskip("pydicom")

BIG, DEFLATED, IMPLICIT = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2"
RLE = "1.2.840.10008.1.2.5"
JPEGS = "1.2.840.10008.1.2.4."
RGB = synthesise(41, 60, seed=1).image
GREY = np.ascontiguousarray(RGB[..., 1])
DEEP = (GREY.astype(np.uint16) << 4) | 9


@pytest.fixture(autouse=True)
def _no_decoders_of_pydicom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever plugins are installed, none of pydicom's decoders may be used."""

    def forbidden(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("a decoder of pydicom was used")

    from pydicom.pixels.decoders.base import Decoder

    for name in ("as_array", "iter_array", "as_buffer", "iter_buffer"):
        monkeypatch.setattr(Decoder, name, forbidden)


def grey_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])
    return pixels[..., 0]


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG, DEFLATED, RLE])
@pytest.mark.parametrize("depth", [8, 16])
def test_plain_ways_of_writing_keep_every_bit(syntax: str, depth: int) -> None:
    whole = RGB if depth == 8 else RGB.astype(np.uint16) << 8
    np.testing.assert_array_equal(read_image(encoded(dicom(whole), syntax)), RGB)
    np.testing.assert_array_equal(grey_of(read_image(encoded(dicom(whole[..., 1]), syntax))), GREY)


@pytest.mark.parametrize("number", [57, 70, 80, 90, 201])
@pytest.mark.parametrize("depth", [8, 12])
def test_lossless_compression_keeps_every_bit(number: int, depth: int) -> None:
    samples = GREY if depth == 8 else DEEP
    encode: dict[int, Any] = {
        57: lambda: imagecodecs.jpeg8_encode(samples, lossless=True, predictor=4, bitspersample=depth),
        70: lambda: imagecodecs.jpeg8_encode(samples, lossless=True, bitspersample=depth),
        80: lambda: imagecodecs.jpegls_encode(samples),
        90: lambda: imagecodecs.jpeg2k_encode(samples, level=0, reversible=True, codecformat="j2k"),
        201: lambda: imagecodecs.htj2k_encode(samples, reversible=True),
    }
    fields = {"BitsStored": depth, "HighBit": depth - 1}
    found = read_image(dicom(samples, f"{JPEGS}{number}", encode[number](), **fields))
    np.testing.assert_array_equal(grey_of(found), GREY)


@pytest.mark.parametrize(
    ("number", "colours"), [(80, "RGB"), (90, "YBR_RCT"), (90, "RGB"), (201, "YBR_RCT"), (70, "RGB")]
)
def test_lossless_colours_are_kept(number: int, colours: str) -> None:
    encode: dict[int, Any] = {
        70: lambda: imagecodecs.jpeg8_encode(RGB, lossless=True),
        80: lambda: imagecodecs.jpegls_encode(RGB),
        90: lambda: imagecodecs.jpeg2k_encode(RGB, level=0, reversible=True, codecformat="j2k", mct=colours != "RGB"),
        201: lambda: imagecodecs.htj2k_encode(RGB, reversible=True, rgb=True),
    }
    found = read_image(dicom(RGB, f"{JPEGS}{number}", encode[number](), PhotometricInterpretation=colours))
    np.testing.assert_array_equal(found, RGB)


@pytest.mark.parametrize("number", [80, 90])
def test_colours_that_nothing_transformed_are_ybr_where_the_header_says_so(number: int) -> None:
    ycbcr = np.ascontiguousarray(np.asarray(Image.fromarray(RGB).convert("YCbCr")))
    encode: dict[int, Any] = {
        80: lambda: imagecodecs.jpegls_encode(ycbcr),
        90: lambda: imagecodecs.jpeg2k_encode(ycbcr, level=0, reversible=True, codecformat="j2k", mct=False),
    }
    found = read_image(dicom(ycbcr, f"{JPEGS}{number}", encode[number](), PhotometricInterpretation="YBR_FULL"))
    np.testing.assert_array_equal(found, np.asarray(Image.fromarray(ycbcr, "YCbCr").convert("RGB")))


def test_jpeg_of_12_bits() -> None:
    stream = imagecodecs.jpeg8_encode(DEEP, 98, bitspersample=12)
    found = read_image(dicom(DEEP, f"{JPEGS}51", stream, BitsStored=12, HighBit=11))  # type: ignore[arg-type]
    assert np.abs(grey_of(found).astype(int) - GREY).max() <= 2


@pytest.mark.parametrize("said", ["RGB", "YBR_FULL_422"])
@pytest.mark.parametrize("exif", [1, 6])
def test_neither_the_exif_nor_the_profile_of_a_jpeg_inside_counts(said: str, exif: int) -> None:
    from PIL import ImageCms

    block = Image.Exif()
    block[0x112] = exif
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    photo = read_photo(dicom(RGB, f"{JPEGS}50", jpeg(RGB, exif=block, icc_profile=lab), PhotometricInterpretation=said))
    np.testing.assert_array_equal(photo.pixels, np.asarray(Image.open(io.BytesIO(jpeg(RGB)))))
    assert photo.remarks == ()


@pytest.mark.parametrize(("stored", "said"), [("RGB", "RGB"), ("RGB", "YBR_FULL_422"), ("YCBCR", "RGB")])
def test_the_jpeg_itself_says_whether_it_is_rgb(stored: str, said: str) -> None:
    stream = imagecodecs.jpeg8_encode(RGB, 98, colorspace="RGB", outcolorspace=stored)
    found = read_image(dicom(RGB, f"{JPEGS}50", stream, PhotometricInterpretation=said))  # type: ignore[arg-type]
    assert np.abs(found.astype(int) - RGB).mean() < 3


def test_a_jpeg_that_says_nothing_is_what_the_header_says() -> None:
    stream = imagecodecs.jpeg8_encode(RGB, 98, colorspace="RGB", outcolorspace="RGB")
    at = stream.find(b"\xff\xeeJ"[:2])
    length = struct.unpack_from(">H", stream, at + 2)[0]
    bare = bytearray(stream[:at] + stream[at + 2 + length :])
    for marker in (b"\xff\xc0", b"\xff\xda"):  # components 1, 2, 3 instead of R, G, B
        at = bare.find(marker) + (10 if marker == b"\xff\xc0" else 5)
        step = 3 if marker == b"\xff\xc0" else 2
        bare[at : at + 3 * step : step] = b"\x01\x02\x03"
    found = read_image(dicom(RGB, f"{JPEGS}50", bytes(bare), PhotometricInterpretation="RGB"))
    assert np.abs(found.astype(int) - RGB).mean() < 3


@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (10, 12)])
def test_only_the_stored_bits_count(stored: int, high: int) -> None:
    shift = high - stored + 1
    values = GREY.astype(np.uint16) << (stored - 8)
    used = ((1 << stored) - 1) << shift
    overlays = np.where(np.indices(GREY.shape)[0] % 2, 0xFFFF & ~used, 0).astype(np.uint16)
    found = read_image(dicom((values << shift) | overlays, BitsStored=stored, HighBit=high))
    np.testing.assert_array_equal(grey_of(found), GREY)


def test_chroma_of_pairs() -> None:
    ycbcr = np.asarray(Image.fromarray(RGB).convert("YCbCr")).copy()
    ycbcr[:, 1::2, 1:] = ycbcr[:, ::2, 1:]
    four = np.stack([ycbcr[:, ::2, 0], ycbcr[:, 1::2, 0], ycbcr[:, ::2, 1], ycbcr[:, ::2, 2]], axis=-1)
    fields = {"PhotometricInterpretation": "YBR_FULL_422", "PixelData": four.tobytes()}
    expected = np.asarray(Image.fromarray(ycbcr, "YCbCr").convert("RGB"))
    np.testing.assert_array_equal(read_image(dicom(RGB, **fields)), expected)  # type: ignore[arg-type]
    whole = {"PhotometricInterpretation": "YBR_FULL_422", "PixelData": ycbcr.tobytes()}  # as some writers do it
    np.testing.assert_array_equal(read_image(dicom(RGB, **whole)), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_segmented_palette(bits: int) -> None:
    """0, 10 discrete; to 250 by 8 steps of 30; then the first segment again."""
    unit = 1 if bits == 8 else 257
    words = [0, 2, 0, 10 * unit, 1, 8, 250 * unit, 2, 1, 0, 0]
    data = bytes((*words, 0, 0)) if bits == 8 else struct.pack("<11H", *words)
    table = np.array([0, 10, 40, 70, 100, 130, 160, 190, 220, 250, 0, 10])
    fields: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        fields[f"{name}PaletteColorLookupTableDescriptor"] = [12, 0, bits]
        fields[f"Segmented{name}PaletteColorLookupTableData"] = data + bytes(len(data) % 2)
    indices = np.arange(24, dtype=np.uint8).reshape(4, 6) % 12
    found = grey_of(read_image(dicom(indices, **fields)))
    assert np.abs(found.astype(int) - table[indices]).max() <= 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"BitsAllocated": 12}, "in 12 bits"),
        ({"SamplesPerPixel": 4}, "4 samples"),
        ({"PhotometricInterpretation": "CMYK"}, "in CMYK; expected"),
        ({"PhotometricInterpretation": "YBR_ICT"}, "only JPEG 2000 has"),
        ({"PixelRepresentation": 1}, "Signed DICOM samples"),
        ({"Columns": 61}, "break off after"),
        ({"Columns": 30}, "more bytes of pixels than its rows"),
        ({"Rows": 0}, "Rows 0"),
        ({"NumberOfFrames": 1000000000}, "1000000000 frames"),
    ],
)
def test_what_cannot_be_read_right_is_refused_by_name(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ImageError, match=words) as error:
        read_image(dicom(RGB, **fields))
    assert "\n" not in str(error.value)
    assert "\t" not in str(error.value)


@pytest.mark.parametrize("number", [50, 70, 80, 90, 201])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_compressed_pixels_that_break_off_are_refused(number: int, part: float) -> None:
    encode: dict[int, Any] = {
        50: lambda: jpeg(RGB),
        70: lambda: imagecodecs.jpeg8_encode(RGB, lossless=True),
        80: lambda: imagecodecs.jpegls_encode(RGB),
        90: lambda: imagecodecs.jpeg2k_encode(RGB, level=0, reversible=True, codecformat="j2k"),
        201: lambda: imagecodecs.htj2k_encode(RGB, reversible=True),
    }
    stream = encode[number]()
    kept = int(part * len(stream))
    for end in (b"", bytes(len(stream) - kept)):  # cut off, and reserved but not yet written
        with pytest.raises(ImageError):
            read_image(dicom(RGB, f"{JPEGS}{number}", stream[:kept] + end))


def test_another_size_inside_than_outside_is_refused() -> None:
    with pytest.raises(ImageError, match="60 x 41 pixels of 3 samples, and whose header says 41 x 60 of 3"):
        read_image(dicom(RGB, f"{JPEGS}50", jpeg(RGB), Rows=60, Columns=41))


def test_a_video_is_refused_as_one() -> None:
    with pytest.raises(ImageError, match=r"A DICOM video .*Export one of its frames"):
        read_image(dicom(RGB, f"{JPEGS}102", b"\0\0\x01\xba"))
