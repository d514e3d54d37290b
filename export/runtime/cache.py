"""Cache between runs, in the user's cache folder: measurements, and the results that devices must give.

Nothing in it is needed: entries that are missing, damaged, or of another model, CPU or version are made again, and a
folder that cannot be written, or that others can write to, is ignored. Optimised models of engines are not cached: they
would be opened unchecked, to save little time. TensorRT's engines are, because they take minutes to build, in their own
folders and without a checksum; like all sessions they are verified when they are opened.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from seglab.files import write_bytes

ENVIRONMENT = "SEGLAB_CACHE"
"""Environment variable that names another folder."""
RESTRICTING = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables that make OpenVINO use less of a CPU."""
ENGINES = ("seglab", "onnxruntime-gpu", "onnxruntime", "openvino", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13")
"""Packages whose versions affect the results and availability of devices."""
MOST_ENTRIES = 200
DIGEST = hashlib.sha256().digest_size
PATIENCE_SECONDS = 30.0


def cache_folder() -> Path:
    """Return the cache folder, which need not exist."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    import platformdirs

    return platformdirs.user_cache_path("seglab", appauthor=False)


def key(*parts: object) -> str:
    """Return a key for these values, this CPU and the versions of the engines."""
    whole = [*parts, _versions(), _cpu(), [os.environ.get(name) for name in RESTRICTING]]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:24]


def read(name: str) -> bytes | None:
    """Return what is cached under a name; None if it is missing or damaged."""
    folder = cache_folder()
    with contextlib.suppress(OSError):
        if _is_ours(folder) and (folder / name).is_file():  # reading a pipe would block
            data = (folder / name).read_bytes()
            digest, content = data[:DIGEST], data[DIGEST:]
            if hashlib.sha256(content).digest() == digest:
                return content
    return None


def write(name: str, content: bytes) -> None:
    """Cache something under a name, after its SHA-256, if possible; the oldest of too many is removed."""
    with contextlib.suppress(OSError):
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if _is_ours(folder):
            write_bytes(folder / name, hashlib.sha256(content).digest() + content)
            _thin_out(folder)


def forget(name: str) -> None:
    """Remove what is cached under a name."""
    with contextlib.suppress(OSError):
        (cache_folder() / name).unlink()


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Let processes that would make the same entry take turns, so that the later ones find it made."""
    import filelock

    folder = cache_folder()
    lock = filelock.FileLock(folder / f"{name}.lock", timeout=PATIENCE_SECONDS)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _is_ours(folder):
            raise PermissionError(f"{folder} belongs to others")
        lock.acquire()
    except (OSError, filelock.Timeout, NotImplementedError):  # no folder or no locks: each process makes its own
        yield
        return
    try:
        yield
    finally:
        lock.release()


def subfolder(name: str) -> Path | None:
    """Return a folder for an engine's own files; None if it cannot be made."""
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _is_ours(folder):
            return None
        (folder / name).mkdir(exist_ok=True)
    except OSError:
        return None
    return folder / name


def _is_ours(folder: Path) -> bool:
    """Return whether only this user can write to the folder; on Windows, True."""
    if not hasattr(os, "geteuid"):
        return True
    status = folder.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _thin_out(folder: Path) -> None:
    files = [entry for entry in folder.iterdir() if entry.is_file() and entry.suffix != ".lock"]
    entries = sorted(files, key=lambda entry: entry.stat().st_mtime)
    for entry in entries[:-MOST_ENTRIES]:
        entry.unlink(missing_ok=True)


@functools.cache
def _versions() -> list[str]:
    found = []
    for package in ENGINES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{package} {metadata.version(package)}")
    return found


@functools.cache
def _cpu() -> str:
    """Describe the CPU: its vector units decide what is fast, and the last digits of results."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        wanted = ("model name", "flags", "Features", "CPU part")
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith(wanted)]
        return "|".join(dict.fromkeys(lines))
    return platform.machine()
