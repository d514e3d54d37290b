"""Where images come from: folders, files and patterns, walked lazily and always in the same order.

Folders are read recursively, files before sub-folders, each sorted by name. Hidden files and files without an image's
suffix are passed over and counted, so that nothing is silent. Files named one by one are taken whatever their suffix.
"""

from __future__ import annotations

import glob
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batch.errors import SourceError, shown
from batch.patterns import Pattern

LEDGER_NAME = "ledger.sqlite"
"""A folder that holds a file of this name is an output folder of a run: its masks are no images."""
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Item:
    """One image on its way.

    ``path``: absolute. ``relative``: path below the source with ``/``, which the mask's name follows. ``source``: as it
    was named. ``bytes`` and ``mtime_ns``: as found on the walk, -1 where the file could not be looked at.
    """

    path: str
    relative: str
    source: str
    bytes: int
    mtime_ns: int


@dataclass
class SourceReport:
    """What a walk passed over. ``others`` counts by suffix."""

    others: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    outputs: list[str] = field(default_factory=list)
    repeated_folders: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Root:
    """One source: a folder (``relative`` to which masks are named, below ``prefix``), or one file.

    ``pattern`` limits a folder to what it matches.
    """

    source: str
    path: str
    is_file: bool = False
    prefix: str = ""
    pattern: Pattern | None = None


@dataclass(frozen=True)
class _Folder:
    path: str
    parts: tuple[str, ...]
    by_link: bool = False


class Sources:
    """The images that a list of sources names.

    ``out`` and the other ``excluded`` folders are never walked into. Raises :class:`SourceError` at once for a source
    that is not there, or that lies inside a folder where masks will go.
    """

    def __init__(self, sources: Sequence[str], suffixes: frozenset[str], excluded: Iterable[Path] = ()) -> None:
        self.report = SourceReport()
        self._suffixes = suffixes
        self._excluded = [path.resolve() for path in excluded]
        folders = sum(os.path.isdir(source) for source in sources)
        self._roots = [self._root(source, several=folders > 1) for source in sources]
        for root in self._roots:
            self._require_matches(root)

    def __iter__(self) -> Iterator[Item]:
        """Yield the items; files that are named by several sources come several times."""
        for root in self._roots:
            for path, relative in self._files(root, self.report):
                yield _look_at(path, relative, root.source)

    def count(self, stopped: Callable[[], bool] = lambda: False) -> int | None:
        """Return how many items there are, without looking at any; None if ``stopped`` said so on the way."""
        report, total = SourceReport(), 0
        for root in self._roots:
            for _ in self._files(root, report):
                total += 1
                if stopped():
                    return None
        return total

    def _root(self, source: str, *, several: bool) -> _Root:
        path = os.path.abspath(source)
        if os.path.isdir(path):
            prefix = f"{os.path.basename(path)}/" if several and os.path.basename(path) else ""
            root = _Root(source, os.path.realpath(path), prefix=prefix)
        elif os.path.lexists(path):
            root = _Root(source, _named(path), is_file=True)
        elif glob.has_magic(source):
            pattern = Pattern.of(source)
            root = _Root(source, os.path.realpath(pattern.folder), pattern=pattern)
        else:
            raise SourceError(
                f"{shown(source)} is not there; expected a folder, an image file or a pattern. Check the path."
            )
        self._require_outside(root)
        return root

    def _require_outside(self, root: _Root) -> None:
        """Masks that land among their images would be taken for images next time, or overwrite them."""
        folder = Path(os.path.dirname(root.path) if root.is_file else root.path)
        for excluded in self._excluded:
            if folder == excluded or excluded in folder.parents:
                raise SourceError(
                    f"{shown(root.source)} lies in the output folder {shown(str(excluded))}; expected masks and "
                    "images in different folders. Choose another output folder."
                )

    def _require_matches(self, root: _Root) -> None:
        if root.pattern is not None and next(self._files(root, SourceReport()), None) is None:
            raise SourceError(f"No image matches {shown(root.source)}; expected at least one. Check the pattern.")

    def _files(self, root: _Root, report: SourceReport) -> Iterator[tuple[str, str]]:
        """Yield (absolute path, relative path)."""
        if root.is_file:
            yield root.path, os.path.basename(root.path)
            return
        for folder, names in self._walk(root, report):
            for name in names:
                if self._wanted((*folder.parts, name), root.pattern):
                    yield os.path.join(folder.path, name), root.prefix + "/".join((*folder.parts, name))
                else:
                    report.others[os.path.splitext(name)[1].lower()] += 1

    def _wanted(self, parts: tuple[str, ...], pattern: Pattern | None) -> bool:
        fits = os.path.splitext(parts[-1])[1].lower() in self._suffixes
        return fits if pattern is None else pattern.matches(parts, fits)

    def _walk(self, root: _Root, report: SourceReport) -> Iterator[tuple[_Folder, list[str]]]:
        """Yield each folder with the names of its files; one that a link leads to only if it was not seen before.

        So loops end.
        """
        seen: set[tuple[int, int]] = set()
        stack = [_Folder(root.path, ())]
        while stack:
            folder = stack.pop()
            try:
                listing = _Listing.of(folder.path)
            except OSError as error:
                report.unreadable.append(f"{shown(folder.path)}: {error.strerror}")
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
                if root.pattern is None or root.pattern.may_lead(parts):
                    stack.append(_Folder(os.path.join(folder.path, name), parts, by_link))

    def _is_output(self, folder: _Folder, listing: _Listing) -> bool:
        return LEDGER_NAME in listing.files or Path(os.path.realpath(folder.path)) in self._excluded


@dataclass(frozen=True)
class _Listing:
    """One folder: files sorted, folders sorted backwards (for a stack)."""

    id: tuple[int, int]
    files: list[str]
    folders: list[str]
    hidden: int

    @classmethod
    def of(cls, path: str) -> _Listing:
        state = os.stat(path)
        files: list[str] = []
        folders: list[str] = []
        hidden = 0
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    hidden += 1
                else:
                    (folders if _is_folder(entry) else files).append(entry.name)
        files.sort()
        folders.sort(reverse=True)
        return cls((state.st_dev, state.st_ino), files, folders, hidden)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle with itself: the item will fail with the reason
        return False


def _named(path: str) -> str:
    """Return the path of a file with the links of its folders resolved, but under the name it was given."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def _look_at(path: str, relative: str, source: str) -> Item:
    try:
        state = os.stat(path)
    except OSError:  # gone meanwhile, or a link to nothing: decoding will say so
        return Item(path, relative, source, UNKNOWN, 0)
    if not stat.S_ISREG(state.st_mode):
        return Item(path, relative, source, UNKNOWN, 0)
    return Item(path, relative, source, state.st_size, state.st_mtime_ns)
