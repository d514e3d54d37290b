"""Read masks from an archive that a run may be writing, without touching it or its index."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from batch.errors import OutputError, printable
from batch.ledger.schema import decode, encode
from batch.naming import SUFFIX
from batch.outputs.archive import INDEX_NAME, current_of
from batch.outputs.framing import Framing
from batch.sqlite_readonly import connect_readonly

MEMBERS = "CREATE TABLE members (name TEXT PRIMARY KEY, data INTEGER NOT NULL, size INTEGER NOT NULL)"
INSERT = "INSERT OR REPLACE INTO members VALUES (CAST(? AS TEXT), ?, ?)"


class ArchiveReader:
    """The members of the archive at ``path``, or of the part that grows; ``state``: folder of the ledger.

    The file stays open, so a run that ends may rename it. Members that a run adds later are found when they are
    requested.
    """

    def __init__(self, path: Path, framing: Framing, state: Path) -> None:
        self._path, self._framing, self._state = path, framing, state
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._members: sqlite3.Connection | None = None
        self._seen: tuple[int, int] | None = None
        self._look()

    def read(self, mask: str) -> bytes:
        """Return a member's content."""
        with self._lock:
            found = self._find(mask)
            if found is None and self._seen != self._state_of_file():
                self._look()
                found = self._find(mask)
            if found is None or self._file is None:
                raise FileNotFoundError(2, "it is not in the archive", self.where(mask))
            start, size = found
            self._file.seek(start)
            data = self._file.read(size)
        if len(data) < size:
            raise OSError(5, "the archive ends inside it", self.where(mask))
        return data

    def names(self) -> Iterator[str]:
        """Yield the names of PNG members."""
        with self._lock:
            found = [] if self._members is None else self._members.execute("SELECT name FROM members").fetchall()
        return (name for (name,) in found if name.lower().endswith(SUFFIX))

    def where(self, mask: str) -> str:
        """Return the archive's path with the member's name."""
        return f"{self._path}/{mask}"

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        if self._members is not None:
            self._members.close()
        self._file = self._members = None

    def _find(self, mask: str) -> tuple[int, int] | None:
        if self._members is None:
            return None
        found: tuple[int, int] | None = self._members.execute(
            "SELECT data, size FROM members WHERE name = CAST(? AS TEXT)", (encode(mask),)
        ).fetchone()
        return found

    def _state_of_file(self) -> tuple[int, int] | None:
        try:
            state = current_of(self._path).stat()
        except OSError:
            return None
        return state.st_ino, state.st_size

    def _look(self) -> None:
        """Open the archive and list its present members."""
        self.close()
        self._seen = self._state_of_file()
        try:
            self._file = open(current_of(self._path), "rb")  # noqa: SIM115  # close() closes it
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputError(
                f"{printable(str(self._path))} cannot be read: {error.strerror or error}. Expected permission to read "
                "it. Ask its owner."
            ) from error
        self._members = sqlite3.connect("", check_same_thread=False)  # a temporary file of its own
        self._members.text_factory = decode
        self._members.execute(MEMBERS)
        frames = self._framing.frames(self._file, self._indexed())
        self._members.executemany(INSERT, ((encode(frame.name), frame.data, frame.size) for frame in frames))

    def _indexed(self) -> int:
        """Copy the run's index if it matches the archive; return the offset up to which it is valid."""
        if self._file is None or self._members is None:
            return 0
        try:
            index = connect_readonly(self._state / INDEX_NAME)
        except (OSError, sqlite3.Error):  # the index only saves time: the archive holds the same
            return 0
        with contextlib.closing(index), contextlib.suppress(sqlite3.Error):
            index.text_factory = bytes
            index.execute("BEGIN")
            end, complete_size = index.execute("SELECT end, complete_size FROM state").fetchone() or (0, None)
            size = os.fstat(self._file.fileno()).st_size
            if end and (complete_size == size or (complete_size is None and end <= size)):
                self._members.executemany(INSERT, index.execute("SELECT name, data, size FROM members"))
                return size if complete_size == size else int(end)
        return 0
