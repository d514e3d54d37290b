"""Copies that are still under way: the file has its size, and zeros where the rest will be. No mask is made of them."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.reader import read_photo
from tests.support.archive import seg_batch

HEIGHT, WIDTH = 240, 321
BLOCK = 4096


def photograph() -> NDArray[np.uint8]:
    """Skin with noise and a dark spot, up to all edges: RGB."""
    rng = np.random.default_rng(7)
    image = np.full((HEIGHT, WIDTH, 3), (200, 160, 140), np.int16)
    image[60:150, 90:200] = (90, 60, 50)
    return np.asarray(np.clip(image + rng.normal(0, 6, image.shape), 1, 255), np.uint8)


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(photograph())).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(strips: list[bytes], *, compression: int, bits: int = 8, samples: int = 3, rows: int = 40) -> bytes:
    """A TIFF with its directory before its pixels, as cameras and slide scanners write it."""
    count = len(strips)
    size, after = 8 + 2 + 12 * 9 + 4, struct.pack(f"<{samples}H", *[bits] * samples)
    offsets_at, counts_at = size + len(after), size + len(after) + 4 * count
    starts = [counts_at + 4 * count + sum(map(len, strips[:index])) for index in range(count)]
    tags = [
        (256, 4, 1, WIDTH), (257, 4, 1, HEIGHT), (258, 3, samples, size if samples > 2 else bits),
        (259, 3, 1, compression), (262, 3, 1, 2 if samples == 3 else 1), (273, 4, count, offsets_at),
        (277, 3, 1, samples), (278, 4, 1, rows), (279, 4, count, counts_at),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    numbers = struct.pack(f"<{2 * count}I", *starts, *map(len, strips))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + directory + bytes(4) + after + numbers + b"".join(strips)


def raw_strips(data: bytes, per_row: int) -> list[bytes]:
    return [data[at : at + 40 * per_row] for at in range(0, len(data), 40 * per_row)]


def raw_tiff_of_12_bits() -> bytes:
    grey = photograph()[..., 0].astype("<u2") * 16
    return tiff(raw_strips(grey.tobytes(), 2 * WIDTH), compression=1, bits=16, samples=1)


def dicom() -> bytes:
    pydicom = pytest.importorskip("pydicom")
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = pydicom.uid.UID("1.2.840.10008.5.1.4.1.1.77.1.4")
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3")
    file.Rows, file.Columns, file.SamplesPerPixel = HEIGHT, WIDTH, 3
    file.PhotometricInterpretation, file.PlanarConfiguration = "RGB", 0
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation, file.PixelData = 7, 0, photograph().tobytes()
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


STRIPS = raw_strips(photograph().tobytes(), 3 * WIDTH)
WHOLE: dict[str, Callable[[], bytes]] = {
    "colour.bmp": lambda: encoded("BMP"),
    "grey.bmp": lambda: encoded("BMP", Image.fromarray(photograph()[..., 0])),
    "alpha.bmp": lambda: encoded("BMP", Image.fromarray(photograph()).convert("RGBA")),
    "raw.tif": lambda: encoded("TIFF"),
    "strips.tif": lambda: tiff(STRIPS, compression=1),
    "12 bits.tif": raw_tiff_of_12_bits,
    "deflate.tif": lambda: tiff([zlib.compress(strip) for strip in STRIPS], compression=8),
    "lossy.webp": lambda: encoded("WEBP"),
    "lossless.webp": lambda: encoded("WEBP", lossless=True),
    "with-exif.webp": lambda: encoded("WEBP", exif=Image.Exif().tobytes() + b"x" * 50),
    "photo.png": lambda: encoded("PNG"),
    "photo.jpg": lambda: encoded("JPEG"),
    "progressive.jpg": lambda: encoded("JPEG", progressive=True),
    "raw.dcm": dicom,
}


def cut(data: bytes, share: float, block: int = 1) -> bytes:
    """What a copy has written when so much of it is done, in blocks."""
    end = int(len(data) * share) // block * block
    return data[:end] + bytes(len(data) - end)


@pytest.mark.parametrize("name", WHOLE)
def test_a_copy_under_way_is_refused_and_the_whole_one_is_not(name: str) -> None:
    whole = WHOLE[name]()
    assert read_photo(whole).size == (HEIGHT, WIDTH)
    blocks = [BLOCK, 512] if len(whole) > 4 * BLOCK else [512]
    for data in [cut(whole, share, block) for share in (0.31, 0.55, 0.83) for block in (1, *blocks)]:
        with pytest.raises(ImageError, match=r"zeros where the image should go on|Damaged image"):
            read_photo(data)


def bordered(kind: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A photograph with an exactly black border below, as a scan, a dermatoscope or a mosaic leaves it."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    inside = {
        "black": np.zeros(size, bool),
        "straight": rows < height * 0.7,
        "frame": (rows < height * 0.8) & (rows > 5) & (columns > 9) & (columns < width - 9),
        "round": np.hypot(rows - height * 0.4, columns - width / 2) < 0.5 * height,
        "slanting": rows < height * 0.7 - 0.02 * columns,
        "slanting back": rows < height * 0.5 + 0.3 * columns,
        "corner cut": (rows < height * 0.8) & (rows + columns < height * 0.75 + width),
        "half": (rows < height * 0.6) & (columns < width * 0.6),
    }[kind]
    skin = np.random.default_rng(height).normal(170, 8, (*size, 3)).clip(60, 255)
    return np.asarray(skin * inside[..., None], np.uint8)


SHAPES = ("black", "straight", "frame", "round", "slanting", "slanting back", "corner cut", "half")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_genuine_black_border_is_no_copy_under_way(shape: str) -> None:
    for size in ((90, 120), (128, 256), (201, 333), (256, 1024)):
        image = Image.fromarray(bordered(shape, size))
        for upright in (image, image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)):
            files = [
                encoded("BMP", upright), encoded("BMP", upright.convert("L")), encoded("TIFF", upright),
                encoded("TIFF", upright, compression="packbits"), encoded("PNG", upright), encoded("WEBP", upright),
                encoded("WEBP", upright, lossless=True, quality=0, method=0),
            ]  # fmt: skip
            assert [read_photo(data).size for data in files] == [size] * len(files)


def test_a_black_webp_ends_in_zeros_that_it_needs() -> None:
    data = encoded("WEBP", Image.new("RGB", (3000, 2000)))
    assert data[-300:] == bytes(300)
    assert read_photo(data).size == (2000, 3000)


def test_a_run_makes_the_mask_when_the_copy_is_complete(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    whole = {name: WHOLE[name]() for name in ("colour.bmp", "raw.tif", "lossy.webp")}
    for name, data in whole.items():
        (tmp_path / "in" / name).write_bytes(cut(data, 0.6, 512))
    table = tmp_path / "table.jsonl"
    command = (
        "run", tmp_path / "in", "--out", tmp_path / "out", "--model", model_file, "--device", "cpu", "--table", table,
    )  # fmt: skip
    ended = seg_batch(*command)
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    assert (ended.returncode, [row["status"] for row in rows]) == (3, ["failed"] * 3), ended.stderr
    assert all("run again when it is complete" in row["error"] for row in rows)
    assert not list((tmp_path / "out").rglob("*.png"))
    for name, data in whole.items():
        (tmp_path / "in" / name).write_bytes(data)
    assert seg_batch(*command).returncode == 0
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3


def test_a_tiff_that_was_cut_off_is_called_incomplete(model_file: Path, tmp_path: Path) -> None:
    data = encoded("TIFF", compression="tiff_lzw")
    (tmp_path / "cut.tif").write_bytes(data[: len(data) * 9 // 10])
    (tmp_path / "page.jpg").write_bytes(b"<!DOCTYPE html>\n<html>Please log in</html>\n")
    names = (tmp_path / "cut.tif", tmp_path / "page.jpg")
    ended = seg_batch("run", *names, "--out", tmp_path / "out", "--model", model_file, "--device", "cpu")
    assert ended.returncode == 3
    assert "begin as a TIFF" in ended.stderr
    assert "download may be incomplete" in ended.stderr
    assert "Not an image (a web page or XML" in ended.stderr
    assert "udc" not in ended.stderr
