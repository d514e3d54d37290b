"""Photographs in files of every kind: whole, and as copies in progress, with zeros for the rest."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

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
    """Return the file as a copy that has written this share of it, in whole blocks; the rest is zeros."""
    end = int(len(data) * share) // block * block
    return data[:end] + bytes(len(data) - end)
