"""Small DICOM files, written by pydicom."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RAW = "1.2.840.10008.1.2.1"
RLE = "1.2.840.10008.1.2.5"
PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.4"


def dicom(pixels: NDArray[Any], syntax: str = RAW, data: bytes | None = None, **fields: Any) -> bytes:
    """Return a VL Photographic Image of uint8 or uint16 ``(H, W, 3)`` or ``(H, W)``; ``data``: its samples, encoded."""
    import pydicom

    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = syntax  # type: ignore[assignment]
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = fields.pop("SOPClassUID", PHOTOGRAPH)
    about = [hashlib.sha256(pixels.tobytes()).hexdigest(), syntax, repr(fields)]  # the same file each time
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=about)
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    file.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        file.PlanarConfiguration = 0
    file.BitsAllocated = file.BitsStored = 8 * pixels.dtype.itemsize
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, 0
    if data is None:
        file.PixelData = pixels.tobytes() + bytes(pixels.nbytes % 2)
        file["PixelData"].VR = "OW" if file.BitsAllocated > 8 else "OB"
    else:
        file.PixelData = pydicom.encaps.encapsulate([data])
        file["PixelData"].VR = "OB"
        file["PixelData"].is_undefined_length = True
    for name, value in fields.items():
        setattr(file, name, value)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, file, enforce_file_format=True)
    return buffer.getvalue()


def encoded(whole: bytes, syntax: str) -> bytes:
    """Return a raw file of pydicom's written in another way: another order of bytes, deflated, or as run lengths."""
    import pydicom

    file = pydicom.dcmread(io.BytesIO(whole))
    buffer = io.BytesIO()
    if syntax == RLE:
        file.compress(RLE, encoding_plugin="pydicom")
        file.save_as(buffer)
        return buffer.getvalue()
    if syntax == "1.2.840.10008.1.2.2" and file.BitsAllocated == 16:
        file.PixelData = np.frombuffer(file.PixelData, np.uint16).byteswap().tobytes()
    implicit = syntax == "1.2.840.10008.1.2"
    file.file_meta.TransferSyntaxUID = syntax  # type: ignore[assignment]
    order = syntax != "1.2.840.10008.1.2.2"
    pydicom.dcmwrite(buffer, file, implicit_vr=implicit, little_endian=order, force_encoding=True)
    return buffer.getvalue()


def bare(whole: bytes) -> bytes:
    """Return the data set of a file, without the file's header and group 2."""
    import pydicom

    meta = pydicom.filereader.dcmread(io.BytesIO(whole)).file_meta
    return whole[132 + 12 + int(meta.FileMetaInformationGroupLength) :]


def jpeg(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()
