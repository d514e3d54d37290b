"""Raw and run-length encoded pixels of DICOM. Source: DICOM PS3.5 section 8, annexes A and G."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from seglab.errors import ImageError
from seglab.images.completeness import LEAST, RawRows, require_rows
from seglab.images.decoders.dicom.data_set import DataSet
from seglab.images.decoders.dicom.elements import UNDEFINED, damaged
from seglab.images.decoders.dicom.layout import EXPORT, HALVED, Layout

RLE_HEADER = 64
MOST_BY_A_RUN = 64
"""Largest number of bytes that a byte of run lengths expands to: 128 from two."""
SURPLUS = 256
"""Bytes that a segment may have after the image."""


def raw_samples(data_set: DataSet, layout: Layout) -> NDArray[np.unsignedinteger]:
    """Return uncompressed samples as stored: uint8, uint16 or uint32 ``(H, W)`` or ``(H, W, 3)``.

    Raises :class:`ImageError` for fewer bytes than the pixels need, or many more.
    """
    found, is_halved = _checked_bytes(data_set, layout)
    if layout.allocated == 1:
        bits = np.unpackbits(np.frombuffer(found, np.uint8), bitorder="little")
        return _shaped(bits[: layout.rows * layout.columns * layout.samples], layout)
    dtype = np.dtype(f"{'>' if data_set.encoding.is_big else '<'}u{layout.allocated // 8}")
    samples = np.frombuffer(found, dtype).astype(dtype.newbyteorder("="), copy=False)
    return _pairs(samples, layout) if is_halved else _shaped(samples, layout)


def run_length_samples(frame: bytes, layout: Layout) -> NDArray[np.unsignedinteger]:
    """Return samples from run lengths, like :func:`raw_samples`. Raises :class:`ImageError` for damaged ones."""
    count = struct.unpack_from("<I", frame)[0] if len(frame) >= RLE_HEADER else 0
    expected = layout.samples * layout.allocated // 8
    if count != expected or layout.allocated == 1:
        raise ImageError(f"A DICOM image of {count} run-length segments; expected {expected}. {EXPORT}")
    offsets = (*struct.unpack_from(f"<{count}I", frame, 4), len(frame))
    size = layout.rows * layout.columns
    sample = layout.allocated // 8
    planes = np.empty((layout.samples, size, sample), np.uint8)
    for segment in range(count):
        start, end = offsets[segment], offsets[segment + 1]
        if not RLE_HEADER <= start < end <= len(frame) or size > MOST_BY_A_RUN * (end - start):
            raise damaged(f"its run-length segment {segment + 1} has no {size} samples")
        plane = planes[segment // sample, :, sample - 1 - segment % sample]  # the high byte comes first
        plane[:] = _run_lengths(frame[start:end], size)
    samples = planes.view(f"<u{sample}").astype(f"=u{sample}", copy=False)[..., 0]  # (C, H * W)
    return _interleaved(samples.reshape(layout.samples, layout.rows, layout.columns))


def _run_lengths(segment: bytes, size: int) -> NDArray[np.uint8]:
    try:
        decoded = _packed_bits(segment, size)
    except imagecodecs.ImcdError as error:
        raise damaged("its run lengths cannot be decoded") from error
    if len(decoded) < size:
        raise damaged(f"its run lengths end after {len(decoded)} of {size} samples")
    return np.frombuffer(decoded, np.uint8, size)


def _packed_bits(segment: bytes, size: int) -> bytes | bytearray:
    try:
        return imagecodecs.packbits_decode(segment, out=bytearray(size))
    except imagecodecs.ImcdError:  # some writers fill up segments, or let the last run end behind the image
        return imagecodecs.packbits_decode(segment, out=bytearray(size + SURPLUS))


def _checked_bytes(data_set: DataSet, layout: Layout) -> tuple[memoryview, bool]:
    """Return the bytes of all pixels, and whether two neighbours share their chroma."""
    pixels = data_set.pixels
    if pixels is None or pixels.length == UNDEFINED:
        raise damaged("its pixels have no length")
    found = memoryview(data_set.data)[pixels.value : pixels.value + pixels.length]
    if data_set.encoding.is_big and layout.allocated <= 8 and pixels.vr == b"OW":
        found = memoryview(_swapped(found))
    is_halved = layout.colours in HALVED
    expected = layout.raw_bytes // 3 * 2 if is_halved else layout.raw_bytes
    if is_halved and len(found) in (layout.raw_bytes, layout.raw_bytes + layout.raw_bytes % 2):
        is_halved, expected = False, layout.raw_bytes  # some writers say so of chroma in full
    if len(found) < expected:
        raise ImageError(
            f"Damaged DICOM: its pixels break off after {len(found)} of {expected} bytes. Expected a whole file; copy "
            "it again from the original."
        )
    _require_no_more(found[expected:], expected // layout.rows)
    _require_written(found[:expected], layout, is_halved=is_halved)
    return found[:expected], is_halved


def _require_no_more(rest: memoryview, row: int) -> None:
    """Refuse surplus bytes of a row or more, unless they are zero: the header does not match the pixels then."""
    if len(rest) >= max(row, 2) and any(np.frombuffer(rest, np.uint8)):
        raise ImageError(
            f"A DICOM image with {len(rest)} more bytes of pixels than its rows and columns need; expected one "
            f"photograph of the size in its header. {EXPORT}"
        )


def _require_written(found: memoryview, layout: Layout, *, is_halved: bool) -> None:
    if bytes(found[-LEAST:]).count(0) < LEAST or layout.allocated < 8:
        return
    channels = 1 if layout.planar else 2 if is_halved else layout.samples
    sample = layout.allocated // 8
    require_rows(bytes(found), RawRows(0, layout.columns * channels * sample, min(sample, 2)))


def _swapped(found: memoryview) -> bytes:
    """Return 8-bit samples that are stored in words of the other byte order."""
    padded = bytes(found) + bytes(len(found) % 2)
    return np.frombuffer(padded, np.uint16).byteswap().tobytes()


def _pairs(samples: NDArray[np.unsignedinteger], layout: Layout) -> NDArray[np.unsignedinteger]:
    """Return ``(H, W, 3)`` from samples in the order Y, Y, Cb, Cr."""
    if layout.columns % 2 or layout.planar:
        raise ImageError(
            f"A raw DICOM image in {layout.colours} with {layout.columns} columns, planar or odd; expected pairs of "
            f"pixels. {EXPORT}"
        )
    four = samples.reshape(layout.rows, layout.columns // 2, 4)
    whole = np.empty((layout.rows, layout.columns // 2, 2, 3), samples.dtype)
    whole[..., 0] = four[..., :2]
    whole[..., 1:] = four[:, :, None, 2:]
    return whole.reshape(layout.rows, layout.columns, 3)


def _shaped(samples: NDArray[np.unsignedinteger], layout: Layout) -> NDArray[np.unsignedinteger]:
    if layout.planar:
        return _interleaved(samples.reshape(layout.samples, layout.rows, layout.columns))
    shape = (layout.rows, layout.columns, layout.samples)
    return samples.reshape(shape[:2] if layout.samples == 1 else shape)


def _interleaved(planes: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
    """Return ``(H, W, C)`` of ``(C, H, W)``, or ``(H, W)`` of one plane."""
    return planes[0] if len(planes) == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0))
