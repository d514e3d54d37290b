"""All sources of a run together: folders, files, patterns, archives, lists of files, URLs and standard input.

A file that is named is taken whatever its suffix. An archive that is named, by itself or by a pattern, is opened. An
archive inside a folder is left out and reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from batch.errors import SourceError, printable
from batch.sources.archives.archive import StreamSource, open_archive
from batch.sources.archives.kinds import is_archive
from batch.sources.file import open_file
from batch.sources.folders.folder import expanded, open_folder, open_pattern
from batch.sources.image_ref import ImageRef, Origin, SourceReport
from batch.sources.lists.file_list import ListSource, open_list
from batch.sources.lists.stdin import open_stdin
from batch.sources.lists.stream import STDIN_PATHS
from batch.sources.source import Kind, Opening, Source
from batch.sources.urls.remote import open_url
from batch.urls import is_url

KINDS = (
    Kind(open_stdin),
    Kind(open_url),
    Kind(open_folder),
    Kind(open_archive),
    Kind(open_file),
    Kind(open_pattern),
)
"""Every kind of source; the first that recognises a name opens it. Kinds that look like files come before files."""


class Sources:
    """The images that a list of sources names.

    ``files_from``: lists of files, ``-`` for standard input; a source ``-`` is a tar or a list on standard input.
    ``out`` and the ``excluded`` folders are never walked into. A source that does not exist, or lies in a folder where
    masks will go, is reported and the other sources are done; if no source can be opened, :class:`SourceError` is
    raised at once.
    """

    def __init__(
        self,
        sources: Sequence[str],
        suffixes: frozenset[str],
        excluded: Iterable[Path] = (),
        files_from: Sequence[str] = (),
        zip_encoding: str | None = None,
    ) -> None:
        self.report = SourceReport()
        if sum(name in STDIN_PATHS for name in [*sources, *files_from]) > 1:
            raise SourceError("Standard input is named twice, and can be read only once. Name it once.")
        opening = Opening(suffixes, [path.resolve() for path in excluded], zip_encoding)
        self._sources: list[Source] = []
        refused: list[SourceError] = []
        for open_one, name in [(_open, name) for name in expanded(sources, opening, self.report)] + [
            (open_list, name) for name in files_from
        ]:
            try:
                self._sources.append(open_one(name, opening))
            except SourceError as error:
                refused.append(error)
        if not self._sources and refused:
            raise refused[0]
        self.report.unreadable += map(str, refused)
        archives = (source.origin.root for source in self._sources if is_archive(source.origin.root))
        self.report.opened = frozenset(os.path.realpath(root) for root in archives if not is_url(root))

    @property
    def origins(self) -> list[Origin]:
        """Return the sources as the ledger knows them."""
        return [source.origin for source in self._sources]

    def __iter__(self) -> Iterator[ImageRef]:
        """Yield the images; a file that several sources name comes several times.

        A source that cannot be read to its end is reported, and the next sources follow.
        """
        for source in sorted(self._sources, key=_is_stream):  # streams last: a pipe may be slow
            found = False
            try:
                for item in source.items(self.report):
                    found = True
                    yield item
            except SourceError as error:
                self.report.unreadable.append(str(error))
            else:
                if not found:
                    self.report.without_images.append(source.origin.named)

    def count(self, stopped: Callable[[], bool] = lambda: False) -> int | None:
        """Return how many images the sources name, without reading any; None if ``stopped`` returned True on the way,
        or if the number cannot be known.
        """
        total = 0
        for source in self._sources:
            names = source.names()
            if names is None:
                return None
            try:
                for _ in names:
                    total += 1
                    if stopped():
                        return None
            except SourceError:  # the walk reports it
                continue
        return total


def _is_stream(source: Source) -> bool:
    return isinstance(source, StreamSource) or (isinstance(source, ListSource) and source.stream is not None)


def _open(source: str, opening: Opening) -> Source:
    for kind in KINDS:
        if (opened := kind.open(source, opening)) is not None:
            return opened
    _require_reachable(source)
    raise SourceError(
        f"{printable(source)} does not exist; expected a folder, an image file, an archive (.zip, .tar, .tar.gz), a "
        "pattern, or - for standard input. Check the path."
    )


def _require_reachable(source: str) -> None:
    """Raise :class:`SourceError` for a path that may exist but cannot be reached, e.g. below a closed folder."""
    try:
        os.lstat(source)
    except (FileNotFoundError, ValueError):
        return
    except OSError as error:
        raise SourceError(
            f"{printable(source)} cannot be reached: {error.strerror or error}; expected a path that this user may "
            "read. Check the permissions of the folders above it."
        ) from error
