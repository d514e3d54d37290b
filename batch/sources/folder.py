"""Folders, walked lazily and always in the same order: files before sub-folders, each sorted by name.

Hidden files and files without an image's suffix are passed over and counted, so that nothing is silent.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from batch.errors import SourceError, printable
from batch.output_mark import LEDGER_NAME, MARK_NAME, is_output
from batch.sources.glob import Pattern
from batch.sources.image_ref import ImageRef, Origin, SourceReport, file_ref, suffix_of
from batch.sources.source import Opening


@dataclass(frozen=True)
class _Folder:
    path: str
    parts: tuple[str, ...]
    by_link: bool = False


@dataclass(frozen=True)
class FolderSource:
    """All images below the folder ``origin.root``, or those that a ``pattern`` names.

    ``excluded`` folders, and output folders of other runs, are not walked into.
    """

    origin: Origin
    suffixes: frozenset[str]
    excluded: Collection[Path] = ()
    pattern: Pattern | None = None

    def items(self, report: SourceReport) -> Iterator[ImageRef]:
        """Yield the images, looked at."""
        for path, relative in self._files(report):
            yield file_ref(path, relative, self.origin)

    def names(self) -> Iterator[str]:
        """Yield the images' paths, without looking at any."""
        return (path for path, _ in self._files(SourceReport()))

    def _files(self, report: SourceReport) -> Iterator[tuple[str, str]]:
        """Yield (absolute path, relative path)."""
        for folder, names in self._walk(report):
            for name in names:
                if self._wanted((*folder.parts, name)):
                    yield os.path.join(folder.path, name), "/".join((*folder.parts, name))
                else:
                    report.others[suffix_of(name)] += 1

    def _wanted(self, parts: tuple[str, ...]) -> bool:
        fits = suffix_of(parts[-1]) in self.suffixes
        return fits if self.pattern is None else self.pattern.matches(parts, fits)

    def _walk(self, report: SourceReport) -> Iterator[tuple[_Folder, list[str]]]:
        """Yield each folder with the names of its files; one that a link leads to only if it was not seen before.

        So loops end.
        """
        seen: set[tuple[int, int]] = set()
        stack = [_Folder(self.origin.root, ())]
        while stack:
            folder = stack.pop()
            try:
                listing = _Listing.of(folder.path)
            except OSError as error:
                report.unreadable.append(f"{printable(folder.path)}: {error.strerror}")
                continue
            by_link = folder.by_link or os.path.islink(folder.path)
            if by_link and listing.id in seen:
                report.repeated_folders.append(folder.path)
                continue
            seen.add(listing.id)
            if self._is_output(folder, listing):
                report.outputs.append(folder.path)
                continue
            report.hidden += listing.hidden
            yield folder, listing.files
            for name in listing.folders:
                parts = (*folder.parts, name)
                if self.pattern is None or self.pattern.may_lead(parts):
                    stack.append(_Folder(os.path.join(folder.path, name), parts, by_link))

    def _is_output(self, folder: _Folder, listing: _Listing) -> bool:
        may_be = listing.is_marked or LEDGER_NAME in listing.files
        return (may_be and is_output(folder.path)) or Path(os.path.realpath(folder.path)) in self.excluded


def open_folder(source: str, opening: Opening) -> FolderSource | None:
    """Return the folder of this name."""
    if not os.path.isdir(source):
        return None
    return _opened(source, source, opening)


def open_pattern(source: str, opening: Opening) -> FolderSource | None:
    """Return what matches a pattern like ``data/**/*.jpg``."""
    if not glob.has_magic(source):
        return None
    pattern = Pattern.of(source)
    folder = _opened(source, pattern.folder, opening, pattern)
    if next(folder.names(), None) is None:
        raise SourceError(f"No image matches {printable(source)}; expected at least one. Check the pattern.")
    return folder


def _opened(source: str, folder: str, opening: Opening, pattern: Pattern | None = None) -> FolderSource:
    root = os.path.realpath(folder)
    opening.require_outside(source, root)
    origin = Origin(source, root, os.path.basename(os.path.abspath(folder)))
    return FolderSource(origin, opening.suffixes, opening.excluded, pattern)


@dataclass(frozen=True)
class _Listing:
    """One folder: files sorted, folders sorted backwards (for a stack)."""

    id: tuple[int, int]
    files: list[str]
    folders: list[str]
    hidden: int
    is_marked: bool

    @classmethod
    def of(cls, path: str) -> _Listing:
        state = os.stat(path)
        files: list[str] = []
        folders: list[str] = []
        hidden, is_marked = 0, False
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    hidden += 1
                    is_marked |= entry.name == MARK_NAME
                else:
                    (folders if _is_folder(entry) else files).append(entry.name)
        files.sort()
        folders.sort(reverse=True)
        return cls((state.st_dev, state.st_ino), files, folders, hidden, is_marked)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle with itself: the item will fail with the reason
        return False
