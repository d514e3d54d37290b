"""The bytes of an image, wherever they are: a file, a member of an archive, or in memory already."""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

from seglab.errors import ImageError

MAX_FILE_BYTES = 4 * 2**30
MOST_TIME_NS = 2**63 - 1


class Read(NamedTuple):
    """What was read, with the state it was read in: size in bytes, time of change in nanoseconds.

    ``version``: see :class:`batch.sources.image_ref.ImageRef`.
    """

    data: bytes
    bytes: int
    mtime_ns: int
    version: str = ""


class ByteSource(Protocol):
    """Something that can be read once or several times, by any thread. ``held``: bytes of memory that it takes.

    It must be picklable, and readable in another process: the processes of a run are sent it.
    """

    @property
    def held(self) -> int:
        """Return 0 for what is fetched when it is read."""

    def read(self) -> Read:
        """Return all of it. Raises :class:`ImageError` with the reason where that cannot be."""


@dataclass(frozen=True, slots=True)
class FileBytes:
    """A file by its path."""

    path: str
    held: ClassVar[int] = 0

    def __reduce__(self) -> tuple[type[FileBytes], tuple[str]]:
        return FileBytes, (self.path,)  # in a third of the time that a dataclass takes: a run sends a million

    def read(self) -> Read:
        """Read the file. Raises :class:`ImageError` for what is no file, or changes meanwhile."""
        try:
            # A pipe would wait for a writer; a file does not mind.
            handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            with open(handle, "rb", buffering=0) as file:
                state = os.fstat(handle)
                if not stat.S_ISREG(state.st_mode):
                    raise ImageError("Not a regular file; expected an image file. Remove it from the source.")
                require_bounded(state.st_size)
                data = file.read() or b""  # None: a device that has nothing now
                after = os.fstat(handle)
        except OSError as error:
            raise ImageError(
                f"The file cannot be read: {error.strerror or error}. Check that it is there and its rights."
            ) from error
        if (len(data), state.st_mtime_ns) != (state.st_size, after.st_mtime_ns):
            raise ImageError("The file changed while it was read; expected one at rest. Run again when it is complete.")
        return Read(data, state.st_size, in_range(state.st_mtime_ns))


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes inside a file: a member of an uncompressed tar."""

    path: str
    offset: int
    bytes: int
    mtime_ns: int
    held: ClassVar[int] = 0

    def read(self) -> Read:
        """Read them. Raises :class:`ImageError`."""
        require_bounded(self.bytes)
        try:
            with open(self.path, "rb", buffering=0) as file:
                file.seek(self.offset)
                data = file.read(self.bytes)
        except OSError as error:
            raise ImageError(
                f"The archive cannot be read: {error.strerror or error}. Check that it is there and its rights."
            ) from error
        if len(data) != self.bytes:
            raise ImageError("The archive ends inside this file; expected all of it. Get the archive again.")
        return Read(data, self.bytes, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """Bytes that came out of a stream."""

    data: bytes
    mtime_ns: int

    @property
    def held(self) -> int:
        """Return how many they are."""
        return len(self.data)

    def read(self) -> Read:
        """Return them."""
        return Read(self.data, len(self.data), self.mtime_ns)


@dataclass(frozen=True, slots=True)
class NoBytes:
    """What a source names and cannot be read; ``reason`` says why."""

    reason: str
    held: ClassVar[int] = 0

    def read(self) -> Read:
        """Raise :class:`ImageError`."""
        raise ImageError(self.reason)


def in_range(time_ns: int) -> int:
    """Return a time of change as the ledger can hold it: before 1677 and after 2262 the end of that range."""
    return max(-MOST_TIME_NS, min(time_ns, MOST_TIME_NS))


def nanoseconds(seconds: float) -> int:
    """Return a time of change that somebody wrote down, as :func:`in_range`; 0 for nan and infinity."""
    return in_range(int(seconds * 10**9)) if math.isfinite(seconds) else 0


def require_bounded(size: int) -> None:
    """Raise :class:`ImageError` for what is too large to be held."""
    if size > MAX_FILE_BYTES:
        raise ImageError(
            f"The file has {size / 2**30:.1f} GiB; expected an image of at most {MAX_FILE_BYTES / 2**30:.0f} GiB. "
            "Save a smaller copy."
        )
