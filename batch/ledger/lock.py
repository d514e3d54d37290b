"""Locks: one run at a time for each output, and for each ledger."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from batch.errors import OutputError, printable

LOCK_NAME = ".seg-batch.lock"
FOR_ALL = 0o666
"""Permissions of files that several users of one output share, before the umask."""


@contextlib.contextmanager
def locked(*folders: Path) -> Iterator[None]:
    """Create the folders of an output and lock them for this process.

    Raises :class:`OutputError` if another run has locked one, or if one cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for folder in dict.fromkeys(path.absolute() for path in folders):
            stack.enter_context(_locked(folder))
        yield


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    path = folder / LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        make_for_all(path)
        lock = FileLock(path, timeout=0, mode=path.stat().st_mode & 0o777)
        lock.acquire()
    except Timeout as error:
        raise in_use(folder) from error
    except OSError as error:
        raise OutputError(
            f"The output folder {printable(str(folder))} cannot be written: {why_not(path, error)}. Expected a folder "
            "with write permission and free space. Choose another one."
        ) from error
    try:
        yield
    finally:
        lock.release()


def in_use(folder: Path) -> OutputError:
    """Return the error for an output that another run has locked."""
    return OutputError(
        f"Another run is writing to {printable(str(folder))}; expected an output folder that is not in use. Wait until "
        "it ends (`seg-batch status` shows its progress), or choose another folder."
    )


def make_for_all(path: Path) -> None:
    """Create an empty file, if it does not exist, with the permissions of the umask. Raises :class:`OSError`."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, FOR_ALL))


def why_not(path: Path, error: OSError) -> str:
    """Return why a file cannot be opened; if permissions are missing, with the file's owner."""
    said = error.strerror or str(error)
    if not isinstance(error, PermissionError):
        return said
    try:
        owner = path.owner()
    except (OSError, KeyError, NotImplementedError):  # no such file, no such user, Windows
        return said
    return f"{said}: {printable(path.name)} in it belongs to {owner}, and only its owner may write to it"
