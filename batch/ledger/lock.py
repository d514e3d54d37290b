"""Locks: one run at a time for each output, and for each ledger. A run that is refused leaves no trace of them.

A lock file, and folders that were made for it, stay once there is a ledger. Until then whoever gives the lock back
removes them. Several runs may begin at once, and each may be refused, or killed:

- a lock counts only if its file is still the one at its path when it is held, for a holder may have removed it;
- who makes a folder says so in a file in it before it asks for the lock. So a holder knows of folders that another run
  made, and it looks for that file after it removed the lock: whoever wrote it before asked for that lock in vain.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import OutputError, printable
from batch.output_mark import LEDGER_NAME
from seglab.files import has_content

if TYPE_CHECKING:
    from filelock import FileLock

LOCK_NAME = ".seg-batch.lock"
MADE_NAME = ".seg-batch.made"
"""In a folder that a run made: how many of the folders above it, and it itself, were made."""
FOR_ALL = 0o666
"""Rights of files that the users of one output share, less what the umask takes away."""
TRIES = 100
"""How often a lock may be removed by others while it is asked for."""


@contextlib.contextmanager
def locked(*folders: Path) -> Iterator[None]:
    """Make the folders of an output, that of its ledger first, and hold them for this process.

    What was made for that is removed at the end, unless there is a ledger by then. Raises :class:`OutputError` if
    another run has one, or where one cannot be written.
    """
    state = folders[0].absolute()
    with contextlib.ExitStack() as stack:
        for folder in dict.fromkeys(path.absolute() for path in folders):
            stack.enter_context(_locked(folder, state))
        yield


@contextlib.contextmanager
def _locked(folder: Path, state: Path) -> Iterator[None]:
    from filelock import Timeout

    path = folder / LOCK_NAME
    try:
        _make(folder)
        lock = _acquired(folder)
    except Timeout as error:
        raise in_use(folder) from error
    except OSError as error:
        _remove_made(folder)
        raise OutputError(
            f"The output folder {printable(str(folder))} cannot be written: {why_not(path, error)}. Expected a folder "
            "with write permission and free space. Choose another one."
        ) from error
    try:
        yield
    finally:
        if has_content(state / LEDGER_NAME):
            (folder / MADE_NAME).unlink(missing_ok=True)
        else:
            with contextlib.suppress(OSError):  # Windows removes no open file
                path.unlink()
            _remove_made(folder)
        lock.release()


def _make(folder: Path) -> None:
    """Make a folder and those above it, and note how many. Raises :class:`OSError`."""
    made = sum(not path.exists() for path in (folder, *folder.parents))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    (folder / MADE_NAME).write_text(str(made), encoding="ascii")


def _remove_made(folder: Path) -> None:
    """Remove what a run made of a folder and those above it, where nothing is in it by now."""
    note = folder / MADE_NAME
    with contextlib.suppress(OSError, ValueError):
        made = int(note.read_text(encoding="ascii"))
        note.unlink()
        for place in (folder, *folder.parents)[:made]:
            place.rmdir()


def _acquired(folder: Path) -> FileLock:
    """Return the lock of a folder, held. Raises :class:`filelock.Timeout` where another run has it, and
    :class:`OSError`.
    """
    from filelock import FileLock, Timeout

    path = folder / LOCK_NAME
    for _ in range(TRIES):
        try:
            make_for_all(path)
            before = path.stat()
            lock = FileLock(path, timeout=0, mode=before.st_mode & 0o777)
            lock.acquire()
        except Timeout:
            if _is_still(path, before):
                raise
            continue
        except FileNotFoundError:  # a run that was refused has just removed its folder
            _make(folder)
            continue
        if _is_still(path, before):
            return lock
        lock.release()
    raise OSError("other runs take its lock away")


def _is_still(path: Path, before: os.stat_result) -> bool:
    try:
        return os.path.samestat(before, path.stat())
    except FileNotFoundError:
        return False


def in_use(folder: Path) -> OutputError:
    """Return the error for an output that a run has."""
    return OutputError(
        f"Another run is writing to {printable(str(folder))}; expected an output folder that is not in use. Wait "
        "for its end (`seg-batch status` shows how far it is), or choose another folder."
    )


def make_for_all(path: Path) -> None:
    """Make an empty file, if it is not there, that all may write who may by the umask. Raises :class:`OSError`."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, FOR_ALL))


def why_not(path: Path, error: OSError) -> str:
    """Return why a file cannot be opened; where the rights are missing, whose it is."""
    said = error.strerror or str(error)
    if not isinstance(error, PermissionError):
        return said
    try:
        owner = path.owner()
    except (OSError, KeyError, NotImplementedError):  # not there, no such user, Windows
        return said
    return f"{said}: {printable(path.name)} in it belongs to {owner}, and only its owner may write to it"
