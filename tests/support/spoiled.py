"""Photographs in every format, and mutations of their files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from seglab.synth import synthesise

FORMATS = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".bmp": "BMP", ".webp": "WEBP"}
VARIANTS = 8
PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.4"
"""VL Photographic Image Storage."""


def spoiled(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file's bytes, spoiled in one to three ways."""
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(len(data)))
        end = min(len(data), start + int(rng.integers(1, 64)))
        match int(rng.integers(5)):
            case 0:
                flipped = bytearray(data)
                for place in rng.integers(0, len(data), int(rng.integers(1, 9))):
                    flipped[place] ^= 1 << int(rng.integers(8))
                data = bytes(flipped)
            case 1:
                data = data[:start] + bytes(end - start) + data[end:]
            case 2:
                data = data[:end] + data[start:]
            case 3:
                data = data[:start] + data[end:] or b"\0"
            case 4:
                data = data[: max(1, start)]
    return data


def photographs(rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Yield (suffix, bytes) of whole files."""
    for number in range(VARIANTS):
        height, width = (int(side) for side in rng.integers(20, 90, 2))
        image = Image.fromarray(synthesise(height, width, seed=number).image)
        exif = Image.Exif()
        exif[0x0112] = 1 + number
        for suffix, kind in FORMATS.items():
            options: dict[str, Any] = {"exif": exif} if suffix in (".jpg", ".tif", ".webp") else {}
            if suffix == ".jpg":
                options |= {"progressive": bool(number % 2)}
            buffer = io.BytesIO()
            image.save(buffer, kind, **options)
            yield suffix, buffer.getvalue()


def dicoms() -> Iterator[tuple[str, bytes]]:
    """Yield DICOM files, if pydicom is installed."""
    try:
        import pydicom
    except ImportError:
        return
    for number in range(VARIANTS):
        pixels = synthesise(30 + number, 40, seed=number).image
        file = pydicom.Dataset()
        file.file_meta = pydicom.dataset.FileMetaDataset()
        file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = pydicom.uid.UID(PHOTOGRAPH)
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(
            entropy_srcs=[str(number)]
        )
        file.Rows, file.Columns = pixels.shape[:2]
        file.SamplesPerPixel, file.PhotometricInterpretation, file.PlanarConfiguration = 3, "RGB", 0
        file.BitsAllocated = file.BitsStored = 8
        file.HighBit, file.PixelRepresentation, file.PixelData = 7, 0, pixels.tobytes()
        buffer = io.BytesIO()
        file.save_as(buffer, enforce_file_format=True)
        yield ".dcm", buffer.getvalue()
