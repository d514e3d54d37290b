"""Recognition of DICOM data sets without a file header, by order, kinds, lengths and texts of their first elements.

Source: DICOM PS3.5 section 7.1 (elements), PS3.10 section 7 (the header that is not there).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

NEEDED = 3
"""Number of consecutive elements that must be valid."""
LONGEST = 1024
"""Largest length of the values of the first elements, which are short texts and numbers."""
FIRST_TAGS = frozenset(
    {
        0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00080000, 0x00080001, 0x00080005, 0x00080006,
        0x00080008, 0x00080012, 0x00080013, 0x00080014, 0x00080016, 0x00080018, 0x00080020, 0x00080060,
    }
)  # fmt: skip
"""Elements with which data sets begin."""
TEXTS = frozenset({b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"LT", b"PN", b"SH", b"ST", b"TM", b"UI"})
NUMBERS = {b"UL": 4, b"SL": 4, b"AT": 4, b"FL": 4, b"FD": 8, b"US": 2, b"SS": 2}
LONG_FORM = frozenset({b"OB", b"OW", b"UN", b"UT", b"UC", b"UR", b"SQ"})
UNDEFINED = 0xFFFFFFFF


class _Read(NamedTuple):
    tag: int
    vr: bytes
    value: bytes
    length: int
    end: int


def is_bare_dicom(beginning: bytes) -> bool:
    """Return whether these bytes (some hundred at least) begin with the first element of a DICOM data set."""
    if len(beginning) < 8 or beginning[0] not in (0, 2, 8) or b"\0" not in beginning[:2]:
        return False
    return any(_follows(beginning, order, implicit) for order in "<>" for implicit in (False, True))


def _follows(beginning: bytes, order: str, implicit: bool) -> bool:
    """Return whether the first elements are in order and have known kinds and possible values."""
    at, last = 0, -1
    for number in range(NEEDED):
        read = _element(beginning, at, order, implicit)
        if read is None or read.tag <= last or (number == 0 and read.tag not in FIRST_TAGS) or not _is_likely(read):
            return False
        if read.length == UNDEFINED:  # a sequence after valid elements
            return number > 0
        at, last = read.end, read.tag
    return True


def _element(data: bytes, at: int, order: str, implicit: bool) -> _Read | None:
    if at + 12 > len(data):
        return None
    group, number, vr, length = struct.unpack_from(order + "HH2sH", data, at)
    start = at + 8
    if implicit:
        vr, length = b"", struct.unpack_from(order + "I", data, at + 4)[0]
    elif vr in LONG_FORM:
        start, length = at + 12, struct.unpack_from(order + "I", data, at + 8)[0]
    elif vr not in TEXTS and vr not in NUMBERS:
        return None
    return _Read(group << 16 | number, vr, data[start : start + length], length, start + length)


def _is_likely(read: _Read) -> bool:
    """Return whether an element has a possible value for its kind; groups after the first are mostly text."""
    if read.length == UNDEFINED:
        return read.vr in (b"SQ", b"UN", b"")
    if read.length > LONGEST or read.length % 2 or len(read.value) < read.length:
        return False
    if read.vr in NUMBERS:
        return read.length % NUMBERS[read.vr] == 0
    if read.vr in TEXTS:
        return _is_text(read.value)
    if read.vr:
        return True
    if read.tag & 0xFFFF == 0:  # the length of a group
        return read.length == 4
    return read.tag >> 16 == 0x0028 or _is_text(read.value)


def _is_text(value: bytes) -> bool:
    """Return whether this is text in a character set of DICOM: no control characters but line ends and escapes."""
    return all(character >= 0x20 or character in b"\t\n\f\r\x1b" for character in value.rstrip(b"\0"))
