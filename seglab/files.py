"""Atomic writes: every output is written to a temporary file in its folder and moved into place."""

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
"""Length of the stem in a temporary name: at four bytes a character, the name stays well below the limit of 255."""
TEMPORARY = re.compile(r"\.(?P<stem>.*)\.(?P<process>\d+)-\d+\.tmp", re.DOTALL)
"""Pattern of a temporary name without its suffix."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success move it there, on any error remove it.

    The temporary name begins with a dot and keeps the suffix, because some writers choose the format by it. It
    contains the ids of process and thread, so two writers never share one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    with _moved(temporary, path):
        yield Path(temporary)


def write_bytes(path: str | Path, data: bytes, top: str | Path | None = None) -> None:
    """Write ``data`` to ``path`` atomically. Create missing parent folders, only those below ``top`` if that is given.

    It makes as few system calls as possible, because an archive has a million masks.
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
    """Remove temporary files of ``path`` that ended processes left behind (``kill -9``, a power cut)."""
    stem = path.stem[:STEM_CHARACTERS]
    with contextlib.suppress(OSError):
        with os.scandir(path.parent) as entries:  # there may be a million masks
            names = [entry.name for entry in entries if entry.name.startswith(".") and entry.name.endswith(path.suffix)]
        for entry in map(path.parent.joinpath, names):
            found = TEMPORARY.fullmatch(entry.stem) if entry.suffix == path.suffix else None
            if found and _is_of(found["stem"], stem) and not is_running(int(found["process"])):
                with contextlib.suppress(OSError):
                    entry.unlink()


def _is_of(written: str, stem: str) -> bool:
    """Return whether ``written``, the stem in a temporary name, is ``stem`` or that of a temporary file of ``stem``."""
    within = re.escape(f".{stem}.") + r"\d+-\d+\.tmp"
    return (
        written == stem
        or (len(written) == STEM_CHARACTERS and written.startswith(f".{stem}."[:STEM_CHARACTERS]))
        or (re.fullmatch(within, written) is not None)
    )


def is_running(process: int) -> bool:
    """Return whether the process is running; always True on Windows, where the check would end it."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # the process belongs to another user
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
        if isinstance(error, OSError) and error.filename is None:  # as for a full disk
            error.filename = os.fspath(path)
        raise


def require_writable(path: Path, option: str) -> None:
    """Raise :class:`WriteError` unless the file ``path`` of ``option`` can be written. Its content does not change.

    Missing parent folders are created. Call this before the work whose result goes into the file.
    """
    if os.path.isdir(path):
        raise WriteError(f"{option} {path} is a folder; expected the name of a file. Add one: {path / 'NAME'}.")
    _try_new(path, option)


def require_folder(path: Path, option: str) -> None:
    """Create the folder ``path`` of ``option``. Raises :class:`WriteError` where files cannot be created in it."""
    _try_new(path / "tried", option)


def _try_new(path: Path, option: str) -> None:
    try:
        with contextlib.suppress(_Tried), replacing(path) as temporary:
            temporary.touch()
            raise _Tried
        os.stat(path)  # the name may be too long although the temporary one is not
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_write(path, option, error) from error


class _Tried(Exception):
    pass


def _cannot_write(path: Path, option: str, error: OSError) -> WriteError:
    return WriteError(
        f"{option} {error.filename or path} cannot be written: {error.strerror or error}. Expected a writable place "
        "with free space. Name another one."
    )


LONGEST_NAME = 100
"""Longest name, in bytes, that :func:`safe_name` keeps whole."""
UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
"""Characters that some operating system does not allow in file names."""


def safe_name(text: str) -> str:
    """Return ``text`` as part of a file name: unsafe characters become ``_``; long texts are cut and get a hash."""
    name = UNSAFE.sub("_", text)
    if len(name.encode(errors="surrogateescape")) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{name[: LONGEST_NAME // 4]}-{digest}"


def json_text(values: Any) -> str:
    """Return ``values`` as JSON with a line break at the end; NaN and infinity, which JSON lacks, become null."""
    return json.dumps(_finite(values), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def has_content(path: str | Path) -> bool:
    """Return whether the file exists and is not empty."""
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path`` atomically; missing parent folders are created."""
    write_bytes(path, text.encode())


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
