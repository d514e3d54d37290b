"""Whole files or none: every output goes to a temporary name in its folder and is moved into place."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seglab.errors import WriteError

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
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:  # a full disk does not say which file it was
            error.filename = os.fspath(path)
        raise


def require_writable(path: Path, option: str) -> None:
    """Raise :class:`WriteError` unless the file ``path``, which ``option`` names, can be written; it stays as it is.

    Missing parent folders are made. To be asked before the work whose result it gets.
    """
    if os.path.isdir(path):
        raise WriteError(f"{option} {path} is a folder; expected the name of a file. Add one: {path / 'NAME'}.")
    _try_new(path, option)


def require_folder(path: Path, option: str) -> None:
    """Make the folder ``path``, which ``option`` names. Raises :class:`WriteError` unless files can be made in it."""
    _try_new(path / "tried", option)


def _try_new(path: Path, option: str) -> None:
    try:
        with contextlib.suppress(_Tried), replacing(path) as temporary:
            temporary.touch()
            raise _Tried
        os.stat(path)  # a name may be too long, though the temporary one is not
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_write(path, option, error) from error


class _Tried(Exception):
    pass


def _cannot_write(path: Path, option: str, error: OSError) -> WriteError:
    return WriteError(
        f"{option} {error.filename or path} cannot be written: {error.strerror or error}. Expected a place with the "
        "right to write and free space. Name another one."
    )


LONGEST_NAME = 100
"""Characters of a name that files are called after."""
UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
"""Characters that a file name cannot have on some system."""


def safe_name(text: str) -> str:
    """Return ``text`` as a part of a file name: without separators, and of a length that every file system takes."""
    name = UNSAFE.sub("_", text)
    if len(name.encode(errors="surrogateescape")) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{name[: LONGEST_NAME // 4]}-{digest}"


def json_text(values: Any) -> str:
    """Return ``values`` as JSON with a line break at the end; numbers that JSON has not (NaN, infinity) become null."""
    return json.dumps(_finite(values), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
