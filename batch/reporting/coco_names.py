"""Names of images in a COCO file: relative, unique, and without the names of users' home folders."""

from __future__ import annotations

import os.path
import posixpath
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from batch.ledger.reader import DoneEntry, LedgerReader
from batch.naming import clash_key

HOMES = {"home", "Users", "users"}
"""Folders whose sub-folders are named after people."""


class FileNames:
    """Names for the images of a ledger: the folder of the mask, which mirrors that of the image, and the image's name.

    Images that were named one by one may share such a name; theirs get more of their folders.
    """

    def __init__(self, ledger: LedgerReader) -> None:
        self._template = ledger.template()
        self._longer = self._of_shared(ledger)

    def of(self, entry: DoneEntry) -> str:
        """Return the unique name of an image, with ``/``."""
        return self._longer.get(entry.id) or _short(entry)

    def _of_shared(self, ledger: LedgerReader) -> dict[int, str]:
        """Return longer names, by row number, for images that share their short name.

        The best mask name follows from the short name, and masks are unique. So of the images that share a short name,
        at most one has its best mask name, and only the few others must be searched.
        """
        groups: dict[str, list[DoneEntry]] = defaultdict(list)
        for entry in ledger.done_entries():
            if entry.mask != self._template.best(_short(entry)):
                groups[_short(entry)].append(entry)
        longer: dict[int, str] = {}
        taken: set[str] = set()
        for short, entries in groups.items():
            first = ledger.done_entry(self._template.best(short))
            if first is not None and _short(first) == short:
                entries.insert(0, first)
            if len(entries) > 1:
                longer |= self._told_apart(entries, ledger, taken)
        return longer

    def _told_apart(self, entries: Sequence[DoneEntry], ledger: LedgerReader, taken: set[str]) -> dict[int, str]:
        candidates = zip(*(_longer_names(entry) for entry in entries), strict=True)
        for names in candidates:
            if len(set(map(clash_key, names))) == len(names) and not any(
                name in taken or self._is_short_of_another(name, ledger) for name in names
            ):
                taken.update(names)
                return {entry.id: name for entry, name in zip(entries, names, strict=True)}
        return {entry.id: f"{entry.mask}/{_base(entry)}" for entry in entries}  # masks are unique

    def _is_short_of_another(self, name: str, ledger: LedgerReader) -> bool:
        found = ledger.done_entry(self._template.best(name))
        return found is not None and _short(found) == name


def _base(entry: DoneEntry) -> str:
    return os.path.basename(entry.path.rstrip("/"))


def _short(entry: DoneEntry) -> str:
    return posixpath.join(posixpath.dirname(entry.mask), _base(entry))


def _longer_names(entry: DoneEntry, levels: int = 8) -> Iterator[str]:
    """Yield the image's name with one more of its folders each time, without those that name a person."""
    folders = _impersonal(Path(entry.path).parts[:-1])
    above = posixpath.dirname(entry.mask)
    for level in range(1, levels + 1):
        part = folders[-level:] if level <= len(folders) else folders
        yield posixpath.join(above, *part, _base(entry))


def _impersonal(folders: Sequence[str]) -> list[str]:
    """Return the folders below a person's home, or below the root."""
    parts = list(folders)
    for number, part in enumerate(parts[:-1]):
        if part in HOMES:
            return parts[number + 2 :]
    home = Path.home().parts
    return parts[len(home) :] if tuple(parts[: len(home)]) == home else parts[1:]
