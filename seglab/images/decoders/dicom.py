"""Photographs in DICOM files (VL Photographic Image Storage and its like), by pydicom, which is optional.

One frame of colour or grey samples; nothing is windowed, for a photograph means what it says. Source: DICOM PS3.3
C.7.6.3 (Image Pixel Module), PS3.5 section 8 and annex A.4 (encapsulated pixel data).
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from seglab.errors import ImageError
from seglab.images.completeness import RawRows, require_rows
from seglab.images.decoders import jpeg
from seglab.images.decoders.base import Decoded, Request, whole
from seglab.images.samples import to_bytes

if TYPE_CHECKING:
    from pydicom import Dataset

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
CONVERTED = frozenset({"YBR_FULL", "YBR_FULL_422", "MONOCHROME2"})
"""Colour spaces of which an ordinary JPEG decoder makes RGB."""
KNOWN = CONVERTED | {"MONOCHROME1", "RGB", "YBR_ICT", "YBR_RCT", "PALETTE COLOR"}
INSTALL = 'A DICOM file, and pydicom is not installed; expected it for these. Install it: pip install "seglab[dicom]".'

# It remarks on values that do not conform, of which archives are full. (A filter per call is not safe in threads.)
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")


def decode(data: bytes, request: Request) -> Decoded:
    """Decode the photograph in a DICOM file. Raises :class:`ImageError`."""
    try:
        import pydicom
    except ImportError as error:
        raise ImageError(INSTALL) from error
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        _require_photograph(dataset, request)
        return _decoded(dataset, request)
    except ImageError:
        raise
    except Exception as error:  # whatever pydicom and its decoders make of a broken file
        raise ImageError(f"Damaged or unusual DICOM: {error}. Export it again, as baseline JPEG or raw RGB.") from error


def _require_photograph(dataset: Dataset, request: Request) -> None:
    kind = getattr(dataset.get("SOPClassUID"), "name", "no class")
    if "PixelData" not in dataset:
        raise ImageError(f"A DICOM object without an image ({kind}); expected a photograph. Leave it out.")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ImageError(f"A DICOM file of {frames} frames; expected one photograph. Export its frames one by one.")
    request.require_size(dataset.Columns, dataset.Rows)
    if dataset.PhotometricInterpretation not in KNOWN:
        raise ImageError(
            f"A DICOM image in {dataset.PhotometricInterpretation}; expected {', '.join(sorted(KNOWN))}. "
            "Export it again."
        )


def _decoded(dataset: Dataset, request: Request) -> Decoded:
    from pydicom.encaps import generate_frames
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    colours = dataset.PhotometricInterpretation
    if dataset.file_meta.TransferSyntaxUID == JPEG_BASELINE and colours in CONVERTED:
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        return jpeg.decode(frame, request, is_upright=True)
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
    pixels = to_bytes(samples, bits)
    if colours == "MONOCHROME1":
        pixels = np.invert(pixels)
    channels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)  # (H, W, 3)
    return whole(np.ascontiguousarray(channels))
