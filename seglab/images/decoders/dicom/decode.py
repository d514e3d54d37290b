"""From a DICOM object to the photograph in it, by pydicom (its header) and imagecodecs (what is compressed).

One frame of colour or grey samples, which lie as Rows and Columns say: nothing inside the pixels turns them, and no
window is applied to a photograph. Source: DICOM PS3.3 C.7.6.3 (Image Pixel Module), PS3.5 section 8 and annex A.4.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from seglab.errors import ImageError
from seglab.images.decoders.base import Decoded, Request, whole
from seglab.images.pixels.colour import to_srgb

if TYPE_CHECKING:
    from pydicom import Dataset

    from seglab.images.decoders.dicom.data_set import DataSet
    from seglab.images.decoders.dicom.layout import Layout

INSTALL = 'A DICOM file, and pydicom is not installed; DICOM needs it. Install it: pip install "seglab[dicom]".'
# It remarks on values that do not conform, of which archives are full. (A filter per call is not safe in threads.)
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")


def decode(data: bytes, request: Request) -> Decoded:
    """Decode the photograph in a DICOM file or bare data set. Raises :class:`ImageError`."""
    try:
        import pydicom  # noqa: F401 - is it there?
    except ImportError as error:
        raise ImageError(INSTALL) from error
    from seglab.images.decoders.dicom import classes, data_set, layout

    try:
        found = data_set.read(data, lambda header: _size_of(header, request))
        verdict = classes.judged(found, any_dicom=request.any_dicom)
        lies = layout.layout_of(found.header)
        request.require_size(lies.columns, lies.rows)
        is_windowed = not verdict.is_photograph
        decoded = _decoded(found, lies, request, is_windowed=is_windowed)
        return _finished(decoded, found, verdict.remarks, is_windowed=is_windowed)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("A DICOM image too large for this machine's memory. Export a smaller one.") from error
    except Exception as error:  # whatever pydicom and its like make of a broken file
        raise ImageError(
            f"Damaged or unusual DICOM ({type(error).__name__}); expected a photograph. {layout.EXPORT}"
        ) from error


def _size_of(header: Dataset, request: Request) -> int:
    from seglab.images.decoders.dicom.layout import layout_of

    lies = layout_of(header)
    request.require_size(lies.columns, lies.rows)
    return lies.raw_bytes


def _decoded(found: DataSet, lies: Layout, request: Request, *, is_windowed: bool) -> Decoded:
    from seglab.images.decoders.dicom import codestreams, colours, compressed, frames

    if not frames.is_encapsulated(found) or found.syntax == frames.RLE:
        return _not_a_stream(found, lies, is_windowed=is_windowed)
    stream = codestreams.stream_of(frames.frame_of(found), lies)
    if compressed.is_ordinary_jpeg(stream) and lies.colours != "PALETTE COLOR" and not (is_windowed or lies.signed):
        return _negative(compressed.decoded_jpeg(stream, lies, request), lies)
    samples, is_ybr = compressed.samples_of(stream, lies)
    used, fitted, remarks = compressed.by_precision(samples, stream, lies)
    pixels, more = colours.to_rgb(used, fitted, found, is_ybr=is_ybr, is_windowed=is_windowed)
    return whole(pixels, *remarks, *more)


def _not_a_stream(found: DataSet, lies: Layout, *, is_windowed: bool) -> Decoded:
    """Decode raw pixels or run lengths, whose colours nothing but the header says."""
    from seglab.images.decoders.dicom import colours, frames, raw
    from seglab.images.decoders.dicom.layout import EXPORT

    if lies.colours in ("YBR_ICT", "YBR_RCT"):
        raise ImageError(f"A DICOM image in {lies.colours}, which only JPEG 2000 has, without JPEG 2000. {EXPORT}")
    if found.syntax == frames.RLE:
        samples = raw.run_length_samples(frames.frame_of(found), lies)
    else:
        samples = raw.raw_samples(found, lies)
    used = colours.stored_bits(samples, lies)
    is_ybr = lies.colours.startswith("YBR")
    pixels, remarks = colours.to_rgb(used, lies, found, is_ybr=is_ybr, is_windowed=is_windowed)
    return whole(pixels, *remarks)


def _negative(decoded: Decoded, lies: Layout) -> Decoded:
    if lies.colours != "MONOCHROME1":
        return decoded
    return replace(decoded, pixels=np.invert(np.asarray(decoded.pixels, np.uint8)))


def _finished(decoded: Decoded, found: DataSet, on_its_class: tuple[str, ...], *, is_windowed: bool) -> Decoded:
    """Bring colours to sRGB by the object's own profile, and gather the remarks."""
    pixels, remark = decoded.pixels, None
    profile = found.header.get("ICCProfile")
    if isinstance(profile, bytes) and profile and not str(found.header.PhotometricInterpretation).startswith("MONO"):
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        pixels, remark = to_srgb(image, profile.rstrip(b"\0") if len(profile) % 4 else profile)
    elif not isinstance(pixels, Image.Image) and not pixels.flags.writeable:
        pixels = pixels.copy()
    on_greys = () if is_windowed else _on_its_greys(found.header)
    remarks = (*on_its_class, *_on_its_shape(found.header), *on_greys, *decoded.remarks, *((remark,) if remark else ()))
    return Decoded(pixels, decoded.size, remarks)


def _on_its_greys(header: Dataset) -> tuple[str, ...]:
    """Return a remark on greys that a viewer may show otherwise."""
    if not str(header.PhotometricInterpretation).startswith("MONO"):
        return ()
    slope = header.get("RescaleSlope")
    changes = {
        "window": header.get("WindowCenter") is not None,
        "lookup table": bool(header.get("VOILUTSequence") or header.get("ModalityLUTSequence")),
        "negative rescaling": slope is not None and float(slope) < 0,
        "inverse presentation": header.get("PresentationLUTShape") == "INVERSE",
    }
    found = [name for name, is_there in changes.items() if is_there]
    return (f"its greys are read as stored; not applied: {', '.join(found)}",) if found else ()


def _on_its_shape(header: Dataset) -> tuple[str, ...]:
    """Return a remark on pixels that are no squares."""
    ratio: Any = header.get("PixelAspectRatio")
    try:
        high, wide = (int(part) for part in ratio)
    except (TypeError, ValueError):
        return ()
    return () if high == wide else (f"its pixels are not square ({high}:{wide}, height to width)",)
