"""Matching of images and truths by name, first within the same part and folder."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seglab.data.finding.names import image_names, truth_names
from seglab.errors import DataError


@dataclass(frozen=True)
class Placed:
    """A picture with its ``part`` and its ``place``: its folders, except those that say a role or a part.

    ``qualifier``: other words in the names of folders with a role, such as ``512`` in ``images_512``. ``folders``: all
    folders between the root of the set and the picture.
    """

    path: Path
    part: str = ""
    place: tuple[str, ...] = ()
    qualifier: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        return self.path.stem


@dataclass
class Matches:
    """Images with their truths, and the files that are left. ``doubled``: repeated files with equal bytes."""

    pairs: list[tuple[Placed, Placed]] = field(default_factory=list)
    images: list[Placed] = field(default_factory=list)
    truths: list[Placed] = field(default_factory=list)
    doubled: list[Placed] = field(default_factory=list)


Scope = Callable[[Placed], Hashable]
Groups = dict[Hashable, list[Placed]]


def match(images: Iterable[Placed], truths: Iterable[Placed]) -> Matches:
    """Pair images and truths: within the same part and folders first, then in the part, then anywhere.

    Raises :class:`DataError` where two different files fit as the truth of one image.
    """
    found = Matches()
    found.images, found.doubled = _without_doubled(images)
    found.truths = list(truths)
    scopes: tuple[Scope, ...] = (
        lambda file: (file.part, file.place, file.qualifier),
        lambda file: (file.part, file.place),
        lambda file: file.part,
    )
    for scope in scopes:
        _match_groups(found, _grouped(found.images, scope), _grouped(found.truths, scope))
    _match_groups(found, {"": found.images}, {"": [truth for truth in found.truths if not truth.part]})
    _match_groups(found, {"": [image for image in found.images if not image.part]}, {"": found.truths})
    doubled = {_folded(file.stem) for file in found.doubled}
    for truth in found.truths:
        if any(_folded(name) in doubled for name in truth_names(truth.stem)):
            found.doubled.append(truth)
    gone = {file.path for file in found.doubled}
    found.truths = [truth for truth in found.truths if truth.path not in gone]
    return found


def _without_doubled(images: Iterable[Placed]) -> tuple[list[Placed], list[Placed]]:
    """Return the distinct images and the repeated ones: same name, same part, equal bytes."""
    by_name: dict[Hashable, list[Placed]] = defaultdict(list)
    for image in images:
        by_name[image.part, image.stem].append(image)
    kept: list[Placed] = []
    doubled: list[Placed] = []
    for same in by_name.values():
        firsts: list[Placed] = []
        for image in same:
            is_again = any(same_bytes(image.path, first.path) for first in firsts)
            (doubled if is_again else firsts).append(image)
        kept += firsts
    return kept, doubled


def ambiguous(name: str, first: Path, second: Path) -> DataError:
    """Return the error for two files that both fit ``name``."""
    return DataError(f"Two files fit {name}: {first} and {second}; expected one. Remove one of them.")


def same_bytes(first: Path, second: Path) -> bool:
    """Return whether two files have the same content; False where one cannot be read."""
    try:
        return os.path.getsize(first) == os.path.getsize(second) and first.read_bytes() == second.read_bytes()
    except OSError:
        return False


def _grouped(files: Iterable[Placed], scope: Scope) -> Groups:
    groups: Groups = defaultdict(list)
    for file in files:
        groups[scope(file)].append(file)
    return groups


def _match_groups(found: Matches, images: Groups, truths: Groups) -> None:
    """Pair images and truths in groups with the same key."""
    taken: set[Path] = set()
    known = {image.part for image, _ in found.pairs}
    for key in (key for key in images if key in truths):
        may_learn = known.isdisjoint(image.part for image in images[key])
        for image, truth in _match_names(images[key], truths[key], found.doubled, may_learn=may_learn):
            found.pairs.append((image, truth))
            taken |= {image.path, truth.path}
    taken |= {file.path for file in found.doubled}
    found.images = [image for image in found.images if image.path not in taken]
    found.truths = [truth for truth in found.truths if truth.path not in taken]


def _match_names(
    images: Sequence[Placed], truths: Sequence[Placed], doubled: list[Placed], *, may_learn: bool
) -> Iterator[tuple[Placed, Placed]]:
    """Yield pairs by name. ``may_learn``: no pair of this part is known yet, so its naming may be inferred."""
    if not images or not truths:
        return
    claims = _claims(images, truths)
    if not claims or max(map(len, claims.values())) > 1:
        claims = _with_one_ending(images, truths) or (_learned(images, truths) if may_learn else {}) or claims
    by_path = {image.path: image for image in images}
    for path, claimed in claims.items():
        first = claimed[0]
        for other in claimed[1:]:
            if not same_bytes(first.path, other.path):
                raise ambiguous(f"the truth of {path.name}", first.path, other.path)
            doubled.append(other)
        yield by_path[path], first


Claims = dict[Path, list[Placed]]


def _claims(images: Sequence[Placed], truths: Sequence[Placed]) -> Claims:
    """Return the truths of each image by naming rules, the surest first; a name that fits two images is skipped."""
    claims: Claims = defaultdict(list)
    left = list(truths)
    for of_image, of_truth in _WAYS:
        named: dict[str, set[Path]] = defaultdict(set)
        for image in images:
            for name in of_image(image.stem):
                named[name].add(image.path)
        unmatched = []
        for truth in left:
            fitting = (named[name] for name in of_truth(truth.stem) if name in named)
            meant = next((paths for paths in fitting if len(paths) == 1), None)
            if meant:
                claims[next(iter(meant))].append(truth)
            else:
                unmatched.append(truth)
        left = unmatched
    return claims


def _with_one_ending(images: Sequence[Placed], truths: Sequence[Placed]) -> Claims:
    """Return the truth of each image if removing one known affix maps the truths to the images one to one."""
    by_name = {_folded(image.stem): image.path for image in images}
    stems = [_folded(truth.stem) for truth in truths]
    for name in filter(None, list(truth_names(stems[0]))[1:]):
        before, _, behind = stems[0].partition(name)
        names = [stem[len(before) : len(stem) - len(behind)] for stem in stems]
        is_whole = [before + name + behind for name in names] == stems and set(names) == by_name.keys()
        if is_whole and len(images) == len(by_name) == len(truths):
            return {by_name[name]: [truth] for name, truth in zip(names, truths, strict=True)}
    return {}


def _learned(images: Sequence[Placed], truths: Sequence[Placed]) -> Claims:
    """Return the truth of each image if removing the common beginning and end of all names makes them match."""
    if min(len(images), len(truths)) < 2:
        return {}
    of_images, around_images = _cores([_folded(image.stem) for image in images])
    of_truths, around_truths = _cores([_folded(truth.stem) for truth in truths])
    by_core = {core: image.path for core, image in zip(of_images, images, strict=True)}
    is_told = len(by_core) == len(images) and len(set(of_truths)) == len(truths) and by_core.keys() >= set(of_truths)
    numbers = [re.findall(r"\d+", around) for around in (around_images, around_truths)]
    if not is_told or (all(numbers) and numbers[0] != numbers[1]):  # such as 2020_1 and 2021_1
        return {}
    return {by_core[core]: [truth] for core, truth in zip(of_truths, truths, strict=True)}


def _cores(stems: Sequence[str]) -> tuple[list[str], str]:
    """Return stems without their common beginning and end, cut at the end of a word or number, and what was cut."""
    start = _shared(stems)
    while start and not all(_is_border(stem, start) for stem in stems):
        start -= 1
    rests = [stem[start:] for stem in stems]
    end = _shared([rest[::-1] for rest in rests])
    while end and not all(_is_border(rest, len(rest) - end) for rest in rests):
        end -= 1
    first = rests[0]
    return [rest[: len(rest) - end] for rest in rests], f"{stems[0][:start]} {first[len(first) - end :]}"


def _shared(stems: Sequence[str]) -> int:
    """Return the length of the common beginning of all stems."""
    first, last = min(stems), max(stems)
    return next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _is_border(stem: str, at: int) -> bool:
    """Return whether a cut at index ``at`` does not divide a word or a number of ``stem``."""
    if not 0 < at < len(stem):
        return False
    before, after = stem[at - 1], stem[at]
    return before.isdigit() != after.isdigit() or not before.isalnum() or not after.isalnum()


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _one(name: str) -> Iterator[str]:
    yield name


Names = Callable[[str], Iterable[str]]
_WAYS: tuple[tuple[Names, Names], ...] = (
    (_one, _one),
    (lambda stem: _one(_composed(stem)), lambda stem: truth_names(_composed(stem))),
    (lambda stem: _one(_folded(stem)), lambda stem: truth_names(_folded(stem))),
    (lambda stem: image_names(_folded(stem)), lambda stem: truth_names(_folded(stem))),
)
