"""The lock of a run's folder: one command at a time writes to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.errors import WriteError

if TYPE_CHECKING:
    from filelock import FileLock

LOCK = ".seglab.lock"
PATIENCE = 6.0
"""Seconds to wait for a lock: after a run is killed, its reading processes hold the lock for up to five seconds."""
TRIES = 100
"""How often others may remove the folder while its lock is asked for."""


@contextlib.contextmanager
def held(out: Path) -> Iterator[None]:
    """Create the folder ``out`` and lock it for this process. A folder that was created and stays empty is removed.

    Raises :class:`WriteError` where another run holds the lock, or where the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    is_new = not out.exists()
    lock = FileLock(out / LOCK, timeout=PATIENCE)
    try:
        _acquire(lock, out)
    except Timeout as error:
        raise WriteError(
            f"Another run is writing to {out}; expected a folder that is not in use. Wait until it ends, or name "
            "another --out."
        ) from error
    except NotImplementedError:  # a file system without locks
        pass
    except OSError as error:
        raise WriteError(
            f"The folder {out} cannot be written: {error.strerror or error}. Expected a writable place with free "
            "space. Name another --out."
        ) from error
    try:
        yield
    finally:
        if is_new:
            _remove_if_empty(out)
        lock.release()


def _acquire(lock: FileLock, out: Path) -> None:
    """Make the folder and lock it, also while a command that ends removes it. Raises as :meth:`FileLock.acquire`."""
    refused = OSError("other commands take its lock away")
    for _ in range(TRIES):
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / LOCK).touch()
            before = (out / LOCK).stat()
            lock.acquire()
            if os.path.samestat(before, (out / LOCK).stat()):
                return
        except (FileExistsError, FileNotFoundError) as error:  # removed between two steps; or the folder is a file
            refused = error
        lock.release(force=True)
    raise refused


def _remove_if_empty(out: Path) -> None:
    with contextlib.suppress(OSError):
        if [entry.name for entry in out.iterdir()] == [LOCK]:
            (out / LOCK).unlink()
            out.rmdir()
