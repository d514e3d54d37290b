"""Lists of files: one path per line, or NUL-separated (``find -print0``), in a file or a stream."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO
from urllib.parse import unquote, urlsplit

from batch.errors import SourceError
from batch.sources.ahead import map_ahead
from batch.sources.archives.archive import is_archive, looks_like_tar, open_archive, stem
from batch.sources.bytes import NoBytes
from batch.sources.folders.folder import open_folder
from batch.sources.image_ref import UNKNOWN, ImageRef, Origin, SourceReport, below, file_ref
from batch.sources.lists.list_text import Entry, is_binary, read_entries
from batch.sources.lists.stream import BEGINNING, open_stream, spoken, unreadable, with_beginning
from batch.sources.source import Opening, Source
from batch.sources.urls.remote import open_url
from batch.storage import is_url
from seglab.images.kinds import archive_kind, document_kind, picture_kind

NO_PATHS = "list entries with control characters or too long for a path; correct the list"
URL_ARCHIVES = "archives at URLs in a list; name them as sources"
LOCAL_URL = "file://"
SHOWN = 80
"""Characters shown of an entry that cannot be a path."""
URL_THREADS = 16
"""URLs looked up at a time: each waits for its server."""
Opener = Callable[[str, Opening], Source | None]


@dataclass(frozen=True)
class ListSource:
    """The images of a list, in its order. A listed file that does not exist is yielded as an image that will fail.

    ``source``: path of the list; ``stream``: what to read instead of it, with its ``beginning``. Relative paths start
    from the working folder; masks mirror the paths as written. Folders and archives in a list are opened as if they
    were named as sources; files in output folders are skipped.
    """

    source: str
    opening: Opening
    stream: IO[bytes] | None = None
    beginning: bytes = b""

    @property
    def origin(self) -> Origin:
        """Return the origin of the list; its files count as named one by one."""
        return Origin(self.source)

    def items(self, report: SourceReport) -> Iterator[ImageRef]:
        """Yield the images with size and time."""
        return _Reading(self.opening, self.origin, report).items(self._entries())

    def names(self) -> Iterator[str] | None:
        """Yield the paths; None for a stream, which can be read only once."""
        return None if self.stream is not None else (entry.text for entry in self._entries())

    def _entries(self) -> Iterator[Entry]:
        try:
            if self.stream is not None:
                yield from read_entries(self.stream, self.beginning)
                return
            with open(self.source, "rb") as file:
                stream, beginning = with_beginning(file, self.source)
                yield from read_entries(stream, beginning)
        except OSError as error:
            raise unreadable(self.source, error) from error


def open_list(source: str, opening: Opening) -> ListSource:
    """Return the list of this name, on standard input or from a pipe. Raises :class:`SourceError`."""
    opened = open_stream(source)
    if opened is not None:
        stream, beginning = with_beginning(opened, source)
        require_list(source, beginning)
        return ListSource(source, opening, stream, beginning)
    if os.path.isdir(source):
        raise SourceError(
            f"{spoken(source)} is a folder; expected a list of files for --files-from. Name the folder as a source."
        )
    try:
        with open(source, "rb") as file:
            beginning = file.read(BEGINNING)
    except FileNotFoundError as error:
        raise SourceError(
            f"{spoken(source)} does not exist; expected a list of files, or - for standard input. Check the path."
        ) from error
    except OSError as error:
        raise unreadable(source, error) from error
    require_list(source, beginning)
    return ListSource(source, opening)


def require_list(source: str, beginning: bytes) -> None:
    """Raise :class:`SourceError` if the beginning shows that this is not a list of files."""
    first = beginning.splitlines()[0].strip() if beginning.strip() else b""
    kind = "a tar" if looks_like_tar(beginning) else archive_kind(beginning) or picture_kind(beginning)
    if kind is not None:
        raise SourceError(f"{spoken(source)} is {kind}; expected a list of files. Name it as a source.")
    if (kind := document_kind(beginning)) is not None and not os.path.lexists(first):
        raise SourceError(f"{spoken(source)} is {kind}; expected a list of files, one path per line.")
    if is_binary(beginning):
        raise SourceError(
            f"{spoken(source)} has control characters, so it is not text; expected a tar, or a list of files with one "
            "path per line. Check what it is."
        )


class _Reading:
    """One reading of a list. Each path is checked when it is reached: a list may be larger than memory."""

    def __init__(self, opening: Opening, origin: Origin, report: SourceReport) -> None:
        self._opening, self._origin, self._report = opening, origin, report
        self._walked: set[str] = set()
        self._resolved = functools.lru_cache(maxsize=1024)(os.path.realpath)

    def items(self, entries: Iterable[Entry]) -> Iterator[ImageRef]:
        """Yield the images of all entries, in their order."""
        for is_far, group in itertools.groupby(entries, _is_far):
            if is_far:
                yield from self._at_urls(group)
            else:
                yield from itertools.chain.from_iterable(map(self._local, group))

    def _local(self, entry: Entry) -> Iterator[ImageRef]:
        if not entry.can_be_path:
            self._report.leave_out(NO_PATHS, entry.text[:SHOWN])
            return
        name = _path(entry.text)
        folder, base = os.path.split(os.path.abspath(name))
        path = os.path.join(self._resolved(folder), base)
        item = file_ref(path, below(name), self._origin)
        is_file = item.bytes != UNKNOWN
        is_folder = not is_file and os.path.isdir(path)
        output = self._opening.outputs.above(os.path.realpath(path) if is_folder else os.path.dirname(path))
        if output is not None:
            if output not in self._report.outputs:
                self._report.outputs.append(output)
        elif is_folder:
            yield from self._folder(name)
        elif is_file and is_archive(path):
            yield from self._opened(open_archive, name, os.path.join(os.path.dirname(name), stem(name)))
        else:
            yield item

    def _folder(self, name: str) -> Iterator[ImageRef]:
        """Yield the images below a folder, unless a folder above it was walked: ``find`` lists sub-folders as well."""
        root = os.path.realpath(name)
        above = itertools.accumulate(root.split(os.sep), lambda path, part: f"{path}{os.sep}{part}")
        if self._walked.isdisjoint(above):
            self._walked.add(root)
            yield from self._opened(open_folder, name, name)

    def _opened(self, opener: Opener, name: str, place: str) -> Iterator[ImageRef]:
        """Yield the images of a folder or archive as images of the list."""
        try:
            source = opener(name, self._opening)
            for item in source.items(self._report) if source is not None else ():
                yield dataclasses.replace(item, origin=self._origin, relative=below(f"{place}/{item.relative}"))
        except SourceError as error:
            self._report.unreadable.append(str(error))

    def _at_urls(self, entries: Iterable[Entry]) -> Iterator[ImageRef]:
        for entry, found in map_ahead(self._look_up, entries, URL_THREADS):
            if isinstance(found, ImageRef):
                yield found
            elif found is None:
                self._report.leave_out(URL_ARCHIVES, entry.text)
            else:
                yield from self._opened(lambda *_, source=found: source, entry.text, _place(entry.text))

    def _look_up(self, entry: Entry) -> ImageRef | Source | None:
        """Return the image at a URL, or the folder there; None for an archive, which must be a source of its own. A URL
        that cannot be reached becomes an image that will fail.
        """
        url = entry.text
        if is_archive(urlsplit(url).path):
            return None
        try:
            source = open_url(url, self._opening)
            if source is None or source.origin.root:
                return source
            (item,) = source.items(SourceReport())
        except SourceError as error:
            return ImageRef(url, _place(url), self._origin, UNKNOWN, 0, NoBytes(str(error)))
        return dataclasses.replace(item, origin=self._origin, relative=_place(url))


def _is_far(entry: Entry) -> bool:
    return is_url(entry.text) and not entry.text.startswith(LOCAL_URL)


def _path(text: str) -> str:
    """Return the path that an entry names; a ``file://`` URL becomes a path, percent-decoded if needed."""
    if not text.startswith(LOCAL_URL):
        return text
    path = text.removeprefix(LOCAL_URL).removeprefix("localhost")
    return path if os.path.lexists(path) else unquote(path)


def _place(url: str) -> str:
    """Return where the mask of an image at a URL goes: its host and path, without user and query."""
    parts = urlsplit(url)
    return below(f"{parts.netloc.rpartition('@')[2]}/{parts.path}")
