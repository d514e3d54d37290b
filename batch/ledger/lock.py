"""Locks: one run at a time for each output, and for each ledger. A run that is refused leaves no trace of them.

A lock file, and folders that were made for it, stay once there is a ledger. Until then whoever gives the lock back
removes them, while other runs may begin, be refused, or be killed at any moment:

- a lock counts only if its file is still the one at its path when it is held, for a holder may have removed it;
- a folder appears with a note in it that a run made it, so that every holder knows, whoever made it;
- a folder goes as a whole, while its lock is held: it is renamed first. Who asks for the lock meanwhile makes it anew.

Where three or more do so again and again, an empty folder may stay: filelock makes the folder of a lock by itself, and
without the note. Two never hold one lock.
"""

from __future__ import annotations

import contextlib
import os
import uuid
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
"""Permissions of files that several users of one output share, before the umask."""
TRIES = 100
"""How often others may remove a lock while it is asked for."""


@contextlib.contextmanager
def locked(*folders: Path) -> Iterator[None]:
    """Create the folders of an output, that of its ledger first, and lock them for this process.

    What was created for that is removed at the end, unless there is a ledger by then. Raises :class:`OutputError` if
    another run has locked one, or if one cannot be written.
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
        raise OutputError(
            f"The output folder {printable(str(folder))} cannot be written: {why_not(path, error)}. Expected a folder "
            "with write permission and free space. Choose another one."
        ) from error
    try:
        yield
    finally:
        if has_content(state / LEDGER_NAME):
            (folder / MADE_NAME).unlink(missing_ok=True)
            lock.release()
        else:
            _give_up(folder, lock)


def _make(folder: Path) -> None:
    """Make a folder and those above it, with a note of how many, if it is not there. Raises :class:`OSError`."""
    if folder.is_dir():
        return
    made = next(level for level, above in enumerate(folder.parents, 1) if above.exists())
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = _beside(folder)
    fresh.mkdir()
    try:
        (fresh / MADE_NAME).write_text(str(made), encoding="ascii")
        fresh.rename(folder)
    except OSError:
        _remove_made(fresh, made)
        if not folder.is_dir():  # else another run made it
            raise


def _give_up(folder: Path, lock: FileLock) -> None:
    """Give a lock back, and remove what was made for it; once more where another run left its note meanwhile."""
    from filelock import Timeout

    for _ in range(TRIES):
        with contextlib.suppress(OSError, ValueError):  # Windows removes no open file
            _remove(folder)
        lock.release()
        if not (folder / MADE_NAME).exists():
            return
        try:
            lock = _acquired(folder)
        except (OSError, Timeout):  # another run has it by now, and the note is for it
            return
    lock.release()


def _remove(folder: Path) -> None:
    """Remove the lock of a folder; the folder, too, and those above it, if a run made it and nothing else is in it."""
    found = {path.name for path in folder.iterdir()}
    if found == {LOCK_NAME, MADE_NAME}:
        made = int(_note_of(folder))
        gone = folder.rename(_beside(folder))
        _remove_made(gone, made)
    else:
        for name in found & {MADE_NAME, LOCK_NAME}:
            (folder / name).unlink(missing_ok=True)


def _remove_made(folder: Path, made: int) -> None:
    """Remove a folder of ours, and of those above it so many that there are ``made``; what is not empty stays."""
    for name in (MADE_NAME, LOCK_NAME):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for place in (folder, *folder.parents)[: max(made, 1)]:
            place.rmdir()


def _beside(folder: Path) -> Path:
    """Return a name beside a folder that nobody else uses."""
    return folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")


def _acquired(folder: Path) -> FileLock:
    """Return the lock of a folder, held. Raises :class:`filelock.Timeout` where another run has it, and
    :class:`OSError`.
    """
    from filelock import FileLock, Timeout

    path, note = folder / LOCK_NAME, _note_of(folder)
    for _ in range(TRIES):
        try:
            make_for_all(path)
            before = path.stat()
            lock = FileLock(path, timeout=0, mode=before.st_mode & 0o777)
            lock.acquire()
        except Timeout:
            if _is_still(path, before):
                raise
            _note_again(folder, note)
            continue
        except FileNotFoundError:  # a run that was refused has just removed its folder
            _make(folder)
            note = _note_of(folder) or note or "1"
            continue
        if _is_still(path, before):
            return lock
        _note_again(folder, note)
        lock.release()
    raise OSError("other runs take its lock away")


def _note_again(folder: Path, note: str) -> None:
    """Write the note of a folder that was removed while its lock was asked for: filelock makes it anew."""
    if note and not _note_of(folder):
        with contextlib.suppress(FileNotFoundError):
            (folder / MADE_NAME).write_text(note, encoding="ascii")


def _note_of(folder: Path) -> str:
    try:
        return (folder / MADE_NAME).read_text(encoding="ascii")
    except OSError:
        return ""


def _is_still(path: Path, before: os.stat_result) -> bool:
    try:
        return os.path.samestat(before, path.stat())
    except FileNotFoundError:
        return False


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
