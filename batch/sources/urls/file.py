"""One file at a URL, fetched when it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from batch.sources.bytes import MAX_FILE_BYTES, MOST_UNPACKED_BYTES, Read, nanoseconds, require_bounded
from batch.sources.image_ref import UNKNOWN, ImageRef, Origin, SourceReport
from batch.storage import Storage
from seglab.errors import ImageError

PAGE = "An HTML page came instead of an image: a login or error page. Check the URL and your account."


@dataclass(frozen=True, slots=True)
class RemoteBytes:
    """A file of storage. ``bytes``, ``mtime_ns``, ``version``: as listed."""

    storage: Storage
    path: str
    bytes: int
    mtime_ns: int
    version: str = ""
    held: ClassVar[int] = 0

    def read(self, limit: int = MAX_FILE_BYTES) -> Read:
        """Fetch it. Raises :class:`ImageError`; :class:`batch.errors.SourceLostError` if no image can be fetched."""
        limit = min(limit, MOST_UNPACKED_BYTES)
        require_bounded(self.bytes, limit, "Save a smaller copy, or fetch it and name the file.")
        answer = self.storage.fetch(self.path, limit)
        length = len(answer.data)
        if self.storage.is_web:
            if answer.is_page:
                raise ImageError(PAGE)
            mtime_ns = nanoseconds(answer.changed) if self.mtime_ns else 0
            return Read(answer.data, length, mtime_ns, answer.version if self.version else "")
        if self.bytes not in (UNKNOWN, length):
            raise ImageError(f"It has {length} bytes; the listing said {self.bytes}. Run again to retry.")
        return Read(answer.data, length, self.mtime_ns, self.version)


@dataclass(frozen=True)
class FileAtUrl:
    """The one file at a URL."""

    origin: Origin
    image: ImageRef

    def items(self, _report: SourceReport) -> Iterator[ImageRef]:
        """Yield the image."""
        yield self.image

    def names(self) -> Iterator[str]:
        """Yield its URL."""
        yield self.image.path
