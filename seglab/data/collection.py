"""The data sets of a command: all pairs, and the reason why any other file is in no pair.

Every image and mask is accounted for: files in no pair are in ``left_out`` of their set, and pairs in no part of a
split are in its ``unused`` (:class:`seglab.data.splits.Split`).
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from seglab.data.finding.found import Found, is_too_much, some
from seglab.data.finding.layouts import found_at, found_in_folders, sets_in
from seglab.data.finding.lesions import Lesions
from seglab.data.finding.names import is_isic
from seglab.data.pairs import DrawnPair, FilePair, Pair
from seglab.data.splits import ASKED, Split
from seglab.errors import DataError
from seglab.words import counted

EVERYWHERE = re.compile(r"(ISIC|HAM|IL)_\d+")
"""Pattern of names of lesions that are the same in every data set."""


@dataclass(frozen=True)
class DataSet:
    """One data set.

    ``name``: name of its folder, with a number where several have the same name. ``layout``: in words. ``left_out``:
    files in no pair, by the reason in words. ``images``: number of images, with or without a mask. ``remarks``: further
    lines to print. ``lesions``: what its tables say, by the ids of the pairs.
    """

    name: str
    root: Path
    layout: str
    pairs: tuple[Pair, ...]
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    images: int = 0
    remarks: tuple[str, ...] = ()
    lesions: Lesions = field(default_factory=Lesions)


@dataclass(frozen=True)
class Collection:
    """The data sets of one command. Ids are unique, except those from ISIC: the same one means the same picture."""

    sets: tuple[DataSet, ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs, set by set."""
        return tuple(pair for found in self.sets for pair in found.pairs)

    @property
    def by_set(self) -> dict[str, tuple[Pair, ...]]:
        """Pairs by the name of their set."""
        return {found.name: found.pairs for found in self.sets}


def collect(roots: Iterable[Path], folders: Iterable[tuple[Path, Path]] = ()) -> Collection:
    """Find the pairs of every data set; ``folders``: pairs of a folder of images and its folder of masks.

    A folder of several sets stands for all of them. A set that is named twice is read once; a file in two sets belongs
    to the first. Raises :class:`DataError` for an unknown layout, or where too much of a set would be lost.
    """
    found: dict[tuple[str, ...], tuple[Path, Found]] = {}
    for root in chain.from_iterable(map(sets_in, roots)):
        if (key := (os.path.realpath(root),)) not in found:
            found[key] = root, found_at(root)
    for images, masks in folders:
        if (both := (os.path.realpath(images), os.path.realpath(masks))) not in found:
            found[both] = images, found_in_folders(images, masks)
    names = _names([root for root, _ in found.values()])
    sets = [_data_set(name, root, entry) for name, (root, entry) in zip(names, found.values(), strict=True)]
    return Collection(tuple(_told_apart(_without_repeated(sets))))


def _names(roots: Sequence[Path]) -> list[str]:
    """Return a name for each set: the name of its folder or file, with a number where it is taken."""
    names: list[str] = []
    for root in roots:
        resolved = root.resolve()
        name = first = resolved.stem if root.is_file() else resolved.name or "data"
        number = 1
        while name in names:
            number += 1
            name = f"{first}-{number}"
        names.append(name)
    return names


def _data_set(name: str, root: Path, found: Found) -> DataSet:
    left_out = {reason: tuple(names) for reason, names in found.left_out.items()}
    pairs, remarks = tuple(found.pairs), tuple(found.remarks)
    return DataSet(name, root, found.layout, pairs, left_out, found.images, remarks, found.lesions)


def _without_repeated(sets: Iterable[DataSet]) -> Iterator[DataSet]:
    """Yield sets without pairs that an earlier set has, because one named folder may be inside another."""
    owner: dict[str, str] = {}
    folders: dict[Path, str] = {}

    def place(pair: Pair) -> str:
        path = Path(pair.source)
        if path.parent not in folders:
            folders[path.parent] = os.path.realpath(path.parent)
        return os.path.join(folders[path.parent], path.name)

    for found in sets:
        again: dict[str, list[str]] = {}
        kept = []
        for pair in found.pairs:
            if (first := owner.setdefault(place(pair), found.name)) == found.name:
                kept.append(pair)
            else:
                again.setdefault(f"also in {first}", []).append(pair.id)
        left_out = {**found.left_out, **{reason: tuple(ids) for reason, ids in again.items()}}
        yield dataclasses.replace(found, pairs=tuple(kept), left_out=left_out)


def _told_apart(sets: Iterable[DataSet]) -> Iterator[DataSet]:
    """Yield sets with the set's name put before ids and lesions that several sets have."""
    sets = list(sets)
    ids = Counter(id for found in sets for id in {pair.id for pair in found.pairs})
    lesions = Counter(lesion for found in sets for lesion in {pair.lesion for pair in found.pairs})
    for found in sets:
        shared = {pair.lesion for pair in found.pairs if ids[pair.id] > 1 and not is_isic(pair.id)}
        shared |= {pair.lesion for pair in found.pairs if lesions[pair.lesion] > 1}
        shared = {lesion for lesion in shared if not EVERYWHERE.fullmatch(lesion)}
        pairs = []
        for pair in found.pairs:
            id = f"{found.name}/{pair.id}" if ids[pair.id] > 1 and not is_isic(pair.id) else pair.id
            lesion = f"{found.name}/{pair.lesion}" if pair.lesion in shared else pair.lesion
            pairs.append(pair if (id, lesion) == (pair.id, pair.lesion) else pair.named(id, lesion))
        renamed = {before.id: pair.id for before, pair in zip(found.pairs, pairs, strict=True)}
        yield dataclasses.replace(found, pairs=tuple(pairs), lesions=found.lesions.renamed(renamed))


def oriented(collection: Collection, orientation: str) -> Collection:
    """Return the collection with masks that fit the images as ``stored``, or as turned by EXIF (``exif``)."""
    if orientation == "exif":
        return collection
    sets = [dataclasses.replace(found, pairs=tuple(map(_as_stored, found.pairs))) for found in collection.sets]
    return Collection(tuple(sets))


def _as_stored(pair: Pair) -> Pair:
    return dataclasses.replace(pair, orientation="stored") if isinstance(pair, FilePair | DrawnPair) else pair


def used_lines(
    collection: Collection, parts: Mapping[str, Sequence[Pair]], unused: Mapping[str, Sequence[Pair]]
) -> Iterator[str]:
    """Yield a line for each set with the used images by part, and a line for each reason why others are not used."""
    for found in collection.sets:
        own = {pair.source for pair in found.pairs}
        counts = {part: sum(pair.source in own for pair in pairs) for part, pairs in parts.items()}
        shown = ", ".join(f"{count:,} {part}" for part, count in counts.items() if count) or "none"
        total = max(found.images, len(found.pairs))
        yield f"{found.name}: used {sum(counts.values()):,} of {counted(total, 'image')} ({shown})"
        for reason, pairs in unused.items():
            if lost := [pair.id for pair in pairs if pair.source in own]:
                yield f"{found.name}: {len(lost)} not used: {reason}: {some(lost)}"
        for reason, names in found.left_out.items():
            yield f"{found.name}: {len(names)} left out: {reason}: {some(names)}"
        yield from (f"{found.name}: {remark}" for remark in found.remarks)


def require_used(collection: Collection, split: Split) -> None:
    """Raise :class:`DataError` where a split loses a tenth or more of a set against the user's wish."""
    for fault in too_much_unused(collection, split):
        raise DataError(fault)


def too_much_unused(collection: Collection, split: Split) -> Iterator[str]:
    """Yield a fault for each set of which a split loses a tenth or more against the user's wish."""
    for found in collection.sets:
        own = {pair.source for pair in found.pairs}
        lost = {
            reason: sum(pair.source in own for pair in pairs)
            for reason, pairs in split.unused.items()
            if reason not in ASKED
        }
        if is_too_much(sum(lost.values()), len(found.pairs)):
            reasons = ", ".join(f"{count} {reason}" for reason, count in lost.items() if count)
            yield (
                f"{sum(lost.values()):,} of {counted(len(found.pairs), 'image')} of {found.name} would not be used "
                f"({reasons}); expected less than 10 % of a set. Leave the set out, or use another split: --set "
                "split=auto or split=seeded."
            )
