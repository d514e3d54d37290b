"""The bytes of an image: in a file, in an archive member, or already in memory."""

from __future__ import annotations

import io
import math
import os
import stat
from dataclasses import dataclass
from typing import IO, ClassVar, NamedTuple, Protocol

from seglab.errors import ImageError

MAX_FILE_BYTES = 4 * 2**30
"""Limit for a file on disk, or a member stored uncompressed in an archive on disk."""
MOST_UNPACKED_BYTES = 512 * 2**20
"""Limit for data that is decompressed, streamed or fetched from a URL: a small file may unpack to any size."""
PIECE = 1 << 20
"""Bytes per read where the data may be longer than declared."""
MOST_TIME_NS = 2**63 - 1


class Read(NamedTuple):
    """The data that was read, with its size in bytes and modification time in nanoseconds.

    ``version``: see :class:`batch.sources.image_ref.ImageRef`.
    """

    data: bytes
    bytes: int
    mtime_ns: int
    version: str = ""


class ByteSource(Protocol):
    """Something that any thread can read, once or several times. ``held``: bytes of memory that it occupies.

    It must be picklable and readable in another process: it is sent to the processes of a run.
    """

    @property
    def held(self) -> int:
        """Return the bytes that it occupies; 0 if the data is fetched when it is read."""

    def read(self, limit: int = MAX_FILE_BYTES) -> Read:
        """Return all of the data. Raises :class:`ImageError` with the reason if it cannot be read.

        Data of more than ``limit`` bytes is refused, before it is read if its size is known, else as soon as the limit
        is passed, so that no more is ever held. Data that is decompressed or fetched from a URL is also limited by
        :data:`MOST_UNPACKED_BYTES`.
        """


@dataclass(frozen=True, slots=True)
class FileBytes:
    """A file, by its path."""

    path: str
    held: ClassVar[int] = 0

    def __reduce__(self) -> tuple[type[FileBytes], tuple[str]]:
        return FileBytes, (self.path,)  # faster than the pickling of dataclasses

    def read(self, limit: int = MAX_FILE_BYTES) -> Read:
        """Read the file. Raises :class:`ImageError` if it is not a regular file, or changes while it is read."""
        try:
            # O_NONBLOCK: opening a pipe would block; regular files ignore the flag.
            handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            with open(handle, "rb", buffering=0) as file:
                state = os.fstat(handle)
                if not stat.S_ISREG(state.st_mode):
                    raise ImageError("Not a regular file; expected an image file. Remove it from the source.")
                require_bounded(state.st_size, limit)
                data = read_exactly(file, state.st_size)
                has_grown = bool(file.read(1))
                after = os.fstat(handle)
        except OSError as error:
            raise ImageError(
                f"The file cannot be read: {error.strerror or error}. Check that it exists and its permissions."
            ) from error
        if has_grown or (len(data), state.st_mtime_ns) != (state.st_size, after.st_mtime_ns):
            raise ImageError("The file changed while it was read. Run again when it is complete.")
        return Read(data, state.st_size, in_range(state.st_mtime_ns))


@dataclass(frozen=True, slots=True)
class FileSlice:
    """A range of bytes in a file: a member of an uncompressed tar."""

    path: str
    offset: int
    bytes: int
    mtime_ns: int
    held: ClassVar[int] = 0

    def read(self, limit: int = MAX_FILE_BYTES) -> Read:
        """Read the range. Raises :class:`ImageError`."""
        require_bounded(self.bytes, limit)
        try:
            with open(self.path, "rb", buffering=0) as file:
                there = max(0, os.fstat(file.fileno()).st_size - self.offset)
                file.seek(self.offset)
                data = read_exactly(file, min(self.bytes, there))
        except OSError as error:
            raise ImageError(
                f"The archive cannot be read: {error.strerror or error}. Check that it exists and its permissions."
            ) from error
        if len(data) != self.bytes:
            raise ImageError("The archive ends inside this file. Get the archive again.")
        return Read(data, self.bytes, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """Bytes that came from a stream and are held in memory."""

    data: bytes
    mtime_ns: int

    @property
    def held(self) -> int:
        """Return the number of bytes."""
        return len(self.data)

    def read(self, limit: int = MAX_FILE_BYTES) -> Read:
        """Return the bytes. Raises :class:`ImageError` if there are more than ``limit``."""
        require_bounded(len(self.data), limit)
        return Read(self.data, len(self.data), self.mtime_ns)


@dataclass(frozen=True, slots=True)
class NoBytes:
    """Stands for something that a source names and that cannot be read; ``reason`` says why."""

    reason: str
    held: ClassVar[int] = 0

    def read(self, limit: int = MAX_FILE_BYTES) -> Read:
        """Raise :class:`ImageError` with the reason."""
        raise ImageError(self.reason)


def in_range(time_ns: int) -> int:
    """Return a modification time clamped to what the ledger can hold, the years 1677 to 2262."""
    return max(-MOST_TIME_NS, min(time_ns, MOST_TIME_NS))


def nanoseconds(seconds: float) -> int:
    """Return a modification time in nanoseconds, clamped as by :func:`in_range`; 0 for nan and infinity."""
    return in_range(int(seconds * 10**9)) if math.isfinite(seconds) else 0


def read_exactly(file: io.RawIOBase | IO[bytes], size: int) -> bytes:
    """Return ``size`` bytes, fewer at the end of the file: one read gives at most 2 GiB on some systems."""
    data = file.read(size) or b""  # None: a device without data at the moment
    if len(data) == size or not data:
        return data
    held = io.BytesIO()
    while data:
        held.write(data)
        data = file.read(size - held.tell()) or b""
    return held.getvalue()


def require_bounded(size: int, limit: int, advice: str = "Save a smaller copy.") -> None:
    """Raise :class:`ImageError` for a file of more than ``limit`` bytes."""
    if size > limit:
        raise ImageError(f"The file has {_said(size)}; expected an image of at most {_said(limit)}. {advice}")


def require_unpacked_bounded(size: int, limit: int) -> None:
    """Raise :class:`ImageError` for an archive member that unpacks to more than ``limit`` bytes."""
    if size > limit:
        raise ImageError(too_large_unpacked(size, limit))


def too_large_unpacked(size: int, limit: int = MOST_UNPACKED_BYTES) -> str:
    """Return the message for an archive member that is too large to be unpacked into memory."""
    return (
        f"It has {_said(size)} unpacked; expected at most {_said(limit)} for a file that is compressed in an archive "
        "or comes in a stream. Unpack the archive and name the folder, or save a smaller copy."
    )


def _said(size: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20)):
        if size >= factor:
            return f"{size / factor:,.2f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{size:,} bytes"
