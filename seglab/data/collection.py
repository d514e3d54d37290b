"""Data sets of a command put together: every pair, and what became of every other image and mask.

Nothing that a data set holds is lost without a word: what is not a pair is in ``left_out`` of its set, and what no part
of a split takes is in ``unused`` of the split (:class:`seglab.data.splits.Split`).
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
"""Names of lesions that are the same in every data set."""


@dataclass(frozen=True)
class DataSet:
    """One data set that was found.

    ``name``: its folder's name, or that with a number where several are called alike. ``layout``: in words.
    ``left_out``: files that are in no pair, by the reason in words. ``images``: how many it holds, with a mask or
    without. ``remarks``: what else is to be said of it. ``lesions``: what its tables say, by id as the pairs have it.
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
    """The data sets of one command. Ids are unique in it, but for those that ISIC gave: the same picture has one."""

    sets: tuple[DataSet, ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs, one set after another."""
        return tuple(pair for found in self.sets for pair in found.pairs)

    @property
    def by_set(self) -> dict[str, tuple[Pair, ...]]:
        """The pairs by the name of their set."""
        return {found.name: found.pairs for found in self.sets}


def collect(roots: Iterable[Path], folders: Iterable[tuple[Path, Path]] = ()) -> Collection:
    """Find the pairs of every data set; ``folders``: each a folder of images with its folder of masks.

    A folder of several sets is all of them. A set that is named twice is read once; a file of two sets is in the first.
    Raises :class:`DataError` where a set is not understood, or where too much of it would be lost.
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
    """Return a name for each set: that of its folder or file, and a number where it is taken."""
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
    """Yield sets without the pairs whose file is in one before: one folder may lie in another that was named, too."""
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
                again.setdefault(f"in {first}, which was named, too", []).append(pair.id)
        left_out = {**found.left_out, **{reason: tuple(ids) for reason, ids in again.items()}}
        yield dataclasses.replace(found, pairs=tuple(kept), left_out=left_out)


def _told_apart(sets: Iterable[DataSet]) -> Iterator[DataSet]:
    """Yield sets in which ids, and names of lesions, that two of them have begin with the set's name."""
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
    """Return the collection with its masks taken as drawn on the ``stored`` images, or as ``exif`` turns them."""
    if orientation == "exif":
        return collection
    sets = [dataclasses.replace(found, pairs=tuple(map(_as_stored, found.pairs))) for found in collection.sets]
    return Collection(tuple(sets))


def _as_stored(pair: Pair) -> Pair:
    return dataclasses.replace(pair, orientation="stored") if isinstance(pair, FilePair | DrawnPair) else pair


def used_lines(
    collection: Collection, parts: Mapping[str, Sequence[Pair]], unused: Mapping[str, Sequence[Pair]]
) -> Iterator[str]:
    """Yield what of each set is used, by part, and why the rest is not: a line a set, then a line a reason."""
    for found in collection.sets:
        own = {pair.source for pair in found.pairs}
        counts = {part: sum(pair.source in own for pair in pairs) for part, pairs in parts.items()}
        shown = ", ".join(f"{count} {part}" for part, count in counts.items() if count) or "none"
        total = max(found.images, len(found.pairs))
        yield f"{found.name}: used {sum(counts.values())} of {counted(total, 'image')} ({shown})"
        for reason, pairs in unused.items():
            if lost := [pair.id for pair in pairs if pair.source in own]:
                yield f"{found.name}: {len(lost)} not used: {reason}: {some(lost)}"
        for reason, names in found.left_out.items():
            yield f"{found.name}: {len(names)} left out: {reason}: {some(names)}"
        yield from (f"{found.name}: {remark}" for remark in found.remarks)


def require_used(collection: Collection, split: Split) -> None:
    """Raise :class:`DataError` where a split leaves a tenth of a set unused that nobody asked to leave out."""
    for fault in too_much_unused(collection, split):
        raise DataError(fault)


def too_much_unused(collection: Collection, split: Split) -> Iterator[str]:
    """Yield of which sets a split leaves a tenth unused, or more, that nobody asked to leave out."""
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
                f"{sum(lost.values())} of {counted(len(found.pairs), 'image')} of {found.name} would not be used "
                f"({reasons}); expected to lose less than a tenth of a set. Leave the set out, or split otherwise: "
                "--set split=auto, or split=seeded."
            )
