"""Decoding what is compressed inside a DICOM file, by libjpeg-turbo, CharLS, OpenJPEG and OpenJPH (imagecodecs).

None of pydicom's own decoders is used: which of them are there depends on what else is installed, and with it the
pixels. EXIF and colour profiles inside an encapsulated JPEG do not count; the object's do (PS3.5, 8.2.1).
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from seglab.errors import ImageError
from seglab.images.decoders import jpeg
from seglab.images.decoders.base import Decoded, Request
from seglab.images.decoders.dicom.codestreams import (
    LOSSLESS,
    NEARLY_LOSSLESS,
    Stream,
    segments,
)
from seglab.images.decoders.dicom.elements import damaged
from seglab.images.decoders.dicom.layout import EXPORT, Layout

ORDINARY = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive frames, by Huffman."""
ADOBE_SEGMENTS = {
    "RGB": b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0",
    "YBR": b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x01",
}
"""The segments that say what three components are."""
ONE_AT_A_TIME = threading.Lock()
APPLICATION = range(0xE0, 0xF0)


def is_ordinary_jpeg(stream: Stream) -> bool:
    """Return whether this is an ordinary 8-bit JPEG, as in files."""
    return stream.kind in ORDINARY and stream.precision == 8


def decoded_jpeg(stream: Stream, layout: Layout, request: Request) -> Decoded:
    """Decode an ordinary JPEG, scaled if that was asked for. ``layout`` says what its colours are where it does not."""
    colours = (stream.colours or _said(layout)) if stream.components == 3 else ""
    try:
        return jpeg.decode(_plain_jpeg(stream.data, colours=colours), request, is_upright=True)
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged("the JPEG in it cannot be decoded") from error


def samples_of(stream: Stream, layout: Layout) -> tuple[NDArray[np.unsignedinteger], bool]:
    """Return uint8 or uint16 ``(H, W)`` or ``(H, W, 3)``, and whether these are Y, Cb and Cr.

    Raises :class:`ImageError` for damaged data and unsupported kinds.
    """
    is_ybr = stream.components == 3 and (stream.colours or _said(layout)) == "YBR"
    if stream.kind in ORDINARY:
        given = "YCBCR" if is_ybr else "RGB" if stream.components == 3 else "GRAYSCALE"
        wanted = "RGB" if stream.components == 3 else "GRAYSCALE"
        samples, is_ybr = _called(imagecodecs.jpeg8_decode, stream, colorspace=given, outcolorspace=wanted), False
    elif stream.kind == LOSSLESS:
        samples = _called(imagecodecs.jpeg8_decode, stream)
    elif stream.kind == NEARLY_LOSSLESS:
        samples = _called(imagecodecs.jpegls_decode, stream)
    elif stream.kind == 0:
        samples = _fast_jpeg_2000(stream) if stream.is_fast else _called(imagecodecs.jpeg2k_decode, stream)
    else:
        raise ImageError(f"A DICOM image in JPEG of a kind that no decoder knows ({stream.kind:#x}). {EXPORT}")
    if (
        samples.shape[:2] != (layout.rows, layout.columns)
        or samples.size != layout.rows * layout.columns * layout.samples
    ):
        raise damaged("its compressed image has another size than its header says")
    return samples, is_ybr


def by_precision(
    samples: NDArray[np.generic], stream: Stream, layout: Layout
) -> tuple[NDArray[np.unsignedinteger], Layout, tuple[str, ...]]:
    """Return decoded samples as uint8 or uint16, the layout that they have then, and remarks.

    The header gives the bits per sample, unless the stream has fewer: then the stream is right, and a remark says so.
    Raises :class:`ImageError`.
    """
    unsigned = samples.view(f"u{samples.dtype.itemsize}")
    if stream.precision < layout.stored and not layout.signed:
        remark = f"its header says {layout.stored} bits per sample, its compressed data have {stream.precision}"
        fewer = replace(layout, stored=stream.precision, high=stream.precision - 1)
        return unsigned, fewer, (remark,)
    if stream.precision > layout.allocated > 1:
        raise ImageError(
            f"A DICOM image whose compressed samples have {stream.precision} bits, and whose header says "
            f"{layout.allocated}; expected the same. {EXPORT}"
        )
    most = (1 << layout.stored) - 1
    if stream.is_lossless_jpeg or stream.is_signed or layout.signed:  # what is above, is overlays or the sign
        shift = layout.high - layout.stored + 1 if stream.precision > layout.high else 0
        return np.asarray((unsigned >> shift) & unsigned.dtype.type(min(most, 2**16 - 1))), layout, ()
    return np.minimum(unsigned, unsigned.dtype.type(min(most, np.iinfo(unsigned.dtype).max))), layout, ()


def _called(decoder: Any, stream: Stream, **options: str) -> NDArray[np.unsignedinteger]:
    try:
        return np.asarray(decoder(stream.data, **options))
    except (RuntimeError, ValueError) as error:  # what imagecodecs raises
        raise damaged("its compressed image cannot be decoded") from error


def _fast_jpeg_2000(stream: Stream) -> NDArray[np.unsignedinteger]:
    """Decode HTJ2K. For damaged data its decoder returns zeros and reports the error only to Python's hooks."""
    with ONE_AT_A_TIME, _caught_errors() as errors:
        samples = _called(imagecodecs.htj2k_decode, stream)
    if errors:
        raise damaged("its compressed image cannot be decoded")
    return samples


@contextlib.contextmanager
def _caught_errors() -> Iterator[list[object]]:
    """Collect this thread's unraisable errors instead of printing them."""
    errors: list[object] = []
    here = threading.get_ident()
    hooks = sys.unraisablehook, sys.excepthook

    def ignored(error: sys.UnraisableHookArgs) -> None:
        if threading.get_ident() == here:
            errors.append(error.exc_value)
        else:
            hooks[0](error)

    sys.unraisablehook, sys.excepthook = ignored, lambda *error: errors.append(error[1])
    try:
        yield errors
    finally:
        sys.unraisablehook, sys.excepthook = hooks


def _said(layout: Layout) -> str:
    return "YBR" if layout.colours.startswith("YBR_FULL") else "RGB"


def _plain_jpeg(data: bytes, *, colours: str) -> bytes:
    """Return a JPEG without what applications added to it, but for one segment that says what its ``colours`` are."""
    parts, at = [data[:2], ADOBE_SEGMENTS.get(colours, b"")], 2
    for marker, start, end in segments(data):
        if marker not in APPLICATION:
            parts.append(data[start - 4 : end])
        at = end
    return b"".join((*parts, memoryview(data)[at:]))
