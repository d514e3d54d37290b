"""Archives that are read without unpacking: zip, and tar in all its compressions, as files or as a stream.

A zip and an uncompressed tar are walked by their directory or headers, and several threads read the members when they
are needed. A compressed tar and a stream can only be read from front to back, so each member is held in memory from the
walk until it is decoded.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, ClassVar

from batch.errors import SourceError, printable
from batch.sources.archives.compressed import Decompressed
from batch.sources.archives.kinds import (
    BEGINNING,
    TAR,
    ZIP,
    ZIP_SUFFIX,
    cannot_open,
    is_archive,
    kind_of,
    kind_of_file,
    looks_like_tar,
    stem,
)
from batch.sources.archives.member import ArchiveEnd, Complain, Member, Opener, Wanted, reason
from batch.sources.archives.set_aside import SetAside
from batch.sources.archives.tar_members import plain_members, streamed_members
from batch.sources.archives.zip import BadDirectoryError, SplitZipError
from batch.sources.archives.zip_members import require_zip, zip_members
from batch.sources.file import named_path
from batch.sources.image_ref import ImageRef, Origin, SourceReport, below, suffix_of
from batch.sources.left_out import (
    CLOSED,
    FIRST_BYTES,
    is_below_hidden,
    is_nameless,
    reason_to_leave_out,
    recognised_bytes,
)
from batch.sources.source import Opening
from batch.storage import is_url
from seglab.errors import ImageError

__all__ = [
    "ZIP_SUFFIX", "ArchiveSource", "StreamSource", "is_archive", "looks_like_tar", "members", "open_archive", "stem"
]  # fmt: skip

STDIN_ORIGIN = Origin("-", "-")
"""Origin of a tar on standard input. Its members' paths begin with ``-/``; two tars differ by their contents."""
MOST_LOOKED_AT = 256 * 2**20
"""Limit in bytes for a member whose name does not tell what it is; larger ones are taken as not photographs."""
REPLACED = "files named twice in an archive; the last of each counts"
SPLIT = (
    "is the last part of a split zip; expected a zip in one piece. Join the parts (`zip -s 0 PARTS.zip --out "
    "whole.zip`), and name the result."
)


def members(
    path: str, wanted: Wanted, complain: Complain, opener: Opener | None = None, zip_encoding: str | None = None
) -> Iterator[Member]:
    """Yield the files of an archive, in its order. Members that are not ``wanted`` come without their content.

    ``complain`` is called with a message for each part that cannot be read while the rest can. ``opener``: opens the
    archive if ``path`` is not a file path. ``zip_encoding``: of names in a zip that are not marked as UTF-8. Raises
    :class:`SourceError` for a file that is not an archive, :class:`ArchiveEnd` where the archive breaks off.
    """
    return _mapped(lambda: _members(path, wanted, complain, opener, zip_encoding), lambda error: _refusal(path, error))


def require_archive(path: str, opener: Opener | None = None) -> None:
    """Raise :class:`SourceError` for a file that has neither a zip's directory nor a tar's first member.

    Arguments: see :func:`members`.
    """

    def begin() -> Iterator[Member]:
        if _kind(path, opener) == ZIP:
            require_zip(path, opener)
            return iter(())
        return _opened_members(opener or (lambda: open(path, "rb")), _nothing, _say_nothing)

    with contextlib.suppress(ArchiveEnd):  # the walk will say so
        next(_mapped(begin, lambda error: _refusal(path, error)), None)


def stream_members(stream: IO[bytes], wanted: Wanted, complain: Complain) -> Iterator[Member]:
    """Yield the files of a tar that comes as a stream. Raises as :func:`members`."""
    return _mapped(lambda: streamed_members(Decompressed(stream, complain), wanted, complain), _no_tar)


def _mapped(begin: Callable[[], Iterator[Member]], refusal: Callable[[Exception], SourceError]) -> Iterator[Member]:
    """Map the errors of a walk: decompressors, tarfile and storage have their own."""
    try:
        yield from begin()
    except (SourceError, ArchiveEnd):
        raise
    except Exception as error:
        raise refusal(error) from error


def _members(
    path: str, wanted: Wanted, complain: Complain, opener: Opener | None, zip_encoding: str | None
) -> Iterator[Member]:
    kind = _kind(path, opener)
    if kind == ZIP:
        return zip_members(path, wanted, complain, opener, zip_encoding)
    if kind == TAR and opener is None:
        return plain_members(path, wanted, complain)
    return _opened_members(opener or (lambda: open(path, "rb")), wanted, complain)


def _kind(path: str, opener: Opener | None) -> str | None:
    if opener is None:
        return kind_of_file(path)
    with opener() as file:
        return kind_of(path, file.read(BEGINNING))


def _opened_members(opener: Opener, wanted: Wanted, complain: Complain) -> Iterator[Member]:
    with opener() as file:
        yield from streamed_members(Decompressed(file, complain), wanted, complain)


@dataclass(frozen=True)
class ArchiveSource:
    """The images of the zip or tar at ``origin.root``. ``opener``, ``zip_encoding``: see :func:`members`.

    Raises :class:`SourceError` at once for a file that is not an archive.
    """

    origin: Origin
    suffixes: frozenset[str]
    opener: Opener | None = None
    zip_encoding: str | None = None

    def __post_init__(self) -> None:
        require_archive(self.origin.root, self.opener)

    @property
    def is_held(self) -> bool:
        """Return whether it is read from front to back, so that its images are held in memory until decoded."""
        with contextlib.suppress(Exception):  # the walk will say so
            kind = _kind(self.origin.root, self.opener)
            return kind != ZIP and not (kind == TAR and self.opener is None)
        return False

    def items(self, report: SourceReport) -> Iterator[ImageRef]:
        """Yield the images; parts of the archive that cannot be read are reported."""
        complain = _complain(self.origin, report)
        return _items(self._members(complain), self.origin, report, complain, self.suffixes, self._set_aside())

    def names(self) -> Iterator[str] | None:
        """Yield the images' names; None for a tar, which has no directory."""
        with contextlib.suppress(Exception):  # the walk will say so
            if _kind(self.origin.root, self.opener) == ZIP:
                return self._names()
        return None

    def _names(self) -> Iterator[str]:
        aside = self._set_aside()
        with contextlib.suppress(SourceError, ArchiveEnd):  # the walk will say so
            for member in self._members(_say_nothing):
                is_named = member.wanted and suffix_of(member.name) in self.suffixes
                if is_named and not member.is_replaced and aside.kind(member.name) is None:
                    yield member.name

    def _set_aside(self) -> SetAside:
        return SetAside(stem(self.origin.root), self._again, self.suffixes)

    def _again(self) -> Iterator[Member]:
        with contextlib.suppress(SourceError, ArchiveEnd):  # the walk says so
            yield from self._members(_say_nothing)

    def _members(self, complain: Complain) -> Iterator[Member]:
        wanted = _wanted(self.suffixes)
        return members(self.origin.root, wanted, complain, self.opener, self.zip_encoding)


def open_archive(source: str, opening: Opening) -> ArchiveSource | None:
    """Return the source for the zip or tar of this name, recognised by its first bytes or its name; else None."""
    if not os.path.lexists(source):
        return None
    path = named_path(source)
    if kind_of_file(path) is None:
        return None
    opening.require_outside(source, os.path.dirname(path))
    opening.require_no_output_archive(source, path)
    return ArchiveSource(Origin(source, path, stem(path)), opening.suffixes, zip_encoding=opening.zip_encoding)


@dataclass(frozen=True)
class StreamSource:
    """The images of a tar, compressed or not, on standard input or from a pipe."""

    stream: IO[bytes]
    suffixes: frozenset[str]
    origin: Origin = STDIN_ORIGIN
    is_held: ClassVar[bool] = True

    def items(self, report: SourceReport) -> Iterator[ImageRef]:
        """Yield the images; parts of the stream that cannot be read are reported."""
        complain = _complain(self.origin, report)
        found = stream_members(self.stream, _wanted(self.suffixes), complain)
        return _items(found, self.origin, report, complain, self.suffixes)

    def names(self) -> None:
        """Return None: a stream can be read only once."""


def _items(
    found: Iterator[Member],
    origin: Origin,
    report: SourceReport,
    complain: Complain,
    suffixes: frozenset[str],
    aside: SetAside | None = None,
) -> Iterator[ImageRef]:
    try:
        for member in found:
            path = f"{origin.root}/{member.name}"
            if member.wanted and member.is_replaced:
                report.set_aside[REPLACED] += 1
            elif member.wanted and aside is not None and (kind := aside.kind(member.name)) is not None:
                report.set_aside[kind] += 1
            elif member.wanted:
                if _is_image(member, suffixes, path, report):
                    state = (member.bytes, member.mtime_ns, member.content, member.version)
                    yield ImageRef(path, below(member.name), origin, *state)
            elif is_below_hidden(member.name):
                report.hidden += 1
            elif reason := reason_to_leave_out(member.name, in_archive=True):
                report.leave_out(reason, path)
            else:
                report.others[suffix_of(member.name)] += 1
    except ArchiveEnd as error:
        complain(str(error))


def _complain(origin: Origin, report: SourceReport) -> Complain:
    return lambda text: report.unreadable.append(f"{printable(origin.root)}: {text}")


def _wanted(suffixes: frozenset[str]) -> Wanted:
    """Return a predicate for images, and for files whose content must be checked because their name tells nothing."""

    def is_wanted(name: str, size: int) -> bool:
        if is_below_hidden(name):
            return False
        return suffix_of(name) in suffixes or (size <= MOST_LOOKED_AT and is_nameless(os.path.basename(name)))

    return is_wanted


def _is_image(member: Member, suffixes: frozenset[str], path: str, report: SourceReport) -> bool:
    """Return whether a wanted member is an image, by its suffix or its first bytes; other members are reported."""
    if suffix_of(member.name) in suffixes:
        return True
    try:
        beginning = member.content.read().data[:FIRST_BYTES]
    except ImageError:
        report.leave_out(CLOSED, path)
        return False
    is_image, reason = recognised_bytes(member.name, beginning)
    if reason is not None:
        report.leave_out(reason, path)
    elif not is_image:
        report.others[suffix_of(member.name)] += 1
    return is_image


def _nothing(_name: str, _size: int) -> bool:
    return False


def _say_nothing(_text: str) -> None:
    pass


def _refusal(path: str, error: Exception) -> SourceError:
    """Return the error for a file that cannot be read as an archive."""
    if isinstance(error, SplitZipError):
        return SourceError(f"{printable(path)} {SPLIT}")
    if isinstance(error, OSError) and error.errno is not None:
        return cannot_open(path, error)
    is_zip = isinstance(error, BadDirectoryError) or path.lower().endswith(ZIP_SUFFIX)
    parts = " on a server that supports range requests" if is_zip and is_url(path) else ""
    kind = "zip" if is_zip else "tar"
    return SourceError(
        f"{printable(path)} cannot be read as a {kind} ({reason(error)}); expected a complete one{parts}. Get the "
        "archive again."
    )


def _no_tar(error: Exception) -> SourceError:
    """Return the error for a stream that is not a tar."""
    return SourceError(
        f"Standard input cannot be read as a tar ({reason(error)}); expected a tar or a list of files. Check the "
        "program that writes it."
    )
