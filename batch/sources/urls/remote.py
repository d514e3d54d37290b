"""Images below a storage URL: listed folder by folder, fetched when they are read. Web servers: ``web.py``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from batch.errors import SourceError, printable
from batch.sources.archives.archive import is_archive
from batch.sources.bytes import nanoseconds
from batch.sources.image_ref import UNKNOWN, ImageRef, Origin, SourceReport, below, suffix_of
from batch.sources.left_out import is_below_hidden
from batch.sources.source import Opening, Source
from batch.sources.urls.file import FileAtUrl, RemoteBytes
from batch.sources.urls.listing import cannot_list, nameless, nothing_at, pass_over, require_listed
from batch.sources.urls.remote_archive import remote_archive
from batch.storage import NOT_THERE, Storage, is_url, reason
from batch.urls import path_part, public_url

CHANGE_TIMES = ("LastModified", "last_modified", "mtime", "updated")
VERSIONS = ("ETag", "etag")


@dataclass(frozen=True)
class FolderAtUrl:
    """The images below a URL. ``first``: the listing of the folder itself, made when it was opened."""

    storage: Storage
    origin: Origin
    suffixes: frozenset[str]
    first: list[list[dict[str, Any]]] = field(default_factory=list)

    def items(self, report: SourceReport) -> Iterator[ImageRef]:
        """Yield the images, as the storage lists them."""
        return images_among(self._files(report), self.storage, self.origin, self.suffixes, report)

    def names(self) -> None:
        """Return None: listing storage is slow, and the walk does it anyway."""

    def _files(self, report: SourceReport) -> Iterator[dict[str, Any]]:
        """Yield the files folder by folder, each sorted and each listed once, without holding the whole listing."""
        stack, seen, unlisted = [self.storage.root], {self.storage.root.rstrip("/")}, 0
        while stack:
            folder = stack.pop()
            try:
                listing = sorted(self._list(folder), key=lambda entry: str(entry["name"]))
                unlisted = 0
            except FileNotFoundError:
                continue
            except Exception as error:  # each storage has its own errors
                unlisted += 1
                report.unreadable.append(cannot_list(self._url(folder), reason(error)))
                require_listed(unlisted, self.storage)
                continue
            yield from (entry for entry in listing if entry["type"] == "file")
            for entry in reversed(listing):
                if entry["type"] == "directory":
                    self._push(str(entry["name"]), stack, seen, report)

    def _list(self, folder: str) -> list[dict[str, Any]]:
        return self.first.pop() if self.first and folder == self.storage.root else self.storage.listing(folder)

    def _push(self, folder: str, stack: list[str], seen: set[str], report: SourceReport) -> None:
        """Add a folder to list. A nameless one (``a//b.jpg``) cannot be listed: it looks like its parent."""
        if folder.rstrip("/") in seen:
            report.unreadable.append(nameless(self._url(folder)))
            return
        seen.add(folder.rstrip("/"))
        stack.append(folder)

    def _url(self, path: str) -> str:
        return url_of(self.storage, path)


def images_among(
    files: Iterable[dict[str, Any]], storage: Storage, origin: Origin, suffixes: frozenset[str], report: SourceReport
) -> Iterator[ImageRef]:
    """Yield the images among the files of a folder, in their order. ``files``: fsspec's details of each."""
    for details in files:
        path = str(details["name"])
        name = path.removeprefix(storage.root).lstrip("/")
        if is_below_hidden(name):
            report.hidden += 1
        elif suffix_of(name) in suffixes:
            yield _ref(storage, details, origin, below(name))
        elif name and not name.endswith("/"):  # a name that ends in / marks a folder
            pass_over(name, url_of(storage, path), report)


def folder_origin(storage: Storage) -> Origin:
    """Return the folder at a URL as the ledger knows it."""
    return Origin(storage.public, url_of(storage, storage.root), storage.root.rstrip("/").rsplit("/", 1)[-1])


def url_of(storage: Storage, path: str) -> str:
    """Return the URL of a path on the storage, without secrets."""
    return public_url(str(storage.files.unstrip_protocol(path)))


def open_url(source: str, opening: Opening) -> Source | None:
    """Return the source for a URL: images, or the archive there; None for other names. Raises :class:`SourceError`."""
    if not is_url(source):
        return None
    storage = Storage(source)
    if is_archive(path_part(source)):
        return remote_archive(storage, opening)
    if storage.is_web:
        from batch.sources.urls.web import open_web

        return open_web(storage, opening.suffixes)
    return _open_storage(storage, opening.suffixes)


def _open_storage(storage: Storage, suffixes: frozenset[str]) -> Source:
    details = storage.info(storage.root)
    if details is not None and details.get("type") == "file" and not storage.url.endswith("/"):
        origin = Origin(storage.public)
        return FileAtUrl(origin, _ref(storage, details, origin, below(storage.root.rsplit("/", 1)[-1])))
    try:
        first = storage.listing(storage.root)
    except FileNotFoundError:
        first = []
    except Exception as error:  # each storage has its own errors
        raise SourceError(f"{printable(storage.url)} cannot be read: {reason(error)}; {NOT_THERE}") from error
    if not first:
        raise nothing_at(storage)
    return FolderAtUrl(storage, folder_origin(storage), suffixes, [first])


def _ref(storage: Storage, details: dict[str, Any], origin: Origin, relative: str) -> ImageRef:
    size, mtime_ns = details.get("size"), _change_time(details)
    size = UNKNOWN if size is None else int(size)
    tag = next((str(details[name]).replace('"', "") for name in VERSIONS if details.get(name)), "")
    version = f"etag:{tag}" if tag else ""
    path = str(details["name"])
    content = RemoteBytes(storage, path, size, mtime_ns, version)
    return ImageRef(url_of(storage, path), relative, origin, size, mtime_ns, content, version)


def _change_time(details: dict[str, Any]) -> int:
    """Return the modification time in nanoseconds, 0 if the storage does not give it."""
    for name in CHANGE_TIMES:
        value = details.get(name)
        if isinstance(value, datetime):
            return nanoseconds(value.timestamp())
        if isinstance(value, (int, float)):
            return nanoseconds(value)
    return 0
