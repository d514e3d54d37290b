"""Folders, walked lazily in a fixed order: files before sub-folders, each sorted by name.

Files that are not photographs are skipped and counted; files that may be are counted separately.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from batch.errors import SourceError, printable
from batch.output_mark import is_output_archive
from batch.sources.archives.archive import is_archive
from batch.sources.archives.archive import stem as stem_of_archive
from batch.sources.data_sets import kind_beside, kind_of_archive
from batch.sources.folders.glob import Match, Pattern
from batch.sources.folders.walk import Folder, Listing, Walk, kind_of_named, unreadable
from batch.sources.image_ref import ImageRef, Origin, SourceReport, file_ref, suffix_of
from batch.sources.left_out import is_nameless, is_no_photograph, is_other_photograph, reason_to_leave_out, recognised
from batch.sources.source import Opening
from seglab.words import of_kind

SHOWN = 3
"""How many findings are shown where a pattern matches nothing."""


@dataclass(frozen=True)
class FolderSource:
    """All images below the folder ``origin.root``, or those that match ``pattern``.

    Output folders of this run (in ``opening``) and of other runs are not walked into. Truth masks of data sets are
    skipped unless the pattern names their folder.
    """

    origin: Origin
    opening: Opening
    pattern: Pattern | None = None

    @property
    def _walk(self) -> Walk:
        return Walk(self.origin.named, self.origin.root, self.opening, self.pattern)

    def items(self, report: SourceReport) -> Iterator[ImageRef]:
        """Yield the images with size and time. Raises :class:`SourceError` if the folder itself cannot be read."""
        if self.pattern is None and (kind := kind_of_named(self.origin.root, self.opening.suffixes)) is not None:
            report.named_anyway.append(f"{printable(self.origin.named)} holds {kind}")
        for path, relative in self._files(report):
            yield file_ref(path, relative, self.origin)

    def names(self) -> Iterator[str]:
        """Yield the paths of the images without reading file states. Raises as :meth:`items`."""
        return (path for path, _ in self._files(SourceReport()))

    def archives(self, report: SourceReport) -> Iterator[str]:
        """Yield the paths of the archives that match the pattern. Raises as :meth:`items`."""
        for folder, listing in self._walk.folders(report):
            names = [name for name in listing.files if is_archive(name) and self._match(folder, name) is not Match.NO]
            stems = [stem_of_archive(name) for name in names]
            for name, stem in zip(names, stems, strict=True):
                if self._is_output_archive(folder, name):
                    report.outputs.append(os.path.join(folder.path, name))
                elif (kind := kind_of_archive(stem, stems)) is not None:
                    report.set_aside[f"archives of {kind}"] += 1
                else:
                    yield os.path.join(folder.path, name)

    def _files(self, report: SourceReport) -> Iterator[tuple[str, str]]:
        """Yield (absolute path, relative path)."""
        for folder, listing in self._walk.folders(report):
            for name in listing.files:
                if self._is_wanted(folder, name, listing, report):
                    yield os.path.join(folder.path, name), "/".join((*folder.parts, name))

    def _is_wanted(self, folder: Folder, name: str, listing: Listing, report: SourceReport) -> bool:
        """Return whether this file is an image of the source; other files are reported."""
        suffix = suffix_of(name)
        is_image, match = suffix in self.opening.suffixes, self._match(folder, name)
        if match is Match.NO:
            may_be_image = is_image or is_other_photograph(name) or is_nameless(name)
            (report.unmatched if may_be_image else report.others)[suffix] += 1
            return False
        if is_image:
            aside = folder.aside or self._kind_beside(name, listing)
            if aside is not None:
                report.set_aside[aside] += 1
            return aside is None
        if match is Match.NAMED and reason_to_leave_out(name) is None:
            return True
        return self._is_found(folder, name, report)

    def _match(self, folder: Folder, name: str) -> Match:
        return Match.FITS if self.pattern is None else self.pattern.match((*folder.parts, name))

    def _kind_beside(self, name: str, listing: Listing) -> str | None:
        kind = kind_beside(name, listing.has, self.opening.suffixes)
        return None if kind and self.pattern and self.pattern.names_suffix_of(name) else kind

    def _is_found(self, folder: Folder, name: str, report: SourceReport) -> bool:
        """Return whether a file without an image's suffix is an image; other files are reported."""
        path = os.path.join(folder.path, name)
        if self._is_output_archive(folder, name):
            report.outputs.append(path)
            return False
        is_image, reason = False, None if folder.aside else reason_to_leave_out(name)
        if reason is None and not (folder.aside or is_no_photograph(name)):
            is_image, reason = recognised(path)
        if reason is not None:
            report.leave_out(reason, path)
        elif not is_image:
            report.others[suffix_of(name)] += 1
        return is_image

    def _is_output_archive(self, folder: Folder, name: str) -> bool:
        if not is_archive(name.removesuffix(".part")):
            return False
        path = os.path.join(folder.real, name)
        return is_output_archive(path) or Path(path.removesuffix(".part")) in self.opening.excluded


def open_folder(source: str, opening: Opening) -> FolderSource | None:
    """Return the source for the folder of this name; None if it is not a folder."""
    return _opened(source, source, opening) if os.path.isdir(source) else None


def open_pattern(source: str, opening: Opening) -> FolderSource | None:
    """Return the source for a pattern like ``data/**/*.jpg``; None if this is not a pattern.

    Raises :class:`SourceError` if nothing matches.
    """
    if not glob.has_magic(source):
        return None
    pattern = Pattern.of(source)
    folder = _opened(source, pattern.folder, opening, pattern)
    report = SourceReport()
    if next(folder._files(report), None) is None:
        raise SourceError(_nothing_matches(source, report))
    return folder


def expanded(sources: Sequence[str], opening: Opening, report: SourceReport) -> Iterator[str]:
    """Yield the sources; a pattern that matches archives (``set/*.zip``) is replaced by them."""
    for source in sources:
        found = False
        for path in _archives_of(source, opening, report):
            found = True
            yield path
        if not found:
            yield source


def _archives_of(source: str, opening: Opening, report: SourceReport) -> Iterator[str]:
    if not glob.has_magic(source) or "://" in source or os.path.lexists(source):
        return
    pattern = Pattern.of(source)
    if not pattern.names_archives:
        return
    try:
        yield from _opened(source, pattern.folder, opening, pattern).archives(report)
    except SourceError:  # reported when the pattern is opened
        return


def _opened(source: str, folder: str, opening: Opening, pattern: Pattern | None = None) -> FolderSource:
    root = os.path.realpath(folder)
    opening.require_outside(source, root)
    opening.require_no_output(source, root)
    try:
        os.scandir(root).close()
    except OSError as error:
        raise unreadable(source, root, error) from error
    return FolderSource(Origin(source, root, os.path.basename(os.path.abspath(folder))), opening, pattern)


def _nothing_matches(source: str, report: SourceReport) -> str:
    """Return why a pattern matches nothing, as far as is known."""
    found = [
        *report.unreadable,
        *(of_kind(count, reason) for reason, count in report.left_out.items()),
        *(of_kind(count, kind) for kind, count in report.set_aside.items()),
        *(f"output folder {printable(path)}" for path in report.outputs),
        *([of_kind(sum(report.unmatched.values()), "images with other names")] if report.unmatched else []),
    ]
    instead = f" Found instead: {'; '.join(found[:SHOWN])}." if found else ""
    check = "Check the permissions." if report.unreadable else "Check the pattern."
    return f"No image matches {printable(source)}; expected at least one.{instead} {check}"
