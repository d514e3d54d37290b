"""The pairs of data sets in known layouts, and the reason why any other image or mask is in no pair.

Layouts are recognised by names of folders (ISIC, HAM10000, PH2, and any that say images and masks), by names of files,
and by outlines or arrays in files. A root may hold several parts (training, validation, test): all are read, and every
pair knows its part.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from seglab.data.finding.arrays import array_files, pairs_of_arrays
from seglab.data.finding.conventions import LAYOUTS, TELLING_LAYOUTS
from seglab.data.finding.drawn import Drawn, add_coco, drawn_truths, read_coco
from seglab.data.finding.folders import Files, account, files_of, ids_of, match_files, placed
from seglab.data.finding.found import Found
from seglab.data.finding.lesions import lesions_of
from seglab.data.finding.matching import Matches
from seglab.data.finding.names import IMAGE, TRUTH, part_of, role_of
from seglab.data.finding.tables import SUFFIXES as TABLES
from seglab.data.finding.tables import TABLE_IN_FOLDER, found_in_table, is_table_of_pairs
from seglab.data.finding.walk import Tree, walk
from seglab.data.pairs import DrawnPair, FilePair, Pair
from seglab.data.store import failed_in, is_prepared, read_index
from seglab.errors import DataError


def find_pairs(root: Path) -> list[Pair]:
    """Return the pairs of one data set; see :func:`found_at`."""
    return found_at(root).pairs


def find_file_pairs(root: Path) -> list[FilePair]:
    """Return the pairs below the folder ``root`` that are two image files, from one set or several.

    Raises :class:`DataError` where there are none, and like :func:`found_at`.
    """
    tree = walk(root)
    found = [pair for pair in _found_in_files(tree, files_of(tree)).pairs if isinstance(pair, FilePair)]
    if not found:
        raise DataError(f"{root} has no truth masks that are image files; expected some for the images. Add them.")
    return found


def found_at(root: Path) -> Found:
    """Find the pairs of one data set: a folder, a table of pairs, a COCO file, or MedSegBench's ``.npz``.

    Raises :class:`DataError` for an unknown layout, or where a tenth or more of the images or masks has no partner.
    """
    suffix = root.suffix.lower() if root.is_file() else ""
    if suffix in TABLES:
        return found_in_table(root)
    if suffix == ".json":
        return _found_in_coco(root)
    if suffix == ".npz":
        pairs = pairs_of_arrays(root)
        return Found("arrays of MedSegBench", pairs, images=len(pairs))
    if is_prepared(root):
        pairs, failed = list(read_index(root)), failed_in(root)
        found = Found("prepared", pairs, images=len(pairs) + len(failed))
        found.leave_out("could not be read when the set was prepared", failed)
        return found
    if is_table_of_pairs(table := root / TABLE_IN_FOLDER):
        return _found_by_table(root, table)
    tree = walk(root)
    arrays = [pair for file in array_files(tree.others) for pair in pairs_of_arrays(file)]
    if arrays and not tree.pictures:
        return Found("arrays of MedSegBench", arrays, images=len(arrays))
    found = _found_in_files(tree, files_of(tree))
    found.pairs += arrays
    found.images += len(arrays)
    return found


def _found_by_table(root: Path, table: Path) -> Found:
    """Find the pairs of a folder by the table in it, and list the pictures that the table does not name."""
    found, tree = found_in_table(table), walk(root)
    pairs = [pair for pair in found.pairs if isinstance(pair, FilePair)]
    named = {os.path.realpath(path) for pair in pairs for path in (pair.image, pair.truth)}
    others = [tree.name(path) for path in tree.pictures if os.path.realpath(path) not in named]
    found.leave_out(f"not named in {TABLE_IN_FOLDER}", others)
    return found


def sets_in(root: Path) -> list[Path]:
    """Return the folders of the data sets in ``root``: ``root`` itself, or its children if several of them are sets.

    A child is a set if it has an official layout, has parts, or is prepared. Where several are, every other child with
    pictures also counts as a set, so that none is lost.
    """
    if not root.is_dir() or is_prepared(root) or is_table_of_pairs(root / TABLE_IN_FOLDER):
        return [root]
    inner: dict[str, set[tuple[str, ...]]] = {}
    for folder in {path.parent for path in walk(root).pictures}:
        first, *deeper = folder.relative_to(root).parts or [""]
        inner.setdefault(first, set()).add(tuple(deeper))
    prepared = {path.name for path in root.iterdir() if is_prepared(path)}
    sets = {child for child, folders in inner.items() if child and _is_whole(child, folders)} | prepared
    return [root / child for child in sorted(prepared | inner.keys())] if len(sets) > 1 and "" not in inner else [root]


def _is_whole(child: str, folders: Iterable[tuple[str, ...]]) -> bool:
    """Return whether a child has images and truths in an official layout or in parts.

    ``folders``: the folders below it that hold pictures.
    """
    names = set(chain.from_iterable(folders))
    for layout in TELLING_LAYOUTS:
        if all(any(map(pattern.fullmatch, names)) for pattern in (layout.images, layout.truths)):
            return True
    in_parts = {role_of(parts)[0] for parts in folders if part_of(Path(), Path(*parts, "_"))}
    return in_parts >= {IMAGE, TRUTH} and not role_of((child,))[0] and not part_of(Path(), Path(child, "_"))


def found_in_folders(images: Path, masks: Path) -> Found:
    """Find the pairs of a folder of images and a folder of masks. Raises like :func:`found_at`."""
    tree, of_masks = walk(images), walk(masks)
    if os.path.samefile(images, masks):
        return _found_in_files(tree, files_of(tree))
    files = Files()
    files.add(placed(images, _outside(tree, masks)), lambda folders: (IMAGE, ""))
    files.add(placed(masks, _outside(of_masks, images)), lambda folders: (TRUTH, ""))
    tree.not_read += [path for path in of_masks.not_read if path not in tree.not_read]
    return _found_in_files(tree, files)


def _outside(tree: Tree, inner: Path) -> list[Path]:
    """Return the pictures of a tree, without those in the folder ``inner`` inside it."""
    root, real = os.path.realpath(tree.root), os.path.realpath(inner)
    if not _lies_in(real, root):
        return tree.pictures
    below = {folder for folder in {path.parent for path in tree.pictures} if _lies_in(os.path.realpath(folder), real)}
    return [path for path in tree.pictures if path.parent not in below]


def _lies_in(folder: str, above: str) -> bool:
    return os.path.commonpath([folder, above]) == above


def _found_in_coco(path: Path) -> Found:
    tree, drawn = walk(path.parent), Drawn()
    named = add_coco(drawn, path, read_coco(path), tree.pictures)
    tree.not_read.clear()
    return _put_together(tree, {}, Matches(images=placed(tree.root, named)), drawn)


def _found_in_files(tree: Tree, files: Files) -> Found:
    matches = match_files(files)
    drawn = drawn_truths(tree, (image.path for image in matches.images))
    return _put_together(tree, files.left_out, matches, drawn)


def _put_together(tree: Tree, left_out: Mapping[str, Sequence[Path]], matches: Matches, drawn: Drawn) -> Found:
    found = Found(_layout_of(tree))
    account(found, tree, left_out, matches, drawn)
    with_outlines = [image for image in matches.images if image.path in drawn.outlines]
    ids = ids_of(tree.root, [*(image for image, _ in matches.pairs), *with_outlines])
    found.lesions = lesions_of(tree.root, ids.values())
    lesions = found.lesions.of
    for image, truth in matches.pairs:
        id, part = ids[image.path], image.part or truth.part
        found.pairs.append(FilePair(id, image.path, truth.path, lesions.get(id, ""), part))
    for image in with_outlines:
        id = ids[image.path]
        found.pairs.append(DrawnPair(id, image.path, drawn.outlines[image.path], lesions.get(id, ""), image.part))
    found.pairs.sort(key=lambda pair: (pair.id, pair.source))
    return found


def _layout_of(tree: Tree) -> str:
    """Return the name of a set's layout, for reports."""
    folders = {folder for parent in {path.parent for path in tree.pictures} for folder in parent.parts}
    named = [layout.name for layout in LAYOUTS if any(map(layout.truths.fullmatch, folders))]
    return named[0] if named else "files"
