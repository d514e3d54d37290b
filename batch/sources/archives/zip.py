"""The directory of a zip: its members, their names and their offsets.

zipfile refuses a whole archive for one name that is not UTF-8, and reads names of old programs as cp437.
"""

from __future__ import annotations

import contextlib
import locale
import os
import re
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple

from batch.sources.archives.names_twice import last_places

END, END_MAGIC = struct.Struct("<4s4H2LH"), b"PK\x05\x06"
END64, END64_MAGIC = struct.Struct("<4sQ2H2L4Q"), b"PK\x06\x06"
LOCATOR, LOCATOR_MAGIC = struct.Struct("<4sLQL"), b"PK\x06\x07"
ENTRY, ENTRY_MAGIC = struct.Struct("<4s4B4H3L5H2L"), b"PK\x01\x02"
LOCAL_MAGIC = b"PK\x03\x04"
LONGEST_COMMENT = 2**16
MOST_DIRECTORY_BYTES = 2 * 2**30
"""The directory is held in memory during the walk, about 100 bytes per member."""
NAME_IS_UTF8 = 0x800
FAT = 0
FULL = 0xFFFF_FFFF
ZIP64_EXTRA, NAME_EXTRA = 0x0001, 0x7075
NAME_EXTRA_BYTES = struct.pack("<H", NAME_EXTRA)
FILE_TYPE, LINK_TYPE = 0o170000, 0o120000


class BadDirectoryError(Exception):
    """The directory of a zip is invalid; the text says why."""


class SplitZipError(Exception):
    """The file is the last part of a split zip."""


class Entry(NamedTuple):
    """A member. ``raw``: its name as bytes. ``offset``: of its header in the file. ``packed``: compressed bytes."""

    name: str
    raw: bytes
    offset: int
    packed: int
    bytes: int
    crc: int
    method: int
    flags: int
    mtime_ns: int
    is_link: bool

    @property
    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        return self.name.endswith("/")

    @property
    def place(self) -> tuple[int, int, int, int, int, int, int]:
        """Return the arguments of :class:`batch.sources.archives.zip_members.ZipMember` after its path."""
        return self[2:9]


class ZipDirectory:
    """The directory of a zip, open for random access.

    ``encoding``: of names that are not marked as UTF-8; None: guessed. ``before``: bytes before the zip itself. Raises
    :class:`BadDirectoryError`, :class:`SplitZipError`.
    """

    def __init__(self, file: IO[bytes], encoding: str | None = None) -> None:
        start, size, self.before = _place(file)
        if size > MOST_DIRECTORY_BYTES:
            raise BadDirectoryError(f"its directory has more than {MOST_DIRECTORY_BYTES / 2**30:.0f} GiB")
        file.seek(start)
        self._data, self._encoding = file.read(size), encoding
        if size and not self._data.startswith(ENTRY_MAGIC):
            raise BadDirectoryError("its directory is not where its end says")
        file.seek(0)
        self.follows_a_zip = self.before > 0 and file.read(4) == LOCAL_MAGIC

    def __iter__(self) -> Iterator[tuple[Entry, bool]]:
        """Yield (member, whether a later one has the same name). Different raw names that decode to the same text are
        given different texts. Raises :class:`BadDirectoryError` if the directory is damaged.
        """
        last: dict[str, dict[bytes, int]] = {}
        with contextlib.suppress(BadDirectoryError):  # raised again below, after the members before the damage
            last = self._repeated()
        for place, entry in self._entries():
            if entry.name not in last:
                yield entry, False
                continue
            raws = last[entry.name]
            is_replaced = raws[entry.raw] != place
            if entry.raw != next(iter(raws)):
                entry = entry._replace(name=entry.raw.decode("utf-8", "surrogateescape").replace("\0", "_"))
            yield entry, is_replaced

    def _repeated(self) -> dict[str, dict[bytes, int]]:
        """Return, for each decoded name that occurs several times, the last place of each raw name."""
        names = last_places(lambda: ((entry.name, place) for place, entry in self._entries()))
        last: dict[str, dict[bytes, int]] = {}
        for place, entry in self._entries() if names else ():
            if entry.name in names:
                last.setdefault(entry.name, {})[entry.raw] = place
        return last

    def _entries(self) -> Iterator[tuple[int, Entry]]:
        """Yield (place in the directory, member)."""
        at = 0
        while at < len(self._data):
            fields = ENTRY.unpack_from(self._data, at) if at + ENTRY.size <= len(self._data) else (b"",)
            if fields[0] != ENTRY_MAGIC:
                raise BadDirectoryError("its directory is damaged or cut off")
            lengths = fields[12:15]
            rest, start = [], at + ENTRY.size
            for length in lengths:
                rest.append(self._data[start : start + length])
                start += length
            yield at, self._entry(fields, rest[0], rest[1])
            at = start

    def _entry(self, fields: tuple[Any, ...], raw: bytes, extra: bytes) -> Entry:
        _, _, system, _, _, flags, method, time, date, crc, packed, size = fields[:12]
        offset, mode = fields[18], fields[17] >> 16
        if FULL in (packed, size, offset):
            size, packed, offset = _large(extra, size, packed, offset)
        name = _name(raw, flags, extra, self._encoding)
        if "\\" in name and (system == FAT or "/" not in name):
            name = name.replace("\\", "/")
        is_link = mode & FILE_TYPE == LINK_TYPE
        return Entry(name, raw, offset + self.before, packed, size, crc, method, flags, _time(date, time), is_link)


def _place(file: IO[bytes]) -> tuple[int, int, int]:
    """Return where the directory begins, its length, and how many bytes lie before the zip itself."""
    end_at, end = _end(file)
    disk, first_disk, *_, size, start, _ = end[1:]
    file.seek(max(0, end_at - LOCATOR.size))
    locator = file.read(LOCATOR.size)
    if end_at >= LOCATOR.size and locator.startswith(LOCATOR_MAGIC):
        end_at, disk, first_disk, size, start = _end64(file, end_at - LOCATOR.size, LOCATOR.unpack(locator)[2])
    if disk or first_disk:
        raise SplitZipError
    found = end_at - size
    if found < 0:
        raise BadDirectoryError("its directory is larger than the file: its beginning is missing")
    file.seek(found)
    if size and file.read(len(ENTRY_MAGIC)) != ENTRY_MAGIC:  # other data lies between the directory and its end record
        return start, size, 0
    if found < start:
        raise BadDirectoryError("its beginning is missing")
    return found, size, found - start


def _end(file: IO[bytes]) -> tuple[int, tuple[Any, ...]]:
    """Return the offset and the fields of the end record."""
    length = file.seek(0, os.SEEK_END)
    first = max(0, length - END.size - LONGEST_COMMENT)
    file.seek(first)
    tail = file.read()
    places = [
        match.start() for match in re.finditer(re.escape(END_MAGIC), tail) if match.start() + END.size <= len(tail)
    ]
    if not places:
        raise BadDirectoryError("its end is missing: it was cut off, or is one part of a split zip")
    at = next((at for at in places[::-1] if _fits(tail, at)), places[-1])
    return first + at, END.unpack_from(tail, at)


def _fits(tail: bytes, at: int) -> bool:
    """Return whether the comment of the end record at ``at`` ends exactly with the file."""
    return at + END.size + int(END.unpack_from(tail, at)[-1]) == len(tail)


def _end64(file: IO[bytes], before: int, claimed: int) -> tuple[int, int, int, int, int]:
    """Return offset and fields of the zip64 end record, which lies before its locator."""
    for at in (before - END64.size, claimed):
        file.seek(max(0, at))
        data = file.read(END64.size)
        if len(data) == END64.size and data.startswith(END64_MAGIC):
            fields = END64.unpack(data)
            return max(0, at), fields[4], fields[5], fields[8], fields[9]
    raise BadDirectoryError("the end of its directory is damaged")


def _large(extra: bytes, *values: int) -> list[int]:
    """Return sizes and offset, taken from the extra field where they are too large for their own."""
    data, at, result = _extra(extra, ZIP64_EXTRA), 0, []
    for value in values:
        if value == FULL and at + 8 <= len(data):
            value = int.from_bytes(data[at : at + 8], "little")
            at += 8
        result.append(value)
    return result


def _extra(extra: bytes, wanted: int) -> bytes:
    """Return the data of one kind in the extra field; empty if it has none."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == wanted:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def _name(raw: bytes, flags: int, extra: bytes, encoding: str | None) -> str:
    """Return a member's name, decoded."""
    raw_name = raw.partition(b"\0")[0]
    if raw_name.isascii() and NAME_EXTRA_BYTES not in extra:
        return raw_name.decode("ascii")
    if unicode_name := _unicode_name(raw, extra):
        return unicode_name
    if flags & NAME_IS_UTF8:
        return raw_name.decode("utf-8", "surrogateescape")
    if encoding is not None:
        return raw_name.decode(encoding, "surrogateescape")
    for guess in ("utf-8", locale.getpreferredencoding(False)):
        with contextlib.suppress(UnicodeError, LookupError):
            return raw_name.decode(guess)
    return raw_name.decode("cp437")


def _unicode_name(raw: bytes, extra: bytes) -> str:
    """Return the name in Info-ZIP's field if it was written for this raw name; else an empty string."""
    data = _extra(extra, NAME_EXTRA)
    if len(data) < 5 or data[0] != 1 or int.from_bytes(data[1:5], "little") != zlib.crc32(raw):
        return ""
    with contextlib.suppress(UnicodeError):
        return data[5:].decode("utf-8").partition("\0")[0]
    return ""


def _time(date: int, time: int) -> int:
    """Return a member's modification time in nanoseconds, taken as UTC as zips have no time zone; 0 if invalid."""
    try:
        day = datetime(
            (date >> 9) + 1980, date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, (time & 31) * 2, tzinfo=UTC
        )
    except ValueError:  # month 0, day 0
        return 0
    return int(day.timestamp()) * 10**9
