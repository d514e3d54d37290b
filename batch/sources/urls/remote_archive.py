"""A zip or tar at a URL: a zip is read in parts, a tar as a stream.

If a web server does not support range requests, a zip is first fetched completely into a temporary file.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import IO, Any, cast

from batch.errors import SourceError, printable
from batch.sources.archives.archive import ZIP_SUFFIX, ArchiveSource, stem
from batch.sources.image_ref import Origin
from batch.sources.source import Opening
from batch.storage import NOT_THERE, Storage, reason, storage_errors
from batch.storage.failures import retried
from batch.storage.web import gives_parts
from batch.urls import path_part

MOST_FETCHED_BYTES = 8 * 2**30
"""Limit for a zip that must be fetched completely."""
CHUNK = 1 << 20
FETCHED = "archive.zip"


def remote_archive(storage: Storage, opening: Opening) -> ArchiveSource:
    """Return the source for the archive at a URL. Raises :class:`SourceError`."""
    name = path_part(storage.public)
    opener = _Opener(storage, is_zip=name.lower().endswith(ZIP_SUFFIX))
    origin = Origin(storage.public, storage.public, stem(name))
    return ArchiveSource(origin, opening.suffixes, opener, opening.zip_encoding)


class _Opener:
    """Opens the archive as often as it is called.

    Can be pickled; other processes receive what this one learned: the size of a zip whose server supports range
    requests, or the file that it was fetched to. That file exists as long as the opener that fetched it.
    """

    def __init__(self, storage: Storage, *, is_zip: bool) -> None:
        self._storage, self._is_zip = storage, is_zip
        self._size: int | None = None
        self._fetched: Path | None = None
        self._asked = False

    def __call__(self) -> IO[bytes]:
        with storage_errors(self._storage.url):
            try:
                return self._open()
            except FileNotFoundError as error:
                raise SourceError(f"There is nothing at {printable(self._storage.url)}; {NOT_THERE}") from error

    def _open(self) -> IO[bytes]:
        storage = self._storage
        if not storage.is_web:
            return _steady(storage.open(storage.root), may_seek=True)
        if not self._is_zip:
            return _steady(self._stream(), may_seek=False)
        if not self._asked:
            self._size = retried(lambda: gives_parts(storage.files, storage.root))
            self._asked = True
        if self._size is not None:
            return _steady(storage.open(storage.root, size=self._size), may_seek=True)
        if self._fetched is None:
            self._fetched = self._fetch()
        return _steady(self._copy(self._fetched), may_seek=True)

    def _copy(self, path: Path) -> IO[bytes]:
        try:
            return path.open("rb")
        except OSError as error:
            raise SourceError(
                f"The copy of {printable(self._storage.url)} in the folder for temporary files cannot be read: "
                f"{error.strerror}. It must stay there until the run ends. Run again to continue."
            ) from error

    def _stream(self) -> IO[bytes]:
        # A size that is given is neither requested nor used: many servers do not know it.
        return self._storage.open(self._storage.root, block_size=0, size=1)

    def _fetch(self) -> Path:
        """Fetch the whole archive into a folder that is removed with this opener."""
        folder = tempfile.mkdtemp(prefix="seg-batch-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder, FETCHED)
        with _steady(self._stream(), may_seek=False) as stream, path.open("wb") as file:
            while chunk := stream.read(CHUNK):
                file.write(chunk)
                if file.tell() > MOST_FETCHED_BYTES:
                    raise SourceError(
                        f"{printable(self._storage.url)} has more than {MOST_FETCHED_BYTES / 2**30:.0f} GiB, and its "
                        "server does not support range requests. Download the archive, and name the file."
                    )
        return path


def _steady(file: IO[bytes], *, may_seek: bool) -> IO[bytes]:
    return cast("IO[bytes]", SteadyFile(file, may_seek=may_seek))


class SteadyFile(io.RawIOBase):
    """A file of storage that retries reads after temporary failures, and raises :class:`OSError`.

    ``may_seek``: False for a stream, which cannot be read again and so is not retried.
    """

    def __init__(self, file: IO[bytes], *, may_seek: bool) -> None:
        self._file, self._may_seek = file, may_seek

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return whether it supports random access."""
        return self._may_seek

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to another position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position of the next read."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes. Raises :class:`OSError`."""
        try:
            return retried(self._reading(size)) if self._may_seek else self._file.read(size)
        except Exception as error:  # each storage has its own errors
            raise OSError(5, reason(error)) from error

    def _reading(self, size: int) -> Any:
        at = self._file.tell()

        def read() -> bytes:
            self._file.seek(at)
            return self._file.read(size)

        return read

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            self._file.close()
        super().close()
