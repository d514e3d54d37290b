"""Walk the folders below a source. Output folders are skipped, and no folder is entered twice by links, so loops end.

The walk is lazy and its order fixed: each folder before its sub-folders, these sorted by name.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from batch.errors import SourceError, printable
from batch.output_mark import LEDGER_NAME, MARK_NAME, is_output
from batch.sources.data_sets import SAMPLE, DataSets, Parts, may_be_data_set
from batch.sources.folders.glob import Pattern
from batch.sources.image_ref import SourceReport, suffix_of
from batch.sources.left_out import is_hidden
from batch.sources.source import Opening


@dataclass(frozen=True)
class Folder:
    """A folder on the walk. ``real``: its path without links. ``aside``: what its pictures are, if not photographs."""

    path: str
    parts: Parts
    real: str
    by_link: bool = False
    aside: str | None = None


@dataclass(frozen=True)
class Listing:
    """The entries of one folder: files sorted, folders in reverse order (for a stack); ``links``: linked folders."""

    id: tuple[int, int]
    files: list[str]
    folders: list[str]
    links: frozenset[str]
    hidden: int
    is_marked: bool

    @classmethod
    def of(cls, path: str) -> Listing:
        """List a folder. Raises :class:`OSError`."""
        state = os.stat(path)
        files: list[str] = []
        folders: list[str] = []
        links: set[str] = set()
        hidden, is_marked = 0, False
        with os.scandir(path) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    hidden += 1
                    is_marked |= entry.name == MARK_NAME
                elif not _is_folder(entry):
                    files.append(entry.name)
                else:
                    folders.append(entry.name)
                    if _is_link(entry):
                        links.add(entry.name)
        files.sort()
        folders.sort(reverse=True)
        return cls((state.st_dev, state.st_ino), files, folders, frozenset(links), hidden, is_marked)

    def has(self, file: str) -> bool:
        """Return whether there is a file of this name."""
        index = bisect.bisect_left(self.files, file)
        return index < len(self.files) and self.files[index] == file


@dataclass(frozen=True)
class Walk:
    """The folders below ``root``, a path without links; with a ``pattern``, those that may contain matches.

    ``named``: the source as the user named it.
    """

    named: str
    root: str
    opening: Opening
    pattern: Pattern | None = None

    def folders(self, report: SourceReport) -> Iterator[tuple[Folder, Listing]]:
        """Yield each folder with its entries; a linked folder only if it was not seen before.

        Raises :class:`SourceError` if the first folder cannot be read.
        """
        data_sets = data_sets_below(self.root, self.opening.suffixes)
        seen: set[tuple[int, int]] = set()
        stack = [Folder(self.root, (), self.root)]
        while stack:
            folder = stack.pop()
            listing = self._listed(folder, report)
            if listing is None:
                continue
            if folder.by_link and listing.id in seen:
                report.repeated_folders.append(folder.path)
                continue
            seen.add(listing.id)
            if self._is_output(folder, listing):
                report.outputs.append(folder.path)
                continue
            report.hidden += listing.hidden
            yield folder, listing
            stack += self._below(folder, listing, data_sets)

    def _listed(self, folder: Folder, report: SourceReport) -> Listing | None:
        """Return the entries of a folder; None, with a line in the report, if it cannot be read."""
        try:
            return Listing.of(folder.path)
        except OSError as error:
            if not folder.parts:
                raise unreadable(self.named, folder.path, error) from error
            report.unreadable.append(f"{printable(folder.path)}: {error.strerror}")
            return None

    def _below(self, folder: Folder, listing: Listing, data_sets: DataSets) -> Iterator[Folder]:
        for name in listing.folders:
            parts = (*folder.parts, name)
            if self.pattern is not None and not self.pattern.may_lead(parts):
                continue
            path, is_link = os.path.join(folder.path, name), name in listing.links
            real = os.path.realpath(path) if is_link else os.path.join(folder.real, name)
            aside = folder.aside or self._aside(parts, data_sets)
            yield Folder(path, parts, real, folder.by_link or is_link, aside)

    def _aside(self, parts: Parts, data_sets: DataSets) -> str | None:
        is_named = self.pattern is not None and self.pattern.names(parts[-1])
        return None if is_named or not may_be_data_set(parts[-1]) else data_sets.kind(parts)

    def _is_output(self, folder: Folder, listing: Listing) -> bool:
        if folder.by_link and self.opening.outputs.above(folder.real) is not None:
            return True
        may_be = listing.is_marked or LEDGER_NAME in listing.files
        return (may_be and is_output(folder.path)) or Path(folder.real) in self.opening.excluded


def unreadable(source: str, folder: str, error: OSError) -> SourceError:
    """Return the error for a folder that cannot be listed."""
    if isinstance(error, FileNotFoundError):
        return SourceError(
            f"{printable(source)} does not exist; expected a folder {printable(folder)}. Check the path."
        )
    return SourceError(
        f"{printable(source)} cannot be read: {printable(folder)}: {error.strerror or error}; expected a folder "
        "that can be listed. Check its permissions."
    )


def kind_of_named(root: str, suffixes: frozenset[str]) -> str | None:
    """Return what is in a folder that was named as a source and belongs to a data set; None for photographs."""
    parent, name = os.path.split(root)
    return data_sets_below(parent, suffixes).kind((name,)) if name and may_be_data_set(name) else None


def data_sets_below(root: str, suffixes: frozenset[str]) -> DataSets:
    return DataSets(
        os.path.basename(root),
        lambda parts: _folders_in(os.path.join(root, *parts)),
        lambda parts: _hold_masks(os.path.join(root, *parts), suffixes),
    )


def _folders_in(path: str) -> list[str]:
    try:
        return sorted(Listing.of(path).folders)
    except OSError:
        return []


def _hold_masks(folder: str, suffixes: frozenset[str]) -> bool:
    """Return whether the first pictures below a folder are masks; pictures that cannot be read are ignored."""
    from seglab.errors import ImageError
    from seglab.images.masks import is_mask

    found = False
    for path in _first_pictures(folder, suffixes):
        try:
            if not is_mask(Path(path)):
                return False
            found = True
        except ImageError:
            continue
    return found


def _first_pictures(folder: str, suffixes: frozenset[str]) -> list[str]:
    found: list[str] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        pictures = sorted(name for name in names if suffix_of(name) in suffixes and not is_hidden(name))
        found += [os.path.join(parent, name) for name in pictures[: SAMPLE - len(found)]]
        if len(found) >= SAMPLE:
            break
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reading the item will fail with the reason
        return False


def _is_link(entry: os.DirEntry[str]) -> bool:
    """Return whether a folder is a link, or a junction on Windows."""
    return entry.is_symlink() or (hasattr(entry, "is_junction") and bool(entry.is_junction()))
