"""Locks: one run at a time for each output, and for each ledger.

A lock file, and the folders that a run made for it, stay only if there is a ledger by the end of the run. A lock counts
only if its file is still the one at its path when it is held: a run that was refused may just have removed it. If two
runs are refused at once, an empty folder may stay.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import OutputError, printable
from batch.output_mark import LEDGER_NAME
from seglab.files import has_content

if TYPE_CHECKING:
    from filelock import FileLock

LOCK_NAME = ".seg-batch.lock"
FOR_ALL = 0o666
"""Permissions of files that several users of one output share, before the umask."""
TRIES = 100
"""How often others may remove a lock while it is asked for."""


@contextlib.contextmanager
def locked(*folders: Path, archive: Path | None = None) -> Iterator[None]:
    """Create the folders of an output, that of its ledger first, and lock them for this process.

    ``archive``: a file that is locked as well, by a hidden one beside it. What was created is removed at the end, in
    folders only if there is no ledger by then. Raises :class:`OutputError` if another run has locked one, or if one
    cannot be written.
    """
    ledger = folders[0].absolute() / LEDGER_NAME
    places: dict[str, Path] = {}
    for folder in folders:
        places.setdefault(os.path.realpath(folder), folder)
    with contextlib.ExitStack() as stack:
        for folder in places.values():
            stack.enter_context(_locked(folder.absolute() / LOCK_NAME, folder, lambda: has_content(ledger)))
        if archive is not None:
            path = archive.absolute().with_name(f".{archive.name}.lock")
            stack.enter_context(_locked(path, archive, lambda: False))
        yield


@contextlib.contextmanager
def _locked(path: Path, output: Path, stays: Callable[[], bool]) -> Iterator[None]:
    from filelock import Timeout

    made: list[Path] = []
    held: list[FileLock] = []
    try:
        try:
            _acquire(path, made, held)
        except Timeout as error:
            raise in_use(output) from error
        except OSError as error:
            raise OutputError(
                f"The output folder {printable(str(path.parent))} cannot be written: {why_not(path, error)}. Expected "
                "a folder with write permission and free space. Choose another one."
            ) from error
        yield
    finally:
        if not stays():
            _remove_lock(path, held)
        for lock in held:
            lock.release()
        if not stays():
            _remove_empty(made)


def _acquire(path: Path, made: list[Path], held: list[FileLock]) -> None:
    """Append the lock at ``path`` to ``held``, and the folders that had to be made for it to ``made``.

    Raises :class:`filelock.Timeout` if another run has it, and :class:`OSError`.
    """
    refused = OSError("other runs take its lock away")
    for _ in range(TRIES):
        try:
            made += _make(path.parent)
            make_for_all(path)
            before = path.stat()
            lock = _lock(path)
            if os.path.samestat(before, path.stat()):
                held.append(lock)
                return
            lock.release()
        except FileNotFoundError:  # a run that was refused has just removed the lock or its folder
            continue
        except FileExistsError as error:  # the same between mkdir's refusal and its look; or the folder is a file
            refused = error
    raise refused


def _lock(path: Path) -> FileLock:
    from filelock import FileLock

    lock = FileLock(path, timeout=0, mode=path.stat().st_mode & 0o777)
    lock.acquire()
    return lock


def _remove_lock(path: Path, held: list[FileLock]) -> None:
    """Remove a lock file, unless another run holds it."""
    from filelock import Timeout

    with contextlib.suppress(OSError, Timeout):  # Windows removes no open file
        if not held:  # Ctrl-C came before it was held
            held.append(_lock(path))
        path.unlink()


def _make(folder: Path) -> list[Path]:
    """Make a folder, and return the folders that did not exist before. Raises :class:`OSError`."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(folders: Collection[Path]) -> None:
    """Remove those of the folders that are empty."""
    for folder in sorted(folders, key=lambda place: len(place.parts), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()


def in_use(output: Path) -> OutputError:
    """Return the error for an output that another run has locked."""
    return OutputError(
        f"Another run is writing to {printable(str(output))}; expected an output that is not in use. Wait until "
        "it ends (`seg-batch status` shows its progress), or choose another one."
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
