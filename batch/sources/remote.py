"""Images below a URL: listed folder by folder, fetched when they are read; archives, read in parts or streamed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from batch.errors import SourceError, printable
from batch.sources.archive import ZIP_SUFFIX, ArchiveSource, is_archive, stem
from batch.sources.bytes import Read, nanoseconds, require_bounded
from batch.sources.image_ref import UNKNOWN, ImageRef, Origin, SourceReport, suffix_of
from batch.sources.source import Opening, Source
from batch.storage import NOT_THERE, connect, first_line, is_url, storage_errors
from seglab.errors import ImageError

CHANGE_TIMES = ("LastModified", "last_modified", "mtime", "updated")


@dataclass(frozen=True, slots=True)
class RemoteBytes:
    """A file of a file system of fsspec's."""

    files: Any
    path: str
    bytes: int
    mtime_ns: int
    held: ClassVar[int] = 0

    def read(self) -> Read:
        """Fetch it. Raises :class:`ImageError`."""
        require_bounded(self.bytes)
        try:
            data: bytes = self.files.cat_file(self.path)
        except Exception as error:  # each storage has errors of its own
            raise ImageError(f"It cannot be fetched: {first_line(error)}. Run again to try again.") from error
        if self.bytes not in (UNKNOWN, len(data)):
            raise ImageError(f"It has {len(data)} bytes; the listing said {self.bytes}. Run again to try again.")
        return Read(data, len(data) if self.bytes == UNKNOWN else self.bytes, self.mtime_ns)


@dataclass(frozen=True)
class RemoteSource:
    """The images below a URL, or the one that it names. Raises :class:`SourceError` at once where there is nothing."""

    source: str
    suffixes: frozenset[str]

    @property
    def origin(self) -> Origin:
        """The folder at the URL; a file there is named by itself."""
        files, root = connect(self.source)
        if self._single() is not None:
            return Origin(self.source)
        return Origin(self.source, files.unstrip_protocol(root), root.rstrip("/").rsplit("/", 1)[-1])

    def __post_init__(self) -> None:
        if self._single() is None and next(self._below(), None) is None:
            raise SourceError(f"Nothing is at {printable(self.source)}; {NOT_THERE}")

    def items(self, report: SourceReport) -> Iterator[ImageRef]:
        """Yield the images, as the storage lists them."""
        files, root = connect(self.source)
        single, origin = self._single(), self.origin
        if single is not None:
            yield _item(files, single, root, origin, root.rsplit("/", 1)[-1])
            return
        for path, details in self._below():
            relative = path.removeprefix(root).lstrip("/")
            if any(part.startswith(".") for part in relative.split("/")):
                report.hidden += 1
            elif suffix_of(path) in self.suffixes:
                yield _item(files, details, path, origin, relative)
            else:
                report.others[suffix_of(path)] += 1

    def names(self) -> None:
        """Return None: listing storage takes its time, once is enough."""

    def _single(self) -> dict[str, Any] | None:
        """Return the details of what the URL names, if that is one file."""
        files, root = connect(self.source)
        with storage_errors(self.source):
            try:
                details: dict[str, Any] = files.info(root)
            except FileNotFoundError:
                return None
        is_file = details.get("type") == "file" and not self.source.endswith("/")
        return details if is_file else None

    def _below(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (path, details) folder by folder, each sorted, without holding the whole listing."""
        files, root = connect(self.source)
        stack = [root]
        while stack:
            with storage_errors(self.source):
                try:
                    listing = sorted(files.ls(stack.pop(), detail=True), key=lambda entry: str(entry["name"]))
                except FileNotFoundError:
                    continue
            yield from ((entry["name"], entry) for entry in listing if entry["type"] == "file")
            stack += [entry["name"] for entry in reversed(listing) if entry["type"] == "directory"]


def open_url(source: str, opening: Opening) -> Source | None:
    """Return the images at a URL, or those of the archive there."""
    if not is_url(source):
        return None
    if is_archive(source):
        return _remote_archive(source, opening.suffixes)
    return RemoteSource(source, opening.suffixes)


def _remote_archive(source: str, suffixes: frozenset[str]) -> ArchiveSource:
    """Return the images of a zip or tar at a URL: a zip is read in parts, a tar as a stream."""
    files, path = connect(source)
    with storage_errors(source):
        if not files.exists(path):
            raise SourceError(f"Nothing is at {printable(source)}; {NOT_THERE}")
    streamed = source.startswith("http") and not source.lower().endswith(ZIP_SUFFIX)
    options = {"block_size": 0} if streamed else {}  # many web servers cannot give a part of a file
    return ArchiveSource(
        Origin(source, source, stem(source)), suffixes, opener=lambda: files.open(path, "rb", **options)
    )


def _item(files: Any, details: dict[str, Any], path: str, origin: Origin, relative: str) -> ImageRef:
    size = details.get("size")
    mtime_ns = _change_time(details)
    size = UNKNOWN if size is None else int(size)
    return ImageRef(
        files.unstrip_protocol(path), relative, origin, size, mtime_ns, RemoteBytes(files, path, size, mtime_ns)
    )


def _change_time(details: dict[str, Any]) -> int:
    """Return the time of change in nanoseconds, 0 where the storage does not say."""
    for name in CHANGE_TIMES:
        value = details.get(name)
        if isinstance(value, datetime):
            return nanoseconds(value.timestamp())
        if isinstance(value, (int, float)):
            return nanoseconds(value)
    return 0
