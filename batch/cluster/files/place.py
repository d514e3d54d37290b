"""Where a job is: a folder on a shared disk, or a bucket. A file there exists completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from batch.errors import OutputError, printable
from batch.storage import Storage, as_os_error, is_url, reason
from batch.urls import is_web
from seglab.errors import ConfigError
from seglab.files import write_bytes

UNFINISHED = ".part"
ONE_SLASH = re.compile(r"[a-z][a-z0-9+.-]+:/(?!/)", re.IGNORECASE)
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
ROOM = "Expected free space for it"
EXPECTED = "Expected a job that this account may list, read and write, on storage that answers"


class Place(Protocol):
    """The files of a job by their names (with ``/``), for any thread.

    Errors are :class:`OutputError`, except :class:`FileNotFoundError` for a file that is not there.
    """

    name: str

    def read(self, name: str) -> bytes:
        """Return a file's content."""

    def read_end(self, name: str, size: int) -> bytes:
        """Return the last ``size`` bytes of a file, all of a shorter one."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a file that does not exist. Return False if one of this name exists: it is not changed."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, replacing one of the same name."""

    def upload(self, name: str, file: Path) -> None:
        """Copy a local file here; on a disk it is flushed before this returns."""

    def download(self, name: str, file: Path) -> None:
        """Copy a file to a local path."""

    def names(self, folder: str = "") -> list[str]:
        """Return the names directly in a folder, sorted; none if there is no such folder."""

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""

    def where(self, name: str = "") -> str:
        """Return the path or URL of a file, for messages."""

    def below(self, folder: str) -> Place:
        """Return a folder as a place."""


def place_of(name: str) -> Place:
    """Return the place that a path or URL names. Raises :class:`ConfigError`, :class:`batch.errors.SourceError`."""
    if ONE_SLASH.match(name) and not Path(name).exists():
        raise ConfigError(
            f"{printable(name)} has one slash after the colon; expected s3://BUCKET/NAME, or a folder that all "
            "machines share. Correct it."
        )
    if is_web(name):
        raise ConfigError(
            f"A job cannot be at {printable(name)}: a web server takes no files. Expected a folder that all machines "
            "share, or s3://BUCKET/NAME."
        )
    return UrlPlace(name.rstrip("/")) if is_url(name) else FolderPlace(Path(name).absolute())


class FolderPlace:
    """A folder on a disk that all machines share."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, str(folder)

    def read(self, name: str) -> bytes:
        """Return the file's content."""
        with self._errors(name):
            return (self.folder / name).read_bytes()

    def read_end(self, name: str, size: int) -> bytes:
        """Return the end of the file."""
        with self._errors(name), open(self.folder / name, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read(size)

    def create(self, name: str, data: bytes) -> bool:
        """Write beside the name, and link: a link is made only if the name is free."""
        path = self.folder / name
        with self._errors(name), self._unfinished(path) as (unfinished, file):
            file.write(data)
            _flush(file)
            try:
                os.link(unfinished, path)
            except FileExistsError:
                return False
            return True

    def write(self, name: str, data: bytes) -> None:
        """Write the file."""
        with self._errors(name):
            write_bytes(self.folder / name, data)

    def upload(self, name: str, file: Path) -> None:
        """Copy the file, and move it into place."""
        path = self.folder / name
        with self._errors(name), open(file, "rb") as source, self._unfinished(path) as (unfinished, target):
            shutil.copyfileobj(source, target)
            _flush(target)
            os.replace(unfinished, path)

    def download(self, name: str, file: Path) -> None:
        """Copy the file."""
        with self._errors(name):
            shutil.copyfile(self.folder / name, file)

    def names(self, folder: str = "") -> list[str]:
        """Return the names in the folder."""
        with self._errors(folder):
            try:
                return sorted(os.listdir(self.folder / folder))
            except FileNotFoundError:
                return []

    def remove(self, name: str) -> None:
        """Remove the file."""
        with self._errors(name):
            (self.folder / name).unlink(missing_ok=True)

    def where(self, name: str = "") -> str:
        """Return the path."""
        return str(self.folder / name)

    def below(self, folder: str) -> Place:
        """Return the folder as a place."""
        return FolderPlace(self.folder / folder)

    @contextlib.contextmanager
    def _unfinished(self, path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
        """Yield a new file beside ``path``, with its path; it is removed if it is still there at the end."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.urandom(6).hex()}{UNFINISHED}")
        try:
            with open(unfinished, "xb") as file:
                yield unfinished, file
        finally:
            unfinished.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _lost(self.where(name), error) from error


class UrlPlace:
    """A folder of a bucket."""

    def __init__(self, url: str) -> None:
        self._storage = Storage(url)
        self.name, self._root = url, self._storage.root.rstrip("/")

    def read(self, name: str) -> bytes:
        """Fetch the file."""
        with self._errors(name):
            return self._storage.read(self._path(name))

    def read_end(self, name: str, size: int) -> bytes:
        """Fetch the end of the file."""
        with self._errors(name):
            return self._storage.read_end(self._path(name), size)

    def create(self, name: str, data: bytes) -> bool:
        """Upload the file on the condition that there is none."""
        with self._errors(name, writes=True):
            return self._storage.create(self._path(name), data)

    def write(self, name: str, data: bytes) -> None:
        """Upload the file."""
        with self._errors(name, writes=True):
            self._storage.write(self._path(name), data)

    def upload(self, name: str, file: Path) -> None:
        """Upload the file, in several parts if it is large."""
        with self._errors(name, writes=True):
            self._storage.upload(self._path(name), file)

    def download(self, name: str, file: Path) -> None:
        """Fetch the file."""
        with self._errors(name):
            self._storage.download(self._path(name), file)

    def names(self, folder: str = "") -> list[str]:
        """List the folder."""
        path = self._path(folder)
        with self._errors(folder):
            try:
                entries = self._storage.listing(path)
            except FileNotFoundError:
                return []
        found = (str(entry["name"]).rstrip("/").removeprefix(path).lstrip("/") for entry in entries)
        return sorted(filter(None, found))

    def remove(self, name: str) -> None:
        """Remove the file."""
        with contextlib.suppress(FileNotFoundError), self._errors(name):
            self._storage.remove(self._path(name))

    def where(self, name: str = "") -> str:
        """Return the URL, without secrets."""
        return f"{self._storage.public.rstrip('/')}/{name}".rstrip("/")

    def below(self, folder: str) -> Place:
        """Return the folder as a place."""
        return UrlPlace(f"{self.name}/{folder}")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    @contextlib.contextmanager
    def _errors(self, name: str, *, writes: bool = False) -> Iterator[None]:
        try:
            with as_os_error(self.where(name)):
                yield
        except FileNotFoundError as error:
            if writes:
                raise _lost(self.where(name), OSError(2, "there is no such bucket")) from error
            raise
        except OSError as error:
            raise _lost(self.where(name), error) from error


def _lost(where: str, error: OSError) -> OutputError:
    said = error.strerror or reason(error)
    expected = ROOM if error.errno in NO_ROOM else EXPECTED
    return OutputError(f"{printable(where)} cannot be used: {said}. {expected}. Correct that, and repeat the command.")


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def local_folder(place: Place) -> Path | None:
    """Return the folder of a place on a disk; None for a bucket."""
    return place.folder if isinstance(place, FolderPlace) else None
