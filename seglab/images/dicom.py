"""Photographs in DICOM files (VL Photographic Image Storage and its like), by pydicom, which is optional.

One frame of colour or grey samples; nothing is windowed, for a photograph means what it says. Source: DICOM PS3.3
C.7.6.3 (Image Pixel Module), PS3.5 section 8 and annex A.4 (encapsulated pixel data).
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seglab.errors import ImageError, TooLargeError
from seglab.images.completeness import RawRows, require_rows

if TYPE_CHECKING:
    from pydicom import Dataset

MAGIC, MAGIC_AT = b"DICM", 128
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
CONVERTED = frozenset({"YBR_FULL", "YBR_FULL_422", "MONOCHROME2"})
"""Colour spaces of which an ordinary JPEG decoder makes RGB."""
KNOWN = CONVERTED | {"MONOCHROME1", "RGB", "YBR_ICT", "YBR_RCT", "PALETTE COLOR"}
INSTALL = 'A DICOM file, and pydicom is not installed; expected it for these. Install it: pip install "seglab[dicom]".'

# It remarks on values that do not conform, of which archives are full. (A filter per call is not safe in threads.)
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")


@dataclass(frozen=True)
class Frame:
    """What a DICOM file holds: a whole ``jpeg``, to be decoded like any other, or ``pixels`` uint8 ``(H, W, 3)``."""

    jpeg: bytes | None = None
    pixels: NDArray[np.uint8] | None = None


def is_dicom(data: bytes) -> bool:
    """Is this how a DICOM file begins?"""
    return data[MAGIC_AT : MAGIC_AT + len(MAGIC)] == MAGIC


def read_frame(data: bytes, max_pixels: int) -> Frame:
    """Take the image out of a DICOM file. Raises :class:`ImageError`."""
    try:
        import pydicom
    except ImportError as error:
        raise ImageError(INSTALL) from error
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        _require_photograph(dataset, max_pixels)
        return _decoded(dataset)
    except ImageError:
        raise
    except Exception as error:  # whatever pydicom and its decoders make of a broken file
        raise ImageError(f"Damaged or unusual DICOM: {error}. Export it again, as baseline JPEG or raw RGB.") from error


def _require_photograph(dataset: Dataset, max_pixels: int) -> None:
    kind = getattr(dataset.get("SOPClassUID"), "name", "no class")
    if "PixelData" not in dataset:
        raise ImageError(f"A DICOM object without an image ({kind}); expected a photograph. Leave it out.")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ImageError(f"A DICOM file of {frames} frames; expected one photograph. Export its frames one by one.")
    if dataset.Rows * dataset.Columns > max_pixels:
        raise TooLargeError(
            f"The DICOM image has {dataset.Columns} x {dataset.Rows} pixels; at most {max_pixels / 1e6:.0f} million "
            "are decoded. Save a smaller copy, or raise the limit."
        )
    if dataset.PhotometricInterpretation not in KNOWN:
        raise ImageError(
            f"A DICOM image in {dataset.PhotometricInterpretation}; expected {', '.join(sorted(KNOWN))}. "
            "Export it again."
        )


def _decoded(dataset: Dataset) -> Frame:
    from pydicom.encaps import generate_frames
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    colours = dataset.PhotometricInterpretation
    if dataset.file_meta.TransferSyntaxUID == JPEG_BASELINE and colours in CONVERTED:
        return Frame(jpeg=next(generate_frames(dataset.PixelData, number_of_frames=1)))
    if not dataset.file_meta.TransferSyntaxUID.is_compressed:
        channels = 1 if dataset.get("PlanarConfiguration") else dataset.SamplesPerPixel
        sample = dataset.BitsAllocated // 8
        require_rows(dataset.PixelData, RawRows(0, dataset.Columns * channels * sample, sample))
    samples = pixel_array(dataset)  # RGB, where it was YBR
    bits = int(dataset.BitsStored)
    if colours == "PALETTE COLOR":
        samples = apply_color_lut(samples, dataset)
        bits = 8 * samples.dtype.itemsize
    if int(dataset.get("PixelRepresentation") or 0) != 0 or bits > 16:
        raise ImageError(f"DICOM samples of {bits} bits, signed or large; expected 1 to 16 bits, unsigned.")
    pixels = _to_bytes(samples, bits)
    if colours == "MONOCHROME1":
        pixels = np.invert(pixels)
    channels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)  # (H, W, 3)
    return Frame(pixels=np.ascontiguousarray(channels))


def _to_bytes(samples: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """Bring samples of so many bits to 0-255: of more the high byte is kept, of fewer they are spread."""
    if bits > 8:
        return np.asarray(np.asarray(samples, np.uint16) >> (bits - 8), np.uint8)
    return np.asarray(np.asarray(samples, np.uint16) * 255 // (2**bits - 1), np.uint8)
