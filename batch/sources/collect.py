"""Where images come from: folders, files, patterns, archives, lists of files, URLs, and what comes by standard input.

What is named one by one is taken whatever its suffix; an archive that is named is opened, one that lies in a folder is
passed over like any file that is no image.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from batch.errors import SourceError, shown
from batch.sources.archive import ArchiveSource, StreamSource, is_archive, looks_like_tar, stem
from batch.sources.file_list import ListSource
from batch.sources.folder import FolderSource
from batch.sources.glob import Pattern
from batch.sources.image_ref import Item, SourceReport, file_item
from batch.sources.remote import RemoteSource, remote_archive
from batch.storage import is_url

STDIN = "-"
PEEK = 512


class Source(Protocol):
    """One source, as it was named."""

    @property
    def source(self) -> str:
        """Its name."""

    def items(self, report: SourceReport) -> Iterator[Item]:
        """Yield its images, and note what was passed over."""

    def names(self) -> Iterator[str] | None:
        """Yield their paths, for counting; None where that would take as long as reading them."""


@dataclass(frozen=True)
class FileSource:
    """One file."""

    source: str
    path: str

    def items(self, _report: SourceReport) -> Iterator[Item]:
        """Yield it."""
        yield file_item(self.path, os.path.basename(self.path), self.source)

    def names(self) -> Iterator[str]:
        """Yield its path."""
        yield self.path


class Sources:
    """The images that a list of sources names.

    ``files_from``: lists of files, ``-`` for standard input; a source ``-`` is a tar or a list that comes there.
    ``out`` and the other ``excluded`` folders are never walked into. Raises :class:`SourceError` at once for a source
    that is not there, or that lies inside a folder where masks will go.
    """

    def __init__(
        self,
        sources: Sequence[str],
        suffixes: frozenset[str],
        excluded: Iterable[Path] = (),
        files_from: Sequence[str] = (),
    ) -> None:
        self.report = SourceReport()
        self._suffixes = suffixes
        self._excluded = [path.resolve() for path in excluded]
        if [*sources, *files_from].count(STDIN) > 1:
            raise SourceError("Standard input is named twice; expected once, for it can be read once. Name it once.")
        several = sum(os.path.isdir(source) or is_archive(source) for source in sources) > 1
        self._sources: list[Source] = [self._open(source, several=several) for source in sources]
        self._sources += [self._list(path) for path in files_from]

    def __iter__(self) -> Iterator[Item]:
        """Yield the items; files that are named by several sources come several times."""
        for source in self._sources:
            yield from source.items(self.report)

    def count(self, stopped: Callable[[], bool] = lambda: False) -> int | None:
        """Return how many items there are, without looking at any; None if ``stopped`` said so on the way, or where it
        cannot be told.
        """
        total = 0
        for source in self._sources:
            names = source.names()
            if names is None:
                return None
            for _ in names:
                total += 1
                if stopped():
                    return None
        return total

    def _open(self, source: str, *, several: bool) -> Source:
        if source == STDIN:
            return _from_stdin(self._suffixes)
        if is_url(source):
            archive = f"{stem(source)}/" if several and is_archive(source) else ""
            return self._remote(source, archive)
        path = os.path.abspath(source)
        if os.path.isdir(path):
            prefix = f"{os.path.basename(path)}/" if several and os.path.basename(path) else ""
            return self._folder(source, os.path.realpath(path), prefix, None)
        if os.path.lexists(path):
            self._require_outside(source, os.path.dirname(_named(path)))
            if is_archive(path):
                return ArchiveSource(source, _named(path), self._suffixes, f"{stem(path)}/" if several else "")
            return FileSource(source, _named(path))
        if glob.has_magic(source):
            pattern = Pattern.of(source)
            folder = self._folder(source, os.path.realpath(pattern.folder), "", pattern)
            if next(folder.names(), None) is None:
                raise SourceError(f"No image matches {shown(source)}; expected at least one. Check the pattern.")
            return folder
        raise SourceError(
            f"{shown(source)} is not there; expected a folder, an image file, an archive (.zip, .tar, .tar.gz), a "
            "pattern, or - for standard input. Check the path."
        )

    def _remote(self, url: str, prefix: str) -> Source:
        if is_archive(url):
            return remote_archive(url, self._suffixes, prefix)
        return RemoteSource(url, self._suffixes)

    def _folder(self, source: str, path: str, prefix: str, pattern: Pattern | None) -> FolderSource:
        self._require_outside(source, path)
        return FolderSource(source, path, self._suffixes, self._excluded, prefix, pattern)

    def _require_outside(self, source: str, path: str) -> None:
        """Masks that land among their images would be taken for images next time, or overwrite them."""
        folder = Path(path)
        for excluded in self._excluded:
            if folder == excluded or excluded in folder.parents:
                raise SourceError(
                    f"{shown(source)} lies in the output folder {shown(str(excluded))}; expected masks and "
                    "images in different folders. Choose another output folder."
                )

    def _list(self, path: str) -> ListSource:
        if path != STDIN and not os.path.isfile(path):
            raise SourceError(f"{shown(path)} is not there; expected a list of files, or - for standard input.")
        return ListSource(path, sys.stdin.buffer if path == STDIN else None)


def _from_stdin(suffixes: frozenset[str]) -> Source:
    stream: IO[bytes] = sys.stdin.buffer
    beginning = sys.stdin.buffer.peek(PEEK) if hasattr(sys.stdin.buffer, "peek") else b""
    return StreamSource(stream, suffixes) if looks_like_tar(beginning) else ListSource(STDIN, stream)


def _named(path: str) -> str:
    """Return the path of a file with the links of its folders resolved, but under the name it was given."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)
