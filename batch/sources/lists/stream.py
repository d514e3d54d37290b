"""Sources that can be read only once: standard input, pipes, process substitution (``<(...)``)."""

from __future__ import annotations

import io
import os
import re
import select
import stat
import sys
import time
from typing import IO

from batch.errors import SourceError, printable

STDIN = "-"
STDIN_PATHS = frozenset({STDIN, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
BEGINNING = 512
"""Bytes that tell what a stream holds: the first header of a tar."""
WAIT_FOR_WRITER_SECONDS = 10.0
"""A named pipe is refused if no program opens it for writing within this time."""
WAIT_STEP_SECONDS = 0.05
HOW = "find photos -name '*.jpg' -print0 | seg-batch run - --out masks"


class Stream(io.RawIOBase):
    """A binary stream whose first bytes were already read: it returns them again, then the rest.

    Closing it closes the stream, unless that is the program's own standard input.
    """

    def __init__(self, stream: IO[bytes], beginning: bytes) -> None:
        self._stream, self._beginning = stream, beginning

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read what is available, at least one byte, without waiting for a slow pipe to fill the buffer."""
        found, self._beginning = self._beginning[: len(buffer)], self._beginning[len(buffer) :]
        if not found:
            found = read_some(self._stream, len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """Close this, and the stream unless it is standard input."""
        if self._stream is not getattr(sys.stdin, "buffer", None):
            self._stream.close()
        super().close()


def with_beginning(stream: IO[bytes], name: str) -> tuple[IO[bytes], bytes]:
    """Return a stream that can be read from its beginning, and its first :data:`BEGINNING` bytes, or all of it if it is
    shorter. Waits for them. Raises :class:`SourceError`.
    """
    beginning = b""
    try:
        while len(beginning) < BEGINNING and (more := read_some(stream, BEGINNING - len(beginning))):
            beginning += more
    except (OSError, ValueError) as error:
        raise unreadable(name, error) from error
    return io.BufferedReader(Stream(stream, beginning), io.DEFAULT_BUFFER_SIZE), beginning


def read_some(stream: IO[bytes], most: int) -> bytes:
    """Return between 1 and ``most`` bytes as soon as they are available; none at the end."""
    read = stream.read1 if hasattr(stream, "read1") else stream.read
    found: bytes | None = read(most)
    while found is None:  # another program made the pipe non-blocking
        select.select([stream], [], [])
        found = read(most)
    return found


def open_stream(name: str) -> IO[bytes] | None:
    """Return standard input, or the pipe of this name; None if this is not a stream. Raises :class:`SourceError`."""
    if name in STDIN_PATHS:
        return _standard_input()
    try:
        state = os.stat(name)
    except (OSError, ValueError):
        return None
    mode = state.st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)):
        return None
    try:
        if (number := DESCRIPTOR.fullmatch(name)) is not None:
            return open(os.dup(int(number[1])), "rb", buffering=0)
        stream = _open_pipe(name) if stat.S_ISFIFO(mode) else _open_device(name)
        _require_end(state, name)
        return stream
    except OSError as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: Exception) -> SourceError:
    """Return the error for a list or stream that cannot be read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SourceError(
        f"{spoken(name)} cannot be read: {reason}; expected a list of files, or a tar. Check that it exists and its "
        "permissions."
    )


def spoken(name: str) -> str:
    """Return the name of a stream for messages."""
    return "Standard input" if name in STDIN_PATHS else printable(name)


def _standard_input() -> IO[bytes]:
    if sys.stdin is None or sys.stdin.closed:
        raise SourceError(f"Standard input is closed; expected a tar or a list of files there. Pipe one in: {HOW}")
    _require_no_terminal(sys.stdin.isatty(), STDIN)
    try:
        handle = sys.stdin.fileno()
    except (OSError, ValueError):  # not a file of the operating system
        return sys.stdin.buffer
    try:
        _require_end(os.fstat(handle), STDIN)
        # Not sys.stdin: Python closes it at exit, and aborts if a thread is still reading from it.
        return open(os.dup(handle), "rb", buffering=0)
    except OSError as error:
        raise unreadable(STDIN, error) from error


def _open_device(name: str) -> IO[bytes]:
    handle = os.open(name, os.O_RDONLY | getattr(os, "O_NOCTTY", 0))
    if os.isatty(handle):
        os.close(handle)
        _require_no_terminal(True, name)
    return open(handle, "rb", buffering=0)


def _require_end(state: os.stat_result, name: str) -> None:
    """Raise :class:`SourceError` for a device, which may be endless; ``/dev/null`` is accepted, as it is empty."""
    if stat.S_ISCHR(state.st_mode) and state.st_rdev != os.stat(os.devnull).st_rdev:
        raise SourceError(f"{spoken(name)} is a device; expected a pipe or a file. Pipe in a tar or a list: {HOW}")


def _require_no_terminal(is_terminal: bool, name: str) -> None:
    if is_terminal:
        raise SourceError(f"{spoken(name)} is a terminal; expected a tar or a list of files there. Pipe one in: {HOW}")


def _open_pipe(name: str) -> IO[bytes]:
    """Open a named pipe, waiting a limited time for its writer."""
    handle = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    try:
        first = _first_byte(handle, name)
        os.set_blocking(handle, True)
    except BaseException:
        os.close(handle)
        raise
    return io.BufferedReader(Stream(open(handle, "rb", buffering=0), first))


def _first_byte(handle: int, name: str) -> bytes:
    """Return the first byte of a pipe; none if its writer is there but has not written yet."""
    end = time.monotonic() + WAIT_FOR_WRITER_SECONDS
    while time.monotonic() < end:
        try:
            if found := os.read(handle, 1):
                return found
        except BlockingIOError:
            return b""
        time.sleep(WAIT_STEP_SECONDS)
    raise SourceError(
        f"Nothing was written to the pipe {printable(name)} in {WAIT_FOR_WRITER_SECONDS:.0f} seconds; expected a "
        "program that writes a tar or a list of files. Start it first."
    )
