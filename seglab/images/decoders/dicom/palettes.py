"""DICOM palettes and windows as lookup tables over all values that a sample may have.

Source: DICOM PS3.3 C.7.6.3.1.5 and .6, C.7.9.2 (palettes, segmented ones), C.11.1 and C.11.2 (rescaling, windows).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seglab.errors import ImageError
from seglab.images.decoders.dicom.elements import damaged
from seglab.images.decoders.dicom.layout import EXPORT, Layout, printable

if TYPE_CHECKING:
    from pydicom import Dataset

CHANNELS = ("Red", "Green", "Blue")
DISCRETE, LINEAR, INDIRECT = 0, 1, 2
"""Types of segments in segmented palettes."""


def palette_table(header: Dataset, layout: Layout, *, is_big: bool) -> NDArray[np.uint8]:
    """Return the colours of all indices: uint8 ``(2 ** stored, 3)``. Raises :class:`ImageError`."""
    columns = [_channel(header, name, is_big=is_big) for name in CHANNELS]
    indices = np.arange(1 << layout.stored)
    table = np.empty((len(indices), 3), np.uint8)
    for channel, (values, first) in enumerate(columns):
        table[:, channel] = values[np.clip(indices - first, 0, len(values) - 1)]
    return table


def _channel(header: Dataset, name: str, *, is_big: bool) -> tuple[NDArray[np.uint8], int]:
    """Return one channel of a palette as uint8 ``(N,)``, and the index of its first value."""
    entries, first, bits = _descriptor(header, f"{name}PaletteColorLookupTableDescriptor")
    order = ">" if is_big else "<"
    data = _bytes(header, f"{name}PaletteColorLookupTableData")
    if data is None:
        segmented = _bytes(header, f"Segmented{name}PaletteColorLookupTableData")
        if segmented is None:
            raise ImageError(f"A DICOM image in PALETTE COLOR whose palette has no {name.lower()} values. {EXPORT}")
        values = _expanded(segmented, entries, bits, order)
    elif bits == 8 and len(data) in (entries, entries + 1):
        values = np.frombuffer(data, np.uint8, entries).astype(np.uint16)
    elif len(data) >= 2 * entries:
        values = np.frombuffer(data, f"{order}u2", entries).astype(np.uint16)
    else:
        raise damaged(f"the {name.lower()} values of its palette have {len(data)} bytes for {entries} colours")
    return _eight_bits(values, bits), first


def _eight_bits(values: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    """Return the values of a palette as 8 bits. Some writers state 16 bits for 8, or store 8 in the high byte."""
    if int(values.max(initial=0)) <= 0xFF:
        return values.astype(np.uint8)
    return (values >> 8 if bits == 16 or int(values.max()) > 0xFF else values).astype(np.uint8)


def _descriptor(header: Dataset, name: str) -> tuple[int, int, int]:
    """Return a table's number of entries, its first index and its bits per entry."""
    value: Any = header.get(name)
    try:
        entries, first, bits = (int(part) for part in value)
    except (TypeError, ValueError):
        entries, first, bits = 0, 0, -1
    if bits not in (8, 16) or not 0 <= entries <= 0xFFFF:
        raise ImageError(
            f"A DICOM image with {name} {printable(value)}; expected the number of entries, the first index, and 8 or "
            f"16 bits. {EXPORT}"
        )
    return entries or 0x10000, first, bits


def _bytes(header: Dataset, name: str) -> bytes | None:
    value = header.get(name)
    return value if isinstance(value, bytes) and value else None


def _expanded(data: bytes, entries: int, bits: int, order: str) -> NDArray[np.uint16]:
    """Return the first ``entries`` values of a segmented table. Raises :class:`ImageError` if there are fewer."""
    unit, size = ("B", 1) if bits == 8 else ("H", 2)
    words = struct.unpack_from(f"{order}{len(data) // size}{unit}", data)
    values: list[int] = []
    try:
        for piece in _pieces(words, 0, len(words), size, order, values):
            values.extend(piece)
            if len(values) > entries:
                break
    except (IndexError, struct.error) as error:
        raise damaged("a segmented palette breaks off") from error
    if len(values) < entries:
        raise damaged(f"a segmented palette gives {len(values)} of {entries} colours")
    return np.array(values[:entries], np.uint16)


def _pieces(
    words: tuple[int, ...], at: int, most: int, size: int, order: str, values: list[int]
) -> Iterator[list[int]]:
    """Yield the values of at most ``most`` segments from index ``at`` on. ``values``: all values before."""
    while at + 1 < len(words) and most > 0:
        kind, length = words[at], words[at + 1]
        most -= 1
        if kind == DISCRETE:
            yield list(words[at + 2 : at + 2 + length])
            at += 2 + length
        elif kind == LINEAR and values:
            yield np.linspace(values[-1], words[at + 2], length + 1)[1:].round().astype(int).tolist()
            at += 3
        elif kind == INDIRECT:
            count = 4 // size
            place = struct.pack(f"{order}{count}{'B' if size == 1 else 'H'}", *words[at + 2 : at + 2 + count])
            start = struct.unpack(f"{order}I", place)[0] // size
            if start >= at or words[start] == INDIRECT:
                raise damaged("a segmented palette refers to itself")
            yield from _pieces(words[:at], start, length, size, order, values)
            at += 2 + count
        else:
            raise damaged(f"a segmented palette has a segment of kind {kind}")


def grey_table(header: Dataset, layout: Layout) -> NDArray[np.uint8] | None:
    """Return the grey of every stored value after rescaling and the first window: uint8 ``(2 ** stored,)``, indexed by
    the stored bits. None if the header has no window and no table. Raises :class:`ImageError`.
    """
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    stored = np.arange(1 << layout.stored)
    if layout.signed:
        stored = np.where(stored >> (layout.stored - 1), stored - (1 << layout.stored), stored)
    has_window = header.get("WindowCenter") is not None and header.get("WindowWidth") is not None
    if not has_window and not header.get("VOILUTSequence"):
        return None
    values = np.asarray(apply_modality_lut(stored, header), np.float64)
    if has_window:
        greys = _windowed(values, header)
    else:
        table = np.asarray(apply_voi_lut(values.astype(np.int32), header), np.float64)
        bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
        greys = table / (2.0**bits - 1)
    return np.asarray(np.clip(greys, 0, 1) * 255 + 0.5, np.uint8)


def _windowed(values: NDArray[np.float64], header: Dataset) -> NDArray[np.float64]:
    """Return values after the first window; its range is 0 to 1 (PS3.3 C.11.2.1.2 and .3)."""
    centre, width = _first(header.WindowCenter), _first(header.WindowWidth)
    shape = str(header.get("VOILUTFunction") or "LINEAR").strip().upper()
    if not (np.isfinite(centre) and np.isfinite(width) and width >= 1e-6):
        raise ImageError(f"A DICOM image with a window of {width} at {centre}; expected a width above zero. {EXPORT}")
    if shape == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))), np.float64)
    if shape == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    return (values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5


def _first(value: Any) -> float:
    parts = value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]
    return float(parts[0])
