"""Pairs of image and truth in the layouts that people have.

Known by the names of folders: ISIC 2016, 2017 and 2018 (task 1), HAM10000, PH2, and plain ``images/`` + ``masks/``;
known by their files: MedSegBench's ``.npz``, and what ``seglab prepare`` wrote. A root may hold several parts
(training, validation, test): all of them are read, and every pair knows its part.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from seglab.data.conventions import LAYOUTS, SUPERPIXELS_ENDING, TRUTH_ENDING, Layout
from seglab.data.pairs import ArrayPair, FilePair, Pair, open_array
from seglab.data.store import is_prepared, read_index
from seglab.errors import DataError
from seglab.images.formats import IMAGE_SUFFIXES

FILE_LAYOUTS = "MedSegBench (*.npz with train_images, train_label; pip install medsegbench downloads them)"

PART_NAMES = {
    "train": "training", "training": "training",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
METADATA = re.compile(r"HAM10000_metadata(\.csv)?", re.IGNORECASE)
MEDSEGBENCH_PARTS = {"train": "training", "val": "validation", "test": "test"}


def require_size(truth: Path | str, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    """Raise :class:`DataError` unless a truth of ``shape`` has the ``(height, width)`` of its image."""
    if shape != size:
        raise DataError(
            f"{truth} is {shape}, its image {size}; expected the same (height, width). "
            "Resize the truth, or remove the pair."
        )


def find_pairs(root: Path) -> list[Pair]:
    """Return the pairs of a data set, sorted by id: a folder in a known layout, or a MedSegBench ``.npz``.

    Raises :class:`DataError` where no layout is found (naming what was looked for), where images or truths have no
    partner, or where one id stands for several images.
    """
    arrays = _medsegbench_files(root)
    if arrays:
        return [pair for file in arrays for pair in _medsegbench_pairs(file)]
    if is_prepared(root):
        return list(read_index(root))
    return list(find_file_pairs(root))


def find_file_pairs(root: Path) -> list[FilePair]:
    """Return the pairs that are image files below the folder ``root``, sorted by id; see :func:`find_pairs`."""
    if not root.is_dir():
        raise DataError(f"{root} is not a folder or an .npz file; expected a data set. Check the path.")
    layout = _layout_of(root)
    images = _by_part_and_id(root, _files_in(root, layout.images, layout.depth))
    truths = _by_part_and_id(root, _files_in(root, layout.truths, layout.depth))
    _require_partners(root, images, truths)
    lesions = _lesions(root)
    times = Counter(id for _, id in images)
    found = []
    for (part, id), image in images.items():
        name = id if times[id] == 1 else f"{part}/{id}"
        found.append(FilePair(name, image, truths[part, id], lesions.get(id, name), part))
    return sorted(found, key=lambda pair: pair.id)


def truth_files(root: Path) -> list[Path]:
    """Return the truth masks of a data set, or of a folder that holds masks only.

    Raises :class:`DataError` where there is none.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; expected one with truth masks. Check the path.")
    layouts = [layout for layout in LAYOUTS if any(_folders(root, layout.truths, layout.depth))]
    files = _files_in(root, layouts[0].truths, layouts[0].depth) if layouts else _images(root)
    truths = [path for path in files if not _is_superpixels(path)]
    if not truths:
        raise DataError(f"No image files below {root}; expected truth masks. Check the path.")
    return truths


def truth_id(path: Path) -> str:
    """Return the id a file stands for: its stem less ``_segmentation`` (``_mask``, ``_truth``, ``_lesion``)."""
    return TRUTH_ENDING.sub("", path.stem)


def part_of(root: Path, path: Path) -> str:
    """Return the part that the folders between ``root`` and a file name: ``training``, ``validation``, ``test``, or
    nothing.
    """
    for folder in path.relative_to(root).parts[:-1]:
        for word in re.split(r"[_\-\s]", folder.lower()):
            if word in PART_NAMES:
                return PART_NAMES[word]
    return ""


def _medsegbench_files(root: Path) -> list[Path]:
    if root.suffix == ".npz" and root.is_file():
        return [root]
    return sorted(root.glob("*.npz")) if root.is_dir() else []


def _medsegbench_pairs(file: Path) -> list[Pair]:
    found: list[Pair] = []
    for key, part in MEDSEGBENCH_PARTS.items():
        images, masks = f"{file}:{key}_images", f"{file}:{key}_label"
        count, truths = len(open_array(images)), len(open_array(masks))
        if count != truths:
            raise DataError(
                f"{file} has {count} {key}_images and {truths} {key}_label; expected as many. Download it again."
            )
        found += [ArrayPair(f"{file.stem}_{key}_{row:05}", images, masks, row, part=part) for row in range(count)]
    return found


def _lesions(root: Path) -> dict[str, str]:
    """Return the lesion of each image id, where the set says so (HAM10000's metadata)."""
    for folder in _walk(root, depth=1):
        for file in sorted(folder.iterdir()):
            if file.is_file() and METADATA.fullmatch(file.name):
                return _read_lesions(file)
    return {}


def _read_lesions(file: Path) -> dict[str, str]:
    try:
        with file.open(newline="") as lines:
            return {row["image_id"]: row["lesion_id"] for row in csv.DictReader(lines)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{file} cannot be read ({error}); expected HAM10000's metadata with image_id and lesion_id. "
            "Download it again: without it one lesion may train and validate."
        ) from error


def _layout_of(root: Path) -> Layout:
    for layout in LAYOUTS:
        if any(_folders(root, layout.images, layout.depth)) and any(_folders(root, layout.truths, layout.depth)):
            return layout
    found = ", ".join(sorted(entry.name for entry in root.iterdir() if entry.is_dir())[:10]) or "no folders"
    known = "; ".join([*(layout.name for layout in LAYOUTS), FILE_LAYOUTS])
    raise DataError(
        f"No known data set layout below {root} (found: {found}); expected one of: {known}. "
        "Rename the folders, or name their parent."
    )


def _folders(root: Path, pattern: re.Pattern[str], depth: int) -> Iterator[Path]:
    """Yield matching folders, the root among them (archives unpack into a folder of their own)."""
    for folder in _walk(root, depth):
        if pattern.fullmatch(folder.name):
            yield folder


def _walk(root: Path, depth: int) -> Iterator[Path]:
    yield root
    if depth:
        for folder in sorted(entry for entry in root.iterdir() if entry.is_dir()):
            yield from _walk(folder, depth - 1)


def _files_in(root: Path, pattern: re.Pattern[str], depth: int) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder in _folders(root, pattern, depth):
        if not seen.intersection(folder.parents):
            seen.add(folder)
            yield from _images(folder)


def _images(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith("."):
                yield Path(parent, name)


def _by_part_and_id(root: Path, files: Iterable[Path]) -> dict[tuple[str, str], Path]:
    parts: dict[str, list[Path]] = {}
    for path in files:
        parts.setdefault(part_of(root, path), []).append(path)
    return {(part, id): path for part, paths in parts.items() for id, path in _by_id(paths).items()}


def _by_id(files: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        id = truth_id(path)
        if _is_superpixels(path):
            continue
        if id in found:
            raise DataError(f"Two files stand for {id}: {found[id]} and {path}; expected one. Remove one of them.")
        found[id] = path
    return found


def _is_superpixels(path: Path) -> bool:
    """ISIC 2017 delivers these beside the images."""
    return path.stem.lower().endswith(SUPERPIXELS_ENDING)


def _require_partners(root: Path, images: dict[tuple[str, str], Path], truths: dict[tuple[str, str], Path]) -> None:
    for keys, has, lacks in (
        (images.keys() - truths.keys(), "image", "truth mask"),
        (truths.keys() - images.keys(), "truth mask", "image"),
    ):
        if keys:
            some = ", ".join(sorted(id for _, id in keys)[:5])
            raise DataError(
                f"{len(keys)} {has}(s) below {root} without {lacks}, among them {some}; expected pairs. "
                f"Add what is missing, or remove these files."
            )
    if not images:
        raise DataError(f"No image files below {root}; expected pairs of image and mask. Check the path.")
