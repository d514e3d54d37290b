"""Pairs of image and truth in the folder layouts that people have.

Known by their folder names: ISIC 2016, 2017 and 2018 (task 1), HAM10000, and plain ``images/`` + ``masks/``. A root may
hold several parts (training, validation, test): all of them are read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from seglab.errors import DataError
from seglab.pairs import FilePair
from seglab.pixels import IMAGE_SUFFIXES


@dataclass(frozen=True)
class Layout:
    """A data set's convention: image folders, truth folders, and how both names begin alike."""

    name: str
    images: re.Pattern[str]
    truths: re.Pattern[str]


def _folder(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


LAYOUTS = (
    Layout(
        "ISIC 2018 (ISIC2018_Task1-2_*_Input, ISIC2018_Task1_*_GroundTruth)",
        _folder(r"ISIC2018_Task1(-2)?_(Training|Validation|Test)_Input"),
        _folder(r"ISIC2018_Task1_(Training|Validation|Test)_GroundTruth"),
    ),
    Layout(
        "ISIC 2017 (ISIC-2017_*_Data, ISIC-2017_*_Part1_GroundTruth)",
        _folder(r"ISIC-2017_(Training|Validation|Test_v2|Test)_Data"),
        _folder(r"ISIC-2017_(Training|Validation|Test_v2|Test)_Part1_GroundTruth"),
    ),
    Layout(
        "ISIC 2016 (ISBI2016_ISIC_Part1_*_Data, ISBI2016_ISIC_Part1_*_GroundTruth)",
        _folder(r"ISBI2016_ISIC_Part[13]B?_(Training|Test)_Data"),
        _folder(r"ISBI2016_ISIC_Part[13]B?_(Training|Test)_GroundTruth"),
    ),
    Layout(
        "HAM10000 (HAM10000_images_part_*, HAM10000_segmentations_lesion_tschandl)",
        _folder(r"HAM10000_images(_part_\d+)?"),
        _folder(r"HAM10000_segmentations_lesion_tschandl"),
    ),
    Layout("plain (images, masks)", _folder(r"images?"), _folder(r"masks?|truths?|labels?|ground_?truth")),
)

TRUTH_ENDING = re.compile(r"_(segmentation|mask|truth)$", re.IGNORECASE)


def require_size(truth: Path | str, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    """Raise :class:`DataError` unless a truth of ``shape`` has the ``(height, width)`` of its image."""
    if shape != size:
        raise DataError(
            f"{truth} is {shape}, its image {size}; expected the same (height, width). "
            "Resize the truth, or remove the pair."
        )


def find_pairs(root: Path) -> list[FilePair]:
    """Return the pairs below ``root``, sorted by id.

    Raises :class:`DataError` where no layout is found (naming what was looked for), where images or truths have no
    partner, or where one id stands for several images.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; expected a data set. Check the path.")
    layout = _layout_of(root)
    images = _by_id(_files_in(root, layout.images))
    truths = _by_id(_files_in(root, layout.truths))
    _require_partners(root, images, truths)
    return [FilePair(id, images[id], truths[id]) for id in sorted(images)]


def find_truths(root: Path) -> dict[str, Path]:
    """Return the truth masks by id, of a data set or of a folder that holds masks only.

    Raises :class:`DataError` where there is none.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; expected one with truth masks. Check the path.")
    layouts = [layout for layout in LAYOUTS if any(_folders(root, layout.truths))]
    files = _files_in(root, layouts[0].truths) if layouts else _images(root)
    truths = _by_id(files)
    if not truths:
        raise DataError(f"No image files below {root}; expected truth masks. Check the path.")
    return truths


def truth_id(path: Path) -> str:
    """Return the id a file stands for: its stem less ``_segmentation`` (``_mask``, ``_truth``)."""
    return TRUTH_ENDING.sub("", path.stem)


def _layout_of(root: Path) -> Layout:
    for layout in LAYOUTS:
        if any(_folders(root, layout.images)) and any(_folders(root, layout.truths)):
            return layout
    found = ", ".join(sorted(entry.name for entry in root.iterdir() if entry.is_dir())[:10]) or "no folders"
    known = "; ".join(layout.name for layout in LAYOUTS)
    raise DataError(
        f"No known data set layout below {root} (found: {found}); expected one of: {known}. "
        "Rename the folders, or name their parent."
    )


def _folders(root: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    """Yield matching folders at the root or one level below (archives unpack into a folder of their own)."""
    if pattern.fullmatch(root.name):
        yield root
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir())
    for folder in folders:
        if pattern.fullmatch(folder.name):
            yield folder
        else:
            yield from sorted(inner for inner in folder.iterdir() if inner.is_dir() and pattern.fullmatch(inner.name))


def _files_in(root: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    for folder in _folders(root, pattern):
        yield from _images(folder)


def _images(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith("."):
                yield Path(parent, name)


def _by_id(files: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        id = truth_id(path)
        if path.stem.lower().endswith("_superpixels"):  # ISIC 2017 delivers these beside the images
            continue
        if id in found:
            raise DataError(f"Two files stand for {id}: {found[id]} and {path}; expected one. Remove one of them.")
        found[id] = path
    return found


def _require_partners(root: Path, images: dict[str, Path], truths: dict[str, Path]) -> None:
    for ids, has, lacks in (
        (images.keys() - truths.keys(), "image", "truth mask"),
        (truths.keys() - images.keys(), "truth mask", "image"),
    ):
        if ids:
            some = ", ".join(sorted(ids)[:5])
            raise DataError(
                f"{len(ids)} {has}(s) below {root} without {lacks}, among them {some}; expected pairs. "
                f"Add what is missing, or remove these files."
            )
    if not images:
        raise DataError(f"No image files below {root}; expected pairs of image and mask. Check the path.")
