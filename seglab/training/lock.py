"""The lock of a run's folder: one command at a time writes to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from seglab.errors import WriteError

LOCK = ".seglab.lock"
PATIENCE = 6.0
"""Seconds to wait for a lock: after a run is killed, its reading processes hold the lock for up to five seconds."""


@contextlib.contextmanager
def held(out: Path) -> Iterator[None]:
    """Create the folder ``out`` and lock it for this process. A folder that was created and stays empty is removed.

    Raises :class:`WriteError` where another run holds the lock, or where the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    is_new = not out.exists()
    lock = FileLock(out / LOCK, timeout=PATIENCE)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
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


def _remove_if_empty(out: Path) -> None:
    with contextlib.suppress(OSError):
        if [entry.name for entry in out.iterdir()] == [LOCK]:
            (out / LOCK).unlink()
            out.rmdir()
