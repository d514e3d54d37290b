"""Photographs in DICOM files that pydicom itself writes: the same pixels as in the file they were made from."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.reader import read_fitted, read_image, read_photo
from seglab.synth import synthesise
from tests.support.dicom_files import RLE, dicom, jpeg

pydicom = pytest.importorskip("pydicom")

JPEG = "1.2.840.10008.1.2.4.50"


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return synthesise(301, 200, seed=1).image


def test_raw_rgb_is_read_as_it_is(photo: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(read_image(dicom(photo)), photo)


def test_planes_and_run_lengths_are_put_together(photo: NDArray[np.uint8]) -> None:
    planes = np.ascontiguousarray(photo.transpose(2, 0, 1)).tobytes()
    np.testing.assert_array_equal(read_image(dicom(photo, PlanarConfiguration=1, PixelData=planes)), photo)
    file = pydicom.dcmread(io.BytesIO(dicom(photo)))
    file.compress(RLE)
    buffer = io.BytesIO()
    file.save_as(buffer)
    np.testing.assert_array_equal(read_image(buffer.getvalue()), photo)


def test_a_jpeg_inside_is_the_same_as_outside(photo: NDArray[np.uint8]) -> None:
    inside = dicom(photo, JPEG, jpeg(photo), PhotometricInterpretation="YBR_FULL_422")
    np.testing.assert_array_equal(read_image(inside), read_image(jpeg(photo)))
    np.testing.assert_array_equal(read_fitted(inside, 32).pixels, read_fitted(jpeg(photo), 32).pixels)
    assert read_photo(inside, at_least=32).pixels.shape == (76, 50, 3)  # decoded scaled, like any JPEG
    assert read_photo(inside, at_least=32).size == (301, 200)


def test_colours_in_ybr_become_rgb(photo: NDArray[np.uint8]) -> None:
    ycbcr = np.asarray(Image.fromarray(photo).convert("YCbCr"))
    found = read_image(dicom(np.ascontiguousarray(ycbcr), PhotometricInterpretation="YBR_FULL"))
    assert np.abs(found.astype(int) - photo).max() <= 3


def test_grey_of_8_12_and_16_bits(photo: NDArray[np.uint8]) -> None:
    grey = photo[..., 1]
    for found in (
        read_image(dicom(np.ascontiguousarray(grey))),
        read_image(dicom(grey.astype(np.uint16) << 4, BitsStored=12, HighBit=11)),
        read_image(dicom(grey.astype(np.uint16) << 8)),
        read_image(dicom(np.ascontiguousarray(255 - grey), PhotometricInterpretation="MONOCHROME1")),
    ):
        np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, axis=2))


def test_a_palette_is_applied(photo: NDArray[np.uint8]) -> None:
    indexed = Image.fromarray(photo).quantize(256)
    table = np.zeros((256, 3), np.uint8)
    palette = np.array(indexed.getpalette(), np.uint8).reshape(-1, 3)
    table[: len(palette)] = palette
    fields: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for channel, name in enumerate(("Red", "Green", "Blue")):
        fields[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        fields[f"{name}PaletteColorLookupTableData"] = table[:, channel].tobytes()
    found = read_image(dicom(np.asarray(indexed), **fields))
    np.testing.assert_array_equal(found, np.asarray(indexed.convert("RGB")))


def test_what_is_no_photograph_says_so(photo: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match="of 2 frames; expected one"):
        read_image(dicom(np.concatenate([photo, photo]), Rows=301, NumberOfFrames=2))
    with pytest.raises(ImageError, match="in HSV; expected"):
        read_image(dicom(photo, PhotometricInterpretation="HSV"))
    with pytest.raises(ImageError, match=r"200 x 301 = 0 million pixels; at most 0 million"):
        read_image(dicom(photo), max_pixels=1000)
    file = pydicom.dcmread(io.BytesIO(dicom(photo)))
    del file.PixelData
    buffer = io.BytesIO()
    file.save_as(buffer)
    with pytest.raises(ImageError, match=r"without an image \(VL Photographic Image Storage\)"):
        read_image(buffer.getvalue())


def test_a_damaged_one_is_an_image_error(photo: NDArray[np.uint8]) -> None:
    whole = dicom(photo)
    for length in (132, 140, 300, len(whole) // 2):
        with pytest.raises(ImageError):
            read_image(whole[:length])


def test_without_pydicom_the_message_says_what_to_install(
    photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dicom(photo)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImageError, match=r'pip install "seglab\[dicom\]"'):
        read_image(data)


def test_an_archive_of_dicom_files(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    from tests.support.archive import masks_below, run_all

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "raw.dcm").write_bytes(dicom(photo))
    inside = dicom(photo, JPEG, jpeg(photo), PhotometricInterpretation="YBR_FULL_422")
    (tmp_path / "in" / "jpeg.DCM").write_bytes(inside)
    assert [result.status.value for result in run_all(tmp_path / "in", tmp_path / "out")] == ["done", "done"]
    assert set(masks_below(tmp_path / "out")) == {"raw.png", "jpeg.png"}
