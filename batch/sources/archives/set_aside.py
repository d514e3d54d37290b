"""Which members of an archive belong to a data set but are not photographs, see :mod:`batch.sources.data_sets`."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from batch.sources.archives.member import Member
from batch.sources.data_sets import SAMPLE, DataSets, Parts, kind_beside, may_be_data_set, may_lie_beside
from batch.sources.image_ref import below
from seglab.errors import ImageError


@dataclass
class _Contents:
    """What an archive holds: folders by parent, files, and the first pictures of folders that may hold masks."""

    folders: dict[Parts, set[str]] = field(default_factory=lambda: defaultdict(set))
    files: set[str] = field(default_factory=set)
    pictures: dict[Parts, list[Member]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, members: Iterator[Member]) -> _Contents:
        found = cls()
        for member in filter(lambda member: member.wanted, members):
            name = below(member.name)
            *folders, _ = name.split("/")
            found.files.add(name)
            for end, folder in enumerate(folders, 1):
                place = tuple(folders[:end])
                found.folders[place[:-1]].add(folder)
                if may_be_data_set(folder) and len(found.pictures[place]) < SAMPLE:
                    found.pictures[place].append(member)
        return found


class SetAside:
    """The data sets in one archive. ``name``: of the archive, without suffix; ``walk``: goes through its members again,
    called only if a folder or file has a name known from data sets.
    """

    def __init__(self, name: str, walk: Callable[[], Iterator[Member]], suffixes: frozenset[str]) -> None:
        self._name, self._walk, self._suffixes = name, walk, suffixes
        self._known: dict[str, str | None] = {}

    def kind(self, name: str) -> str | None:
        """Return what a member is, in the plural for counting, if it belongs to a data set but is not a photograph."""
        folder, _, file = below(name).rpartition("/")
        if folder not in self._known:
            self._known[folder] = self._kind_of(tuple(folder.split("/")))
        if self._known[folder] is None and may_lie_beside(file):
            return kind_beside(file, lambda other: f"{folder}/{other}".lstrip("/") in self._files, self._suffixes)
        return self._known[folder]

    def _kind_of(self, folder: Parts) -> str | None:
        for end, name in enumerate(folder, 1):
            if may_be_data_set(name) and (kind := self._data_sets.kind(folder[:end])) is not None:
                return kind
        return None

    @functools.cached_property
    def _contents(self) -> _Contents:
        return _Contents.of(self._walk())

    @property
    def _files(self) -> set[str]:
        return self._contents.files

    @functools.cached_property
    def _data_sets(self) -> DataSets:
        contents = self._contents
        return DataSets(
            self._name,
            lambda place: sorted(contents.folders.get(place, ())),
            lambda place: _hold_masks(contents.pictures[place]),
        )


def _hold_masks(members: Iterable[Member]) -> bool:
    """Return whether the pictures are masks; pictures that cannot be read are ignored."""
    from seglab.images.masks import is_mask

    found = False
    for member in members:
        try:
            if not is_mask(member.content.read().data):
                return False
            found = True
        except ImageError:
            continue
    return found
