"""One command at a time for the folder of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from seglab.errors import WriteError

LOCK = ".seglab.lock"
PATIENCE = 6.0
"""Seconds to wait: within five, the reading processes of a run that was killed end, which still hold its lock."""


@contextlib.contextmanager
def held(out: Path) -> Iterator[None]:
    """Make the folder ``out`` and hold it for this process. A folder that was made and stays empty is taken away.

    Raises :class:`WriteError` where another run has it, or where it cannot be written.
    """
    from filelock import FileLock, Timeout

    is_new = not out.exists()
    lock = FileLock(out / LOCK, timeout=PATIENCE)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise WriteError(
            f"Another run is writing to {out}; expected a folder that is not in use. Wait for its end, or name another "
            "--out."
        ) from error
    except NotImplementedError:  # a file system without locks
        pass
    except OSError as error:
        raise WriteError(
            f"The folder {out} cannot be written: {error.strerror or error}. Expected a folder, or the name of a new "
            "one, with the right to write and free space. Name another --out."
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
