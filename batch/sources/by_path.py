"""The bytes of images by their paths in a ledger, to show or export them after a run."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Container, Iterable, Iterator
from pathlib import PurePosixPath

from batch.errors import SourceError, SourceLostError, printable
from batch.sources.archives.archive import STDIN_ORIGIN, ArchiveSource, is_archive, members
from batch.sources.archives.member import ArchiveEnd, Opener
from batch.sources.bytes import ByteSource, FileBytes
from batch.sources.image_ref import Origin, SourceReport
from batch.sources.source import Opening
from batch.sources.urls.remote import open_url
from batch.urls import is_url, path_part
from seglab.errors import ImageError
from seglab.images.formats import IMAGE_SUFFIXES

MOST_INDEXES = 2
"""Archives whose members are remembered."""
FROM_STDIN = "It came through standard input, and cannot be read again."
NO_MEMBER = "The archive no longer has this file."

Members = dict[str, ByteSource]


class Photographs:
    """Images of earlier runs, readable by any thread: files, members of archives, and images at URLs. Of members of one
    name that counts which counts in a run: in a compressed tar the first, else the last.

    ``zip_encoding``: of names in zips that are not marked as UTF-8, as the run had it.
    """

    def __init__(self, zip_encoding: str | None = None) -> None:
        self._opening = Opening(IMAGE_SUFFIXES, zip_encoding=zip_encoding)
        self._indexes: OrderedDict[str, Members] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str) -> bytes:
        """Return the bytes of an image. Raises :class:`ImageError` with the reason if it cannot be read.

        In a compressed tar, everything before the image is decompressed again.
        """
        found = next(found for _, found in self.read_all([path]))
        if isinstance(found, ImageError):
            raise found
        return found

    def read_all(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes | ImageError]]:
        """Yield paths with their bytes, or the reason why they cannot be read. Each compressed tar is read once, so its
        images come together; other images come in their order, before those of archives.
        """
        inside: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            archive = archive_of(path)
            if archive is None:
                yield path, self._read_one(path)
            else:
                inside[archive].append(path)
        for archive, some in inside.items():
            yield from self._read_members(archive, some)

    def _read_one(self, path: str) -> bytes | ImageError:
        if path.startswith(f"{STDIN_ORIGIN.root}/"):
            return ImageError(FROM_STDIN)
        if not is_url(path):
            return _read(FileBytes(path))
        try:
            source = open_url(path, self._opening)
            images = source.items(SourceReport()) if source is not None else iter(())
            image = next(iter(images), None)
        except (SourceError, OSError) as error:
            return ImageError(str(error))
        return _read(image.content) if image is not None and image.path == path else ImageError("It is gone.")

    def _read_members(self, archive: str, paths: list[str]) -> Iterator[tuple[str, bytes | ImageError]]:
        names = {path.removeprefix(f"{archive}/"): path for path in paths}
        missing = ImageError(NO_MEMBER)
        try:
            source = self._indexed(archive) or self._source(archive)
            if isinstance(source, ArchiveSource):  # what it decompresses is not held
                for name, content in self._walk(source, names):
                    if name in names:
                        yield names.pop(name), _read(content)
            else:
                for name in list(names):
                    yield names.pop(name), _read(source[name]) if name in source else missing
        except (SourceError, OSError) as error:
            missing = ImageError(str(error))
        yield from ((path, missing) for path in names.values())

    def _indexed(self, archive: str) -> Members | None:
        """Return all members of an archive that can be read anywhere; None if it must be read from its beginning."""
        with self._lock:
            if archive in self._indexes:
                self._indexes.move_to_end(archive)
                return self._indexes[archive]
            source = self._source(archive)
            if source.is_held:
                return None
            found = self._indexes[archive] = dict(self._walk(source, None))
            if len(self._indexes) > MOST_INDEXES:
                self._indexes.popitem(last=False)
            return found

    def _source(self, archive: str) -> ArchiveSource:
        if not is_url(archive):
            return ArchiveSource(Origin(archive, archive), IMAGE_SUFFIXES, zip_encoding=self._opening.zip_encoding)
        source = open_url(archive, self._opening)
        if not isinstance(source, ArchiveSource):
            raise SourceError(f"{printable(archive)} is no archive any more.")
        return source

    def _walk(self, source: ArchiveSource, names: Container[str] | None) -> Iterator[tuple[str, ByteSource]]:
        """Yield the members of these names, or all of them, in the order of the archive."""
        opener: Opener | None = source.opener
        walk = members(
            source.origin.root,
            lambda name, _size: names is None or name in names,
            lambda _text: None,
            opener,
            self._opening.zip_encoding,
        )
        with contextlib.suppress(ArchiveEnd):
            for member in walk:
                if member.wanted:
                    yield member.name, member.content


def archive_of(path: str) -> str | None:
    """Return the archive that an image lies in, by its path in a ledger; None if it lies in none."""
    if is_url(path):
        begin, _, rest = path.partition("://")
        parts = rest.split("/")
        above = (f"{begin}://{'/'.join(parts[:end])}" for end in range(2, len(parts)))
        return next((url for url in above if is_archive(path_part(url))), None)
    if os.path.lexists(path):
        return None
    return next((str(above) for above in PurePosixPath(path).parents if os.path.isfile(above)), None)


def _read(content: ByteSource) -> bytes | ImageError:
    try:
        return content.read().data
    except ImageError as error:
        return error
    except SourceLostError as error:
        return ImageError(str(error))
