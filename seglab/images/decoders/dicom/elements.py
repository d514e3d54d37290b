"""Positions of the elements of a DICOM data set, found without building the elements.

A data set may hold millions of elements or deeply nested sequences. Only positions are computed, one after another, so
memory does not depend on the file's content. Source: DICOM PS3.5 section 7.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from seglab.errors import ImageError

UNDEFINED = 0xFFFFFFFF
"""Undefined length: the value ends at a delimiter."""
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
FLOAT_PIXELS, DOUBLE_PIXELS, PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
SHORT_VRS = frozenset(
    {
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
        b"ST", b"TM", b"UI", b"UL", b"US",
    }
)  # fmt: skip
MOST_ELEMENTS = 1_000_000
"""Largest number of elements before the pixels; whole-slide images with tables of tiles have some hundred thousand."""


class Encoding(NamedTuple):
    """The encoding of elements: with their kind (explicit) or without, and the byte order."""

    is_implicit: bool
    is_big: bool = False


class Element(NamedTuple):
    """An element at ``start``; its value of ``length`` bytes begins at ``value``. ``vr`` is empty if implicit."""

    tag: int
    vr: bytes
    start: int
    value: int
    length: int


def element_at(data: bytes, at: int, encoding: Encoding) -> Element | None:
    """Return the element at an offset; None at the end of the data."""
    if at + 8 > len(data):
        return None
    order = ">" if encoding.is_big else "<"
    group, element, vr, short = struct.unpack_from(order + "HH2sH", data, at)
    tag = group << 16 | element
    if encoding.is_implicit or not (vr.isalpha() and vr.isupper()):  # some writers change to implicit on the way
        return Element(tag, b"", at, at + 8, struct.unpack_from(order + "I", data, at + 4)[0])
    if vr in SHORT_VRS:
        return Element(tag, vr, at, at + 8, short)
    if at + 12 > len(data):
        return None
    return Element(tag, vr, at, at + 12, struct.unpack_from(order + "I", data, at + 8)[0])


def elements(data: bytes, at: int, encoding: Encoding) -> Iterator[tuple[Element, int]]:
    """Yield the outermost elements up to the pixels, which are the last, and where each ends.

    An end may be beyond the data. Raises :class:`ImageError` for sequences that are not closed, and for too many
    elements.
    """
    steps = 0
    while (element := element_at(data, at, encoding)) is not None:
        if element.tag in (FLOAT_PIXELS, DOUBLE_PIXELS, PIXELS):
            yield element, len(data)
            return
        at, taken = _end(data, element, encoding)
        yield element, at
        steps += taken
        _require_few(steps)


def fragments(data: bytes, at: int, encoding: Encoding) -> Iterator[memoryview]:
    """Yield the items of encapsulated pixels; the first is the table of frames. Raises :class:`ImageError`."""
    view = memoryview(data)
    order = ">" if encoding.is_big else "<"
    steps = 0
    while at + 8 <= len(data):
        tag, length = _delimiter(data, at, order)
        if tag == SEQUENCE_END:
            return
        if tag != ITEM or length == UNDEFINED:
            raise damaged(f"fragments of its pixels break off at byte {at}")
        if at + 8 + length > len(data):
            raise damaged(f"its pixels break off: a fragment of {length} bytes begins at byte {at} of {len(data)}")
        yield view[at + 8 : at + 8 + length]
        at += 8 + length
        steps += 1
        _require_few(steps)


def damaged(what: str) -> ImageError:
    """Return the error for a damaged data set."""
    return ImageError(f"Damaged DICOM: {what}. Expected a whole file; copy it again from the original.")


def _end(data: bytes, element: Element, encoding: Encoding) -> tuple[int, int]:
    """Return where an element ends, and the number of elements passed to find it."""
    if element.length != UNDEFINED:
        return element.value + element.length, 1
    order = ">" if encoding.is_big else "<"
    at, steps = element.value, 0
    open_levels = [(False, _inside(element, encoding))]  # (is it an item, how its elements are written)
    while open_levels:
        is_item, inner = open_levels[-1]
        tag, length = _delimiter(data, at, order)
        if tag == (ITEM_END if is_item else SEQUENCE_END):
            open_levels.pop()
            at += 8
        elif is_item:
            at = _past_element(data, at, inner, open_levels)
        elif tag != ITEM:
            raise damaged(f"a sequence is not closed where it should be, at byte {at}")
        elif length == UNDEFINED:
            open_levels.append((True, inner))
            at += 8
        else:
            at += 8 + length
        steps += 1
        _require_few(steps)
    return at, steps


def _past_element(data: bytes, at: int, encoding: Encoding, open_levels: list[tuple[bool, Encoding]]) -> int:
    element = element_at(data, at, encoding)
    if element is None:
        raise damaged(f"it breaks off in a sequence, at byte {at}")
    if element.length != UNDEFINED:
        return element.value + element.length
    open_levels.append((False, _inside(element, encoding)))
    return element.value


def _inside(element: Element, encoding: Encoding) -> Encoding:
    """Return the encoding of the elements inside an element; implicit for an unknown kind (PS3.5, 6.2.2)."""
    return Encoding(is_implicit=True) if element.vr == b"UN" else encoding


def _delimiter(data: bytes, at: int, order: str) -> tuple[int, int]:
    if at + 8 > len(data):
        raise damaged(f"it breaks off in a sequence, at byte {at}")
    group, element, length = struct.unpack_from(order + "HHI", data, at)
    return group << 16 | element, length


def _require_few(steps: int) -> None:
    if steps > MOST_ELEMENTS:
        raise ImageError(
            f"A DICOM data set of more than {MOST_ELEMENTS} elements; expected a photograph with its header. Export it "
            "again without private elements."
        )
