"""The files of a zip: listed by its directory, readable one by one in any thread or process."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, ClassVar

from batch.errors import SourceError
from batch.sources.archives.member import (
    LINK,
    PASSED_OVER,
    ArchiveEnd,
    Complain,
    Member,
    Opener,
    Wanted,
)
from batch.sources.archives.shared import SharedFile
from batch.sources.archives.unpacking import unpacked
from batch.sources.archives.zip import LOCAL_MAGIC, BadDirectoryError, Entry, ZipDirectory
from batch.sources.bytes import (
    MAX_FILE_BYTES,
    MOST_UNPACKED_BYTES,
    ByteSource,
    NoBytes,
    Read,
    require_bounded,
    require_unpacked_bounded,
)
from batch.storage import first_line
from seglab.errors import ImageError

LOCAL_HEADER_BYTES = 30
ENCRYPTED = 0x1
AES = 99
READ_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA})
OTHER_METHODS = {
    1: "shrink", 6: "implode", 9: "deflate64", 93: "Zstandard", 95: "xz", 96: "JPEG", 97: "WavPack", 98: "PPMd"
}  # fmt: skip
"""From APPNOTE 4.4.5."""


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A member of the zip at ``path``; several threads and processes may read at the same time.

    ``offset``: of its header in the file; ``packed``: compressed bytes; ``crc``, ``method``, ``flags``: as in the
    directory. ``shared``: the zip to read from, if it is not a local file.
    """

    path: str
    offset: int
    packed: int
    bytes: int
    crc: int
    method: int
    flags: int
    mtime_ns: int
    shared: SharedFile | None = None
    held: ClassVar[int] = 0

    @property
    def version(self) -> str:
        """Return the CRC-32 as an image's version."""
        return f"crc32:{self.crc:08x}"

    def read(self, limit: int = MAX_FILE_BYTES) -> Read:
        """Decompress the member and check its CRC-32. Raises :class:`ImageError`."""
        if self.method == zipfile.ZIP_STORED and self.shared is None:
            require_bounded(self.bytes, limit)
        else:
            require_unpacked_bounded(self.bytes, min(limit, MOST_UNPACKED_BYTES))
        self._require_readable()
        try:
            data = _unpacked(self)
        except SourceError as error:  # it could not be opened
            raise ImageError(str(error)) from error
        except EOFError as error:
            raise ImageError("It cannot be read from the archive: it ends too early. Get the archive again.") from error
        except OSError as error:
            raise ImageError(
                f"It cannot be read from the archive: {error.strerror or first_line(error)}. Check that the archive "
                "exists and is complete, and its permissions."
            ) from error
        except Exception as error:  # a decompressor may raise anything for damaged data
            raise ImageError(
                f"It cannot be read from the archive: {first_line(error)}. Get the archive again."
            ) from error
        return Read(data, self.bytes, self.mtime_ns, self.version)

    def _require_readable(self) -> None:
        if self.flags & ENCRYPTED or self.method == AES:
            raise ImageError("It is encrypted in the archive. Unpack the archive first, and name the folder.")
        if self.method not in READ_METHODS:
            name = OTHER_METHODS.get(self.method, f"method {self.method}")
            raise ImageError(
                f"It is compressed by {name}, which is not supported; expected deflate, bzip2, LZMA or none. Unpack "
                "the archive and name the folder, or re-pack it (zip -r)."
            )


def _unpacked(member: ZipMember) -> bytes:
    with member.shared.open() if member.shared is not None else open(member.path, "rb") as file:
        return _read_from(file, member)


def _read_from(file: IO[bytes], member: ZipMember) -> bytes:
    """Read a member without the archive's directory, which a process that is sent a member does not have."""
    file.seek(member.offset)
    header = file.read(LOCAL_HEADER_BYTES)
    if not header.startswith(LOCAL_MAGIC) or len(header) < LOCAL_HEADER_BYTES:
        raise zipfile.BadZipFile("there is no header where the directory says")
    name, extra = struct.unpack("<2H", header[-4:])
    file.seek(name + extra, os.SEEK_CUR)
    return unpacked(file, member.method, member.packed, member.bytes, member.crc)


def require_zip(path: str, opener: Opener | None) -> None:
    """Find the directory of a zip without reading through it. Raises :class:`BadDirectoryError`,
    :class:`SplitZipError`.
    """
    with opener() if opener else open(path, "rb") as file:
        ZipDirectory(file)


def zip_members(
    path: str, wanted: Wanted, complain: Complain, opener: Opener | None, zip_encoding: str | None
) -> Iterator[Member]:
    """Yield the files of a zip; of equal names the last counts. Arguments: see
    :func:`batch.sources.archives.archive.members`.

    Raises :class:`BadDirectoryError`, :class:`SplitZipError`, and :class:`ArchiveEnd` if the directory is damaged.
    """
    shared = SharedFile(opener) if opener else None
    with shared.open() if shared else open(path, "rb") as file:
        directory = ZipDirectory(file, zip_encoding)
    if directory.follows_a_zip:
        complain("another archive precedes it in the same file and was not read; split the file, or unpack both")
    found = 0
    try:
        for entry, is_replaced in directory:
            found += 1
            if not entry.is_dir:
                yield _member(path, entry, wanted(entry.name, entry.bytes), is_replaced, shared)
    except BadDirectoryError as error:
        raise ArchiveEnd(f"damaged after {found} entries: {error}") from error


def _member(path: str, entry: Entry, wanted: bool, is_replaced: bool, shared: SharedFile | None) -> Member:
    content: ByteSource = PASSED_OVER
    version = ""
    if wanted and entry.is_link:
        content = NoBytes(LINK)
    elif wanted:
        content = member = ZipMember(path, *entry.place, shared)
        version = member.version
    return Member(entry.name, entry.bytes, entry.mtime_ns, content, wanted, is_replaced, version)
