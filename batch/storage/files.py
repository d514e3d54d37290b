"""Read, write and list what is at a URL, with time limits and one layer of retries."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from batch.errors import SourceError, SourceLostError, printable
from batch.storage import web
from batch.storage.failures import Failure, failure_of, reason, retried, status_of, storage_errors
from batch.urls import URL, canonical, is_web, public_url
from seglab.errors import ImageError

INSTALL = 'Install it: pip install "seglab[remote]" (for gs:// also gcsfs, for az:// adlfs).'
CONNECT_SECONDS, READ_SECONDS = 10.0, 15.0
"""Time limits for a connection, and between two parts of an answer."""
REFUSED_IN_A_ROW = 5
"""After this many files in a row without permission, it is checked whether any file can be read."""
FAILED_IN_A_ROW = 50
"""After this many failed files in a row, the storage is to blame, not the files."""
NO_SUCH_PART = 416
EXISTS = 412
"""The answer to a conditional upload if there is such a file."""
LISTING_CACHE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl")
"""Storages that cache listings for the life of the process unless told not to."""

T = TypeVar("T")


def connect(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, without listing cache, and the path on it. Raises :class:`SourceError`."""
    try:
        import fsspec

        url = canonical(url)
        scheme = URL.match(url)
        files, path = fsspec.core.url_to_fs(url, **_options(scheme[0][:-3] if scheme else ""))
    except ImportError as error:
        raise SourceError(f"{printable(url)} needs a library that is not installed ({error}). {INSTALL}") from error
    except ValueError as error:
        said = printable(str(error))
        raise SourceError(
            f"{printable(url)} cannot be opened: {said}. Expected a URL like s3://, gs:// or https://."
        ) from error
    except Exception as error:  # some connect when they are created, and raise their library's errors
        raise SourceError(
            f"{printable(public_url(url))} cannot be opened: {reason(error)}; expected a server that answers. Check "
            "the URL and your connection."
        ) from error
    if hasattr(files, "retries"):
        files.retries = 1  # retries are made here, once for all storages: theirs would multiply
    return files, path


def _options(scheme: str) -> dict[str, Any]:
    """Return the options of a file system. The user's own fsspec settings take precedence."""
    import fsspec

    own = fsspec.config.conf.get(scheme, {})
    if scheme in ("http", "https"):
        import aiohttp

        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        return {"client_kwargs": {"timeout": limits, **own.get("client_kwargs", {})}, "encoded": True}
    if scheme in ("s3", "s3a"):
        config = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"total_max_attempts": 1},
        }
        return {"use_listings_cache": False, "config_kwargs": {**config, **own.get("config_kwargs", {})}}
    return {"use_listings_cache": False} if scheme in LISTING_CACHE else {"skip_instance_cache": True}


@dataclass
class _Row:
    """The last files: ``good``, the last that was read; how many were refused or failed since then."""

    good: str | None = None
    refused: int = 0
    failed: int = 0


class Storage:
    """The storage at ``url``. ``public``: the URL without secrets. Can be pickled; another process connects anew.

    Raises :class:`SourceError` if it cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.files, self.root = connect(url)
        self.is_web = is_web(url)
        self.public = public_url(canonical(url))
        self._row, self._lock = _Row(), threading.Lock()

    def __reduce__(self) -> tuple[Callable[[str], Storage], tuple[str]]:
        return _reopened, (self.url,)

    def info(self, path: str) -> dict[str, Any] | None:
        """Return fsspec's details of a file or folder, None if it does not exist. Raises :class:`SourceError`."""
        with storage_errors(self.url):
            try:
                return cast("dict[str, Any]", self._tried(lambda: self.files.info(path)))
            except FileNotFoundError:
                return None

    def listing(self, path: str) -> list[dict[str, Any]]:
        """Return fsspec's details of the entries of a folder. Raises fsspec's errors."""
        return cast("list[dict[str, Any]]", self._tried(lambda: self.files.ls(path, detail=True)))

    def find(self, path: str) -> Sequence[str]:
        """Return the paths of all files below a folder. Raises fsspec's errors."""
        return cast("Sequence[str]", self._tried(lambda: self.files.find(path)))

    def look(self) -> web.Answer | None:
        """Ask a web server what is at the URL; None if nothing is. Raises :class:`SourceError`."""
        with storage_errors(self.url):
            try:
                return self._tried(lambda: web.look(self.files, self.root))
            except FileNotFoundError:
                return None

    def page(self, url: str, most: int) -> web.Answer:
        """Fetch a page from a web server. Raises :class:`SourceError`, :class:`FileNotFoundError`."""
        with storage_errors(url):
            return self._tried(lambda: web.get(self.files, url, most))

    def heads(self, urls: list[str]) -> list[web.Answer | None]:
        """Ask a web server about several files; None for those that it does not answer for."""
        return web.heads(self.files, urls)

    def fetch(self, path: str, most: int) -> web.Answer:
        """Fetch an image. Raises :class:`ImageError` if it fails, :class:`SourceLostError` if every image would."""
        try:
            answer = self._tried(lambda: self._fetch(path, most))
        except ImageError:
            raise
        except Exception as error:  # each storage has its own errors
            self._require_alive(error, most)
            raise ImageError(f"It cannot be fetched: {reason(error)}. Run again to retry.") from error
        with self._lock:
            self._row = _Row(good=path)
        return answer

    def write(self, path: str, data: bytes) -> None:
        """Upload a file. Raises fsspec's errors."""
        self._tried(lambda: self.files.pipe_file(path, data))

    def create(self, path: str, data: bytes) -> bool:
        """Upload a file on the condition that there is none; return False if there is. Raises fsspec's errors.

        After a lost answer, False may also mean that the file was created by this very call.
        """
        try:
            self._tried(lambda: self.files.pipe_file(path, data, mode="create"))
        except Exception as error:  # each storage has its own errors
            if isinstance(error, FileExistsError) or status_of(error) == EXISTS:
                return False
            raise
        return True

    def upload(self, path: str, file: Path) -> None:
        """Upload a local file, in several parts if it is large. Raises fsspec's errors."""
        self._tried(lambda: self.files.put_file(str(file), path))

    def download(self, path: str, file: Path) -> None:
        """Fetch a file to a local path. Raises fsspec's errors."""
        self._tried(lambda: self.files.get_file(path, str(file)))

    def read(self, path: str) -> bytes:
        """Return a file's content. Raises fsspec's errors."""
        return self._tried(lambda: bytes(self.files.cat_file(path)))

    def read_end(self, path: str, size: int) -> bytes:
        """Return about the last ``size`` bytes of a file, all of a shorter one. Raises fsspec's errors."""
        try:
            return self._tried(lambda: bytes(self.files.cat_file(path, start=-size)))
        except Exception as error:  # each storage has its own errors
            if status_of(error) != NO_SUCH_PART:
                raise
            return b""  # an empty file has no last byte

    def remove(self, path: str) -> None:
        """Remove a file. Raises fsspec's errors."""
        self._tried(lambda: self.files.rm_file(path))

    def open(self, path: str, **options: Any) -> IO[bytes]:
        """Open a file for reading. Raises fsspec's errors."""
        return cast("IO[bytes]", self._tried(lambda: self.files.open(path, "rb", **options)))

    def _tried(self, action: Callable[[], T]) -> T:
        try:
            return retried(action)
        except Exception as error:  # each storage has its own errors
            if failure_of(error) in (Failure.LOST, Failure.DOUBTED, Failure.REFUSED):
                type(self.files).clear_instance_cache()  # a later run of this process must ask for new credentials
            raise

    def _fetch(self, path: str, most: int) -> web.Answer:
        if self.is_web:
            return web.get(self.files, path, most)
        try:  # one byte more than allowed shows whether there is more
            data = bytes(self.files.cat_file(path, start=0, end=most + 1))
        except Exception as error:
            if status_of(error) != NO_SUCH_PART:
                raise
            data = b""  # an empty file has not even a first byte
        web.require_most(len(data), most)
        return web.Answer(path, data=data)

    def _require_alive(self, error: Exception, most: int) -> None:
        """Count a failure. Raises :class:`SourceLostError` if every other file would fail as well."""
        failure = failure_of(error)
        with self._lock:
            row = self._row
            row.refused += failure is Failure.REFUSED
            row.failed += failure in (Failure.PASSING, Failure.REFUSED)
        if row.failed >= FAILED_IN_A_ROW:
            raise self._lost(error) from error
        is_doubted = failure is Failure.DOUBTED or (failure is Failure.REFUSED and row.refused >= REFUSED_IN_A_ROW)
        if failure is Failure.LOST or (is_doubted and not self._lets_in(error, row, most)):
            raise self._lost(error) from error
        if is_doubted:
            row.refused = 0

    def _lets_in(self, error: Exception, row: _Row, most: int) -> bool:
        """Return whether the last readable file can still be read, or, if there was none, the folder be listed."""
        try:
            if row.good is not None:
                self._fetch(row.good, most)
            elif status_of(error) == 401:
                return False
            elif self.is_web:
                web.look(self.files, self.root)
            else:
                self.files.ls(self.root)
        except Exception as other:  # each storage has its own errors
            return failure_of(other) is Failure.OTHER
        return True

    def _lost(self, error: Exception) -> SourceLostError:
        return SourceLostError(
            f"{printable(self.url)} cannot be read any more: {reason(error)}; expected storage that answers, and "
            "credentials that are valid until the end of the run. Renew them or wait, then run again to continue."
        )


@functools.lru_cache(maxsize=64)
def _reopened(url: str) -> Storage:
    return Storage(url)
