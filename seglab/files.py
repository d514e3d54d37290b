"""Whole files or none: every output goes to a temporary name in its folder and is moved into place."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

STEM_CHARACTERS = 30
"""Of the stem in a temporary name: whatever the script, four bytes each stay well below a name's 255."""


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
