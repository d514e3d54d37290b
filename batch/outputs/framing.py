"""The framing of members in an archive that grows: zip (stored, as masks are compressed already) and tar (pax).

The archive can be read from front to back at any moment: an incomplete last member is recognised. A zip's directory and
a tar's end mark are written last, when a run ends.

Sources: PKWARE APPNOTE 6.3.10 (4.3.7 local header, 4.3.12 directory, 4.3.14 zip64); POSIX.1-2001 pax by ``tarfile``.
"""

from __future__ import annotations

import calendar
import contextlib
import os
import struct
import tarfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from batch.errors import OutputError

LOCAL, DIRECTORY, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
END64, LOCATOR64 = b"PK\x06\x06", b"PK\x06\x07"
UTF8, STORED, UNIX = 0x800, 0, 3
VERSION, VERSION64 = 20, 45
FULL_16, FULL_32 = 0xFFFF, 0xFFFFFFFF
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
DIRECTORY_HEADER = struct.Struct("<4s6H3L5H2L")
END_HEADER = struct.Struct("<4s4H2LH")
END64_HEADER = struct.Struct("<4sQ2H2L4Q")
LOCATOR64_HEADER = struct.Struct("<4sLQL")
FILE_MODE = 0o644 << 16


@dataclass(frozen=True, slots=True)
class Frame:
    """A member of an archive. Offsets in bytes: ``start`` of its header, ``data`` of its content, ``end`` after its
    padding. ``size``: of the content; ``crc``: its CRC-32 (zip only). ``stamp``: time of writing, Unix seconds.
    """

    name: str
    start: int
    data: int
    size: int
    end: int
    crc: int
    stamp: int


class Framing(Protocol):
    """One format of archives."""

    def around(self, name: str, size: int, crc: int, stamp: int) -> tuple[bytes, bytes]:
        """Return the bytes before and after a member's content."""

    def frames(self, file: IO[bytes], start: int) -> Iterator[Frame]:
        """Yield the members from ``start`` on, up to the first that is incomplete."""

    def ending(self, frames: Iterable[Frame], end: int) -> Iterator[bytes]:
        """Yield the bytes after the last member, which ends at ``end``."""


class ZipFraming:
    """A zip of stored members; zip64 where it is needed."""

    def around(self, name: str, size: int, crc: int, stamp: int) -> tuple[bytes, bytes]:
        """Return the local header, and nothing after the content."""
        raw, flags = _zip_name(name)
        header = LOCAL_HEADER.pack(LOCAL, VERSION, flags, STORED, *_dos_time(stamp), crc, size, size, len(raw), 0)
        return header + raw, b""

    def frames(self, file: IO[bytes], start: int) -> Iterator[Frame]:
        """Yield the members. Raises :class:`OutputError` for a zip that another tool wrote."""
        length = file.seek(0, os.SEEK_END)
        while True:
            file.seek(start)
            header = file.read(LOCAL_HEADER.size)
            if len(header) < LOCAL_HEADER.size or not header.startswith(LOCAL):
                return
            _, _, flags, method, clock, day, crc, size, _, name_length, extra = LOCAL_HEADER.unpack(header)
            if method != STORED or flags & ~UTF8:
                raise OutputError(
                    f"{file.name} was written by another tool; expected a zip of seg-batch. Choose another output."
                )
            raw, data = file.read(name_length), start + LOCAL_HEADER.size + name_length + extra
            if data + size > length:
                return
            name = raw.decode("utf-8", "surrogateescape")
            yield Frame(name, start, data, size, data + size, crc, _unix_time(clock, day))
            start = data + size

    def ending(self, frames: Iterable[Frame], end: int) -> Iterator[bytes]:
        """Yield the central directory and its end record."""
        count, size = 0, 0
        for frame in frames:
            entry = _directory_entry(frame)
            count, size = count + 1, size + len(entry)
            yield entry
        if count >= FULL_16 or end + size >= FULL_32:
            body = END64_HEADER.size - 12
            yield END64_HEADER.pack(END64, body, VERSION64, VERSION64, 0, 0, count, count, size, end)
            yield LOCATOR64_HEADER.pack(LOCATOR64, 0, end + size, 1)
        count, size, end = min(count, FULL_16), min(size, FULL_32), min(end, FULL_32)
        yield END_HEADER.pack(END, 0, 0, count, count, size, end, 0)


class TarFraming:
    """A tar of regular files, with pax headers where names need them."""

    def around(self, name: str, size: int, crc: int, stamp: int) -> tuple[bytes, bytes]:
        """Return the header, and zeros up to a full block."""
        info = tarfile.TarInfo(name)
        info.size, info.mtime = size, stamp
        header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        return header, bytes(-size % tarfile.BLOCKSIZE)

    def frames(self, file: IO[bytes], start: int) -> Iterator[Frame]:
        """Yield the complete members."""
        length = file.seek(0, os.SEEK_END)
        file.seek(start)
        with contextlib.suppress(tarfile.ReadError), tarfile.open(fileobj=file, mode="r:") as archive:
            while (info := archive.next()) is not None:
                end = info.offset_data + info.size + -info.size % tarfile.BLOCKSIZE
                if end > length:
                    return
                yield Frame(info.name, info.offset, info.offset_data, info.size, end, 0, int(info.mtime))
                archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all of them, for random access

    def ending(self, frames: Iterable[Frame], end: int) -> Iterator[bytes]:
        """Yield the end mark, padded to a full record."""
        mark = end + 2 * tarfile.BLOCKSIZE
        yield bytes(mark - end + -mark % tarfile.RECORDSIZE)


def _directory_entry(frame: Frame) -> bytes:
    raw, flags = _zip_name(frame.name)
    extra, start, version = b"", frame.start, VERSION
    if start >= FULL_32:
        extra, start, version = struct.pack("<HHQ", 1, 8, start), FULL_32, VERSION64
    header = DIRECTORY_HEADER.pack(
        DIRECTORY, UNIX << 8 | version, version, flags, STORED, *_dos_time(frame.stamp), frame.crc, frame.size,
        frame.size, len(raw), len(extra), 0, 0, 0, FILE_MODE, start,
    )  # fmt: skip
    return header + raw + extra


def _zip_name(name: str) -> tuple[bytes, int]:
    """Return a name as bytes, and its flag: 0 for a name that is not UTF-8."""
    raw = name.encode("utf-8", "surrogateescape")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw, 0
    return raw, UTF8


def _dos_time(stamp: int) -> tuple[int, int]:
    """Return a Unix time as a zip stores it in UTC: time and date."""
    at = time.gmtime(stamp)
    clock = at.tm_hour << 11 | at.tm_min << 5 | at.tm_sec // 2
    return clock, max(0, at.tm_year - 1980) << 9 | at.tm_mon << 5 | at.tm_mday


def _unix_time(clock: int, day: int) -> int:
    """Reverse :func:`_dos_time`, to two seconds."""
    return calendar.timegm(
        (1980 + (day >> 9), day >> 5 & 15, day & 31, clock >> 11, clock >> 5 & 63, clock % 32 * 2, 0, 0, 0)
    )
