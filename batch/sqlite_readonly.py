"""Open SQLite files without writing anything beside them: no log, no index of the log, no lock.

A database in WAL mode has a log (``-wal``) and an index of it (``-shm``) while a program writes to it, or after the
program was killed. SQLite's own ``mode=ro`` creates both if they are missing. That fails in a folder without write
permission, and otherwise leaves files owned by the reader, which may block the writer. Source: sqlite.org/wal.html,
"Read-Only Databases"; ``readonly_shm`` is in ``os_unix.c`` and ``os_win.c``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tempfile

ATTEMPTS = 5
"""Attempts to open a ledger, as a run may begin or end meanwhile."""
TIMEOUT = 30.0
LOG_HEADER = 32
"""Bytes of a log's header. A killed run may leave only that, and SQLite would then wait many seconds in vain."""


class _Copy(sqlite3.Connection):
    """A connection to a copy, which is removed when the connection is closed, or as soon as it is open."""

    folder: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        super().close()
        if self.folder is not None:
            self.folder.cleanup()


def connect_readonly(path: Path) -> sqlite3.Connection:
    """Open a database for reading, also while it is written to; threads may share the connection if they take turns.

    If nobody seems to write, a copy in the folder for temporary files is opened, as the file may change at any moment.
    Raises :class:`OSError` for a file that cannot be read, :class:`sqlite3.Error` for a damaged one.
    """
    path = Path(os.path.realpath(path))  # the log lies beside the real file, not beside a link to it
    path.open("rb").close()
    problem: sqlite3.Error = sqlite3.OperationalError("it changes all the time")
    for _ in range(ATTEMPTS):
        try:
            if _has_frames(_beside(path, "-wal")) and _beside(path, "-shm").exists():
                # The writer may have been killed before it filled the index: a copy builds its own.
                with contextlib.suppress(sqlite3.OperationalError):
                    return _opened(path, "mode=ro&readonly_shm=1")
            connection = _copied(path)
        except sqlite3.OperationalError as error:
            problem = error
        else:
            if connection is not None:
                return connection
    raise problem


def peek(path: Path) -> sqlite3.Connection:
    """Open a database to read values that never change. Makes no copy if nobody writes to it.

    Raises as :func:`connect_readonly`.
    """
    path = Path(os.path.realpath(path))
    if _has_frames(_beside(path, "-wal")):
        return connect_readonly(path)
    try:
        return _opened(path, "immutable=1")
    except sqlite3.OperationalError:  # a writer has just begun
        return connect_readonly(path)


def _opened(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, timeout=TIMEOUT, check_same_thread=False)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _copied(path: Path) -> sqlite3.Connection | None:
    """Return a connection to a copy; None if the file changed meanwhile."""
    import tempfile  # what is loaded before the processes start is light

    before = state_of(path)
    log = _beside(path, "-wal")
    try:
        folder = tempfile.TemporaryDirectory(prefix="seg-batch-", ignore_cleanup_errors=True)
    except OSError as error:
        return _opened_in_place(path, error)
    copy = Path(folder.name, "copy.sqlite")
    try:
        shutil.copyfile(path, copy)
        if _has_frames(log):
            shutil.copyfile(log, _beside(copy, "-wal"))
    except OSError as error:
        folder.cleanup()
        return _opened_in_place(path, error)
    if state_of(path) != before:
        folder.cleanup()
        return None
    connection = sqlite3.connect(copy, check_same_thread=False, factory=_Copy)
    connection.folder = folder
    if os.name == "posix":
        _vanish(connection)
    return connection


def _vanish(connection: _Copy) -> None:
    """Remove the files of an open copy, which it keeps until it is closed: so a kill leaves nothing.

    In exclusive mode, SQLite holds its files open from the first access, and the index of the log in memory.
    """
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error:  # damaged: the next query says so
        return
    if connection.folder is not None:
        connection.folder.cleanup()


def _opened_in_place(path: Path, error: OSError) -> sqlite3.Connection:
    """Open the file itself, which is complete unless there is a log."""
    if _has_frames(_beside(path, "-wal")):
        raise sqlite3.OperationalError(
            f"a killed run left its last changes in {path.name}-wal, and no copy of the ledger can be made in the "
            f"folder for temporary files (TMPDIR) to apply them ({error.strerror or error})"
        ) from error
    return _opened(path, "immutable=1")


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _has_frames(log: Path) -> bool:
    """Return whether a log holds more than its header."""
    try:
        return log.stat().st_size > LOG_HEADER
    except FileNotFoundError:
        return False


def state_of(path: Path) -> list[tuple[int, int] | None]:
    """Return what changes when somebody writes to a database: sizes and modification times of the file and its log."""
    states: list[tuple[int, int] | None] = []
    for file in (path, _beside(path, "-wal")):
        try:
            found = file.stat()
        except FileNotFoundError:
            states.append(None)
        else:
            states.append((found.st_size, found.st_mtime_ns))
    return states
