"""Reading of masks by the values of their samples, in any bit depth (:mod:`seglab.images.mask_values`)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seglab.errors import ImageError
from seglab.images.decoders.base import Request, Stored
from seglab.images.decoders.stored import stored_gif, stored_png, stored_webp
from seglab.images.kinds import picture_kind
from seglab.images.mask_values import Truth, is_mask_like, truth_of
from seglab.images.reader import read_image

OF_8_BITS = frozenset({"a JPEG", "a BMP"})
JUDGED = frozenset({"grey", "white is zero", "rgb", "palette"})
"""Colours that :mod:`seglab.images.mask_values` judges; others become RGB first."""
GREY_OF_DICOM = {"MONOCHROME1": "white is zero", "MONOCHROME2": "grey"}


def read_truth(source: Path | bytes) -> Truth:
    """Return a truth mask. Raises :class:`ImageError`, also where its values do not tell what is lesion."""
    return truth_of(_stored(source))


def read_mask(source: Path | bytes) -> NDArray[np.uint8]:
    """Return a mask: uint8 ``(H, W)``, 0 or 255. Raises like :func:`read_truth`."""
    return read_truth(source).mask


def read_labels(source: Path | bytes, classes: int) -> NDArray[np.uint8]:
    """Return a label map: uint8 ``(H, W)``, numbers below ``classes``. Raises :class:`ImageError` for other files."""
    stored = _stored(source)
    found = f"{stored.colours} of {stored.bits} bits in {stored.values.shape[2]} channels"
    if stored.colours == "grey" and stored.bits == 8 and stored.values.shape[2] == 1:
        labels = np.ascontiguousarray(stored.values[..., 0], np.uint8)
        if labels.max() < classes:
            return labels
        found = f"values up to {labels.max()}"
    raise ImageError(
        f"Not the label map of these classes: {found}; expected one channel of 8-bit grey with values below {classes}. "
        "Bring the file back, or have it made again."
    )


def is_mask(source: Path | bytes) -> bool:
    """Return whether a file, or its bytes, holds a mask (binary or of classes) and not a photograph.

    The pixel values decide, because photographs may be grey or have a palette, too. Raises :class:`ImageError` where it
    cannot be read.
    """
    return is_mask_like(_stored(source))


def _stored(source: Path | bytes) -> Stored:
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        return _samples(data)
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        read_image(source)  # raises an error with the exact reason
        raise ImageError(f"Damaged image: {error}. Expected a whole file; copy it again.") from error


def _samples(data: bytes) -> Stored:
    match picture_kind(data):
        case "a PNG":
            return stored_png(data, Request())
        case "a GIF":
            return stored_gif(data, Request())
        case "a WebP":
            return stored_webp(data, Request())
        case "a TIFF" | "a BigTIFF":
            from seglab.images.decoders import tiff

            found = tiff.stored(data, Request())
            return found if found.colours in JUDGED else _as_photo(data)
        case "a DICOM file" | "a bare DICOM data set":
            return _of_dicom(data)
    return _as_photo(data)


def _as_photo(data: bytes) -> Stored:
    """Return the pixels of a file in a format of photographs; of samples above 8 bits only the high byte is kept."""
    pixels = read_image(data)
    if not pixels.any() and picture_kind(data) not in OF_8_BITS:
        raise ImageError(
            "All black in 8 bits; expected a mask. It may be empty, or have small values of more bits, which cannot be "
            "told here: save it as 8-bit PNG with 0 and 255."
        )
    return Stored(pixels, "rgb", 8)


def _of_dicom(data: bytes) -> Stored:
    from seglab.images.decoders import dicom

    decoded = dicom.decode(data, Request(any_dicom=True))  # raises an error with the exact reason
    import pydicom
    from pydicom.pixels.utils import pixel_array

    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    colours = GREY_OF_DICOM.get(dataset.PhotometricInterpretation)
    bits = int(dataset.BitsStored)
    if colours is None or bits <= 8:
        return Stored(np.asarray(decoded.pixels), "rgb", 8)
    return Stored(pixel_array(dataset)[..., None], colours, bits)
