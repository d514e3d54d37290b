"""Archives that are read as they are: zip, and tar in all its compressions, as files or as a stream.

A zip and an uncompressed tar are walked by their directory or headers, and their members are read when they are
wanted, by several threads. A compressed tar and a stream can only be read from front to back: each member is held from
the walk until it is decoded.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from batch.errors import SourceError, printable
from batch.sources.bytes import ByteSource, FileSlice, HeldBytes, NoBytes, ZipMember, nanoseconds, zip_time
from batch.sources.file import named_path
from batch.sources.image_ref import ImageRef, Origin, SourceReport, below, suffix_of
from batch.sources.source import Opening
from batch.urls import path_part

ZIP_SUFFIX = ".zip"
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
"""How compressed streams begin: gzip, bzip2, xz."""
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257
HEADER_FIELDS = ((124, 136), (136, 148), (148, 156))
"""Where a header has size, time of change and check sum."""
OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
LINK = "It is a link inside the archive, and links are not followed; expected a file. Unpack the archive first."
PASSED_OVER = NoBytes("It was passed over.")
DAMAGED = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)

STDIN_ORIGIN = Origin("-", "-")
"""Of a tar by standard input. Its members' paths begin with ``-/``: two of them are told apart by what they hold."""

Wanted = Callable[[str], bool]
Opener = Callable[[], IO[bytes]]


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive. ``name``: as the archive has it, with ``/``. ``bytes``, ``mtime_ns``: as it says there.

    ``wanted``: was it asked for, so that its content is there?
    """

    name: str
    bytes: int
    mtime_ns: int
    content: ByteSource
    wanted: bool


class ArchiveEnd(Exception):
    """An archive that stops before its end; the text says why."""


def is_archive(path: str) -> bool:
    """Is this an archive by its name?"""
    return path.lower().endswith((ZIP_SUFFIX, *TAR_SUFFIXES))


def stem(path: str) -> str:
    """Return an archive's name without its suffixes."""
    name = os.path.basename(path)
    suffix = next(entry for entry in sorted((ZIP_SUFFIX, *TAR_SUFFIXES), key=len)[::-1] if name.lower().endswith(entry))
    return name[: -len(suffix)]


def looks_like_tar(beginning: bytes) -> bool:
    """Is this how a tar begins, compressed or not? From 262 bytes on it can be told."""
    magic = beginning[TAR_MAGIC_AT : TAR_MAGIC_AT + len(TAR_MAGIC)]
    return beginning.startswith(MAGIC) or magic == TAR_MAGIC


def members(path: str, wanted: Wanted, opener: Opener | None = None) -> Iterator[Member]:
    """Yield the files of an archive, in its order. What is not ``wanted`` by its name comes without its content.

    ``opener``: opens the archive where ``path`` is no path. Raises :class:`SourceError` for a file that is no archive,
    :class:`ArchiveEnd` where it stops before its end.
    """
    if path_part(path).lower().endswith(ZIP_SUFFIX):
        return _zip_members(path, wanted, opener)
    return _tar_members(path, wanted) if opener is None else _remote_tar_members(path, wanted, opener)


def stream_members(stream: IO[bytes], wanted: Wanted) -> Iterator[Member]:
    """Yield the files of a tar that comes as a stream. Raises as :func:`members`."""
    try:
        with tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Header) as archive:
            yield from _walk(archive, wanted, None)
    except tarfile.ReadError as error:
        raise SourceError(
            f"What comes by standard input is no tar ({error}); expected a tar or a list of files."
        ) from error


@dataclass(frozen=True)
class ArchiveSource:
    """The images of the zip or tar at ``origin.root``. ``opener``: see :func:`members`.

    Raises :class:`SourceError` at once for a file that is no archive.
    """

    origin: Origin
    suffixes: frozenset[str]
    opener: Opener | None = None

    def __post_init__(self) -> None:
        next(members(self.origin.root, lambda _: False, self.opener), None)

    def items(self, report: SourceReport) -> Iterator[ImageRef]:
        """Yield the images; what cannot be read of the archive is reported."""
        found = members(self.origin.root, lambda name: _is_image(name, self.suffixes), self.opener)
        return _items(found, self.origin, report)

    def names(self) -> Iterator[str] | None:
        """Yield the images' names; None for a tar, which has no directory."""
        if not path_part(self.origin.root).lower().endswith(ZIP_SUFFIX):
            return None
        found = _zip_members(self.origin.root, lambda name: _is_image(name, self.suffixes), self.opener)
        return (member.name for member in found if member.wanted)


def open_archive(source: str, opening: Opening) -> ArchiveSource | None:
    """Return the zip or tar of this name."""
    if not (is_archive(source) and os.path.lexists(source)):
        return None
    path = named_path(source)
    opening.require_outside(source, os.path.dirname(path))
    opening.require_no_output_archive(source, path)
    return ArchiveSource(Origin(source, path, stem(path)), opening.suffixes)


@dataclass(frozen=True)
class StreamSource:
    """The images of a tar, compressed or not, that comes by standard input."""

    stream: IO[bytes]
    suffixes: frozenset[str]
    origin: Origin = STDIN_ORIGIN

    def items(self, report: SourceReport) -> Iterator[ImageRef]:
        """Yield the images; what cannot be read of the stream is reported."""
        found = stream_members(self.stream, lambda name: _is_image(name, self.suffixes))
        return _items(found, self.origin, report)

    def names(self) -> None:
        """Return None: a stream can be read once."""


def _items(found: Iterator[Member], origin: Origin, report: SourceReport) -> Iterator[ImageRef]:
    try:
        for member in found:
            if member.wanted:
                path = f"{origin.root}/{member.name}"
                yield ImageRef(path, below(member.name), origin, member.bytes, member.mtime_ns, member.content)
            elif _is_hidden(member.name):
                report.hidden += 1
            else:
                report.others[suffix_of(member.name)] += 1
    except ArchiveEnd as error:
        report.unreadable.append(f"{printable(origin.root)}: {error}")


def _is_image(name: str, suffixes: frozenset[str]) -> bool:
    return suffix_of(name) in suffixes and not _is_hidden(name)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def _zip_members(path: str, wanted: Wanted, opener: Opener | None) -> Iterator[Member]:
    archive = _opened_zip(path, opener)  # not closed here where its members are read through it, after the walk
    if opener is None:
        archive.close()
    for info in archive.infolist():
        if not info.is_dir():
            content = ZipMember(path, info, archive if opener else None)
            yield Member(info.filename, info.file_size, zip_time(info), content, wanted(info.filename))


def _opened_zip(path: str, opener: Opener | None) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(opener() if opener else path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise SourceError(
            f"{printable(path)} cannot be read as a zip ({error}); expected a whole one. Get the archive again."
        ) from error


def _tar_members(path: str, wanted: Wanted) -> Iterator[Member]:
    plain = None
    try:
        with contextlib.suppress(tarfile.ReadError):
            tarfile.open(path, "r:").close()
            plain = path
        with tarfile.open(path, "r:" if plain else "r|*", tarinfo=_Header) as archive:
            yield from _walk(archive, wanted, plain)
    except (tarfile.ReadError, OSError) as error:
        raise _no_tar(path, error) from error


def _remote_tar_members(path: str, wanted: Wanted, opener: Opener) -> Iterator[Member]:
    try:
        with opener() as stream, tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Header) as archive:
            yield from _walk(archive, wanted, None)
    except (tarfile.ReadError, OSError) as error:
        raise _no_tar(path, error) from error


def _no_tar(path: str, error: Exception) -> SourceError:
    return SourceError(
        f"{printable(path)} cannot be read as a tar ({error}); expected a whole one. Get the archive again."
    )


def _walk(archive: tarfile.TarFile, wanted: Wanted, plain: str | None) -> Iterator[Member]:
    found = 0
    try:
        while (info := archive.next()) is not None:
            found += 1
            if not info.isdir():
                mtime_ns, want = nanoseconds(info.mtime // 1), wanted(info.name)
                content = _content(archive, info, mtime_ns, plain) if want else PASSED_OVER
                yield Member(info.name, info.size, mtime_ns, content, want)
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all, for random access
    except DAMAGED as error:
        if found == 0 and isinstance(error, tarfile.ReadError):
            raise
        raise ArchiveEnd(f"damaged after {found} entries: {error}") from error
    if not _Header.at_end(archive):
        raise ArchiveEnd(f"without its end mark after {found} entries: it may be incomplete")


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo, mtime_ns: int, plain: str | None) -> ByteSource:
    if not info.isreg():
        return NoBytes(LINK)
    if plain and not info.issparse():
        return FileSlice(plain, info.offset_data, info.size, mtime_ns)
    file = archive.extractfile(info)
    return NoBytes(LINK) if file is None else HeldBytes(file.read(), mtime_ns)


def _header_name(buf: bytes, encoding: str, errors: str) -> str:
    """Return a member's name; POSIX headers put the first part of a long one elsewhere."""
    name = buf[:100].partition(b"\0")[0]
    prefix = buf[345:500].partition(b"\0")[0] if buf[257:263] == tarfile.POSIX_MAGIC[:6] else b""
    return (prefix + b"/" + name if prefix else name).decode(encoding, errors)


class _Header(tarfile.TarInfo):
    """A header that remembers whether the archive came to its end mark, and reads plain files' headers quickly.

    tarfile takes a header that makes no sense, and the end of the file, for the end of the archive.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
        """Read a header. tarfile takes 60 microseconds for what a plain file needs 10 for: an archive has a million."""
        if len(buf) == tarfile.BLOCKSIZE and buf[156:157] == tarfile.REGTYPE and buf[257:262] == TAR_MAGIC:
            size, mtime, claimed = (OCTAL.fullmatch(buf, *field) for field in HEADER_FIELDS)
            if size and mtime and claimed and int(claimed[1], 8) == sum(buf) - sum(buf[148:156]) + 8 * 0x20:
                info = cls(_header_name(bytes(buf), encoding, errors))
                info.size, info.mtime = int(size[1], 8), int(mtime[1], 8)
                return info
        return super().frombuf(buf, encoding, errors)

    @classmethod
    def fromtarfile(cls, tarfile_: Any) -> Any:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            tarfile_.came_to_its_end = True
            raise

    @staticmethod
    def at_end(archive: tarfile.TarFile) -> bool:
        """Did it?"""
        return bool(getattr(archive, "came_to_its_end", False))
