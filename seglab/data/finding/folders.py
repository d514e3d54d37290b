"""Pairs of image files and mask files in folders of any names."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seglab.data.finding import names
from seglab.data.finding.drawn import Drawn
from seglab.data.finding.found import OURS, Found, is_too_much, not_understood
from seglab.data.finding.matching import Matches, Placed, ambiguous, match
from seglab.data.finding.names import image_id, image_names, is_isic, part_of, role_of, truth_names
from seglab.data.finding.walk import Tree

MASK_SUFFIXES = frozenset({".png", ".gif", ".bmp"})
"""Suffixes of masks that lie beside photographs and have the same stems."""
WITHOUT_TRUTH = re.compile(r"ISIC2018_Task3_\w+_Input", re.IGNORECASE)
"""Official image folders without masks."""
PART_1 = re.compile(r"ISBI2016_ISIC_Part1_\w+", re.IGNORECASE)
OTHER_PARTS = re.compile(r"ISBI2016_ISIC_Part(2B?|3B?)_\w+", re.IGNORECASE)
"""Folders of ISIC 2016 that repeat the pictures of Part1 for other tasks."""


@dataclass
class Files:
    """The pictures of a set by role, and those left out, by the reason."""

    images: list[Placed] = field(default_factory=list)
    truths: list[Placed] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def add(self, pictures: Iterable[Placed], role_of: Callable[[tuple[str, ...]], tuple[str, str]]) -> None:
        """Add pictures by the role of their folders; without a known role they count as images."""
        for picture in pictures:
            role, kind = role_of(picture.folders)
            beside = next((kind for pattern, kind in names.BESIDE if pattern.fullmatch(picture.stem)), "")
            if beside or role == names.OTHER:
                self.left_out[beside or kind].append(picture.path)
            else:
                (self.truths if role == names.TRUTH else self.images).append(picture)


def placed(root: Path, paths: Iterable[Path]) -> list[Placed]:
    """Return pictures with the part, place and qualifier that the names of their folders give."""
    known: dict[Path, Placed] = {}
    found = []
    for path in paths:
        if path.parent not in known:
            known[path.parent] = _placed_folder(root, path.parent)
        found.append(dataclasses.replace(known[path.parent], path=path))
    return found


def _placed_folder(root: Path, folder: Path) -> Placed:
    folders = folder.relative_to(root).parts
    place, qualifier = [], []
    for name in folders:
        words = names.words_of(name)
        has_role = bool(role_of((name,))[0])
        if has_role:
            qualifier += [word for word in re.split(r"[\W_]+", name.lower()) if names.tells_apart(word)]
        elif not any(word in names.PART_NAMES for word in words):
            place.append(name)
    return Placed(folder, part_of(root, folder / "_"), tuple(place), tuple(qualifier), folders)


def files_of(tree: Tree) -> Files:
    """Return the pictures of a set by the roles of their folders."""
    files = Files()
    files.add(placed(tree.root, tree.pictures), role_of)
    _leave_out_repeated(files)
    return files


def _leave_out_repeated(files: Files) -> None:
    """Leave out ISIC 2016's copies for other tasks of the pictures of Part1, if the masks of Part1 are there."""

    def lies_in(file: Placed, pattern: re.Pattern[str]) -> bool:
        return any(map(pattern.fullmatch, file.folders))

    if not any(lies_in(truth, PART_1) for truth in files.truths):
        return
    first = {(image.part, image.stem) for image in files.images if lies_in(image, PART_1)}
    kept = []
    for image in files.images:
        is_again = any((image.part, name) in first for name in truth_names(image.stem))
        if is_again and lies_in(image, OTHER_PARTS):
            files.left_out["copies of pictures of Part1 for another task"].append(image.path)
        else:
            kept.append(image)
    files.images = kept


def match_files(files: Files) -> Matches:
    """Pair masks from mask folders with images. If none of them is left over, also pair masks beside images."""
    found = match(files.images, files.truths)
    if found.truths:
        return found
    folders: dict[Path, list[Placed]] = defaultdict(list)
    for image in found.images:
        folders[image.path.parent].append(image)
    for image, _ in found.pairs:
        folders.pop(image.path.parent, None)
    for inside in folders.values():
        _match_beside(inside, found)
    return found


def _match_beside(inside: Sequence[Placed], found: Matches) -> None:
    """Pair the files of one folder that holds both images and masks."""
    stems = {name for file in inside for name in image_names(file.stem.casefold())}
    truths = [file for file in inside if any(name in stems for name in [*truth_names(file.stem.casefold())][1:])]
    if not truths:
        truths = [file for file in inside if file.path.suffix.lower() in MASK_SUFFIXES]
    chosen = {truth.path for truth in truths}
    here = match([file for file in inside if file.path not in chosen], truths)
    if not here.pairs:
        return
    gone = {file.path for file in inside} - {file.path for file in here.images}
    found.images = [image for image in found.images if image.path not in gone]
    found.pairs += here.pairs
    found.truths += here.truths
    found.doubled += here.doubled


def account(found: Found, tree: Tree, left_out: Mapping[str, Sequence[Path]], matches: Matches, drawn: Drawn) -> None:
    """Record the files of a set that are in no pair, with the reason.

    Raises :class:`DataError` where no pair is left, or too much would be lost.
    """
    _require_one_each(matches)
    for reason, paths in left_out.items():
        found.leave_out(reason, map(tree.name, paths))
    found.leave_out("there twice", (tree.name(file.path) for file in matches.doubled))
    alone = [image for image in matches.images if image.path not in drawn.outlines]
    used = [image for image, _ in matches.pairs] + [image for image in matches.images if image.path in drawn.outlines]
    groups = _without_truth(used, matches)
    for image in alone:
        if (group := _group(image)) in groups:
            found.leave_out(f"no truth masks of {group}", [tree.name(image.path)])
    lost = [image for image in alone if _group(image) not in groups]
    _leave_out_lost(found, tree, used, lost, [*(tree.name(truth.path) for truth in matches.truths), *drawn.missing])
    found.images += len(used) + len(alone)


def _leave_out_lost(
    found: Found, tree: Tree, used: Sequence[Placed], lost: Sequence[Placed], truths: Sequence[str]
) -> None:
    """Record the images and truths without a partner. Raises :class:`DataError` where there are too many."""
    images = [tree.name(image.path) for image in lost]
    not_read, ours = ([tree.name(path) for path in paths] for paths in (tree.not_read, tree.ours))
    lost_parts = {image.part for image in lost} - {image.part for image in used}
    if lost_parts or any(is_too_much(len(names), len(used) + len(names)) for names in (images, truths)) or not used:
        raise not_understood(tree.root, len(used), images, truths, not_read, ours)
    found.leave_out("no truth mask", images)
    found.leave_out("no image", truths)
    found.leave_out("of a kind that is not read", not_read)
    found.leave_out(OURS, ours)


def _without_truth(used: Iterable[Placed], matches: Matches) -> set[str]:
    """Return the parts of a set without any masks, which is no loss: their masks were never published."""
    with_truth = {_group(image) for image in used}
    if not with_truth:
        return set()
    groups = {_group(image) for image in matches.images} - with_truth - {truth.part for truth in matches.truths}
    return {group for group in groups if group in ("validation", "test") or WITHOUT_TRUTH.fullmatch(group)}


def _require_one_each(matches: Matches) -> None:
    """Raise :class:`DataError` where a truth fits two images of one folder with the same name."""
    wanted = {name for truth in matches.truths for name in truth_names(truth.stem)}
    seen: dict[Hashable, Path] = {}
    for image in matches.images:
        first = seen.setdefault((image.part, image.place, image.qualifier, image.stem), image.path)
        if first != image.path and image.stem in wanted:
            raise ambiguous(image.stem, first, image.path)


def _group(image: Placed) -> str:
    """Return the group of images whose masks are published together or not at all."""
    return next((folder for folder in image.folders if WITHOUT_TRUTH.fullmatch(folder)), image.part)


def ids_of(root: Path, images: Iterable[Placed]) -> Mapping[Path, str]:
    """Return an id for each image. Where several have the same one, the part, or else the folder, is added.

    Ids from ISIC are kept: the same id means the same picture.
    """
    by_id: dict[str, list[Placed]] = defaultdict(list)
    for image in images:
        by_id[image_id(image.path)].append(image)
    ids: dict[Path, str] = {}
    for id, same in by_id.items():
        told = [id] * len(same) if len(same) == 1 or is_isic(id) else _distinct_ids(root, id, same)
        ids |= dict(zip((image.path for image in same), told, strict=True))
    return ids


def _distinct_ids(root: Path, id: str, images: Sequence[Placed]) -> list[str]:
    ways = (
        [f"{image.part}/{id}" if image.part else id for image in images],
        ["/".join(filter(None, (image.part, *image.place, id))) for image in images],
        ["/".join(filter(None, (image.part, *image.place, *image.qualifier, id))) for image in images],
    )
    for told in ways:
        if max(Counter(told).values()) == 1:
            return told
    return [Tree(root).name(image.path) for image in images]
