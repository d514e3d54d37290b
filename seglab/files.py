"""Whole files or none: every output goes to a temporary name in its folder and is moved into place."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

STEM_CHARACTERS = 30
"""Of the stem in a temporary name: whatever the script, four bytes each stay well below a name's 255."""
TEMPORARY = re.compile(r"\.(?P<stem>.*)\.(?P<process>\d+)-\d+\.tmp", re.DOTALL)
"""A temporary name without its suffix."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success move it there, on any error remove it.

    The temporary name begins with a dot and keeps the suffix, so that writers which look at it still work.
    It holds process and thread, so that two writers never share one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    with _moved(temporary, path):
        yield Path(temporary)


def write_bytes(path: str | Path, data: bytes, top: str | Path | None = None) -> None:
    """Write ``data`` to ``path`` as a whole; missing parent folders are made, those below ``top`` if that is given.

    With as few calls to the system as there can be: an archive has a million masks.
    """
    temporary = _temporary(path)
    with _moved(temporary, path):
        try:
            _write(temporary, data)
        except FileNotFoundError:
            if top is not None and not os.path.isdir(top):
                raise FileNotFoundError(errno.ENOENT, "it was removed or moved meanwhile", os.fspath(top)) from None
            os.makedirs(os.path.dirname(temporary), exist_ok=True)
            _write(temporary, data)


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _temporary(path: str | Path) -> str:
    folder, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    return os.path.join(folder, f".{stem[:STEM_CHARACTERS]}.{os.getpid()}-{threading.get_ident()}.tmp{suffix}")


def remove_abandoned(path: Path) -> None:
    """Remove temporary files of ``path`` whose writers' processes are gone (``kill -9``, a power cut)."""
    stem = path.stem[:STEM_CHARACTERS]
    with contextlib.suppress(OSError):
        for entry in list(path.parent.iterdir()):
            found = TEMPORARY.fullmatch(entry.stem) if entry.suffix == path.suffix else None
            if found and _is_of(found["stem"], stem) and not _is_running(int(found["process"])):
                with contextlib.suppress(OSError):
                    entry.unlink()


def _is_of(written: str, stem: str) -> bool:
    """Is this the stem in a temporary name of a file with ``stem``, or in that of such a temporary file itself?"""
    within = re.escape(f".{stem}.") + r"\d+-\d+\.tmp"
    return (
        written == stem
        or (len(written) == STEM_CHARACTERS and written.startswith(f".{stem}."[:STEM_CHARACTERS]))
        or (re.fullmatch(within, written) is not None)
    )


def _is_running(process: int) -> bool:
    """Is there such a process? Where that cannot be asked without harm (Windows), it is taken for running."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        return True
    return True


@contextlib.contextmanager
def _moved(temporary: str, path: str | Path) -> Iterator[None]:
    try:
        yield
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def has_content(path: str | Path) -> bool:
    """Is there a file that is not empty?"""
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path`` as a whole; missing parent folders are made."""
    write_bytes(path, text.encode())


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
