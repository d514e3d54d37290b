"""MedSegBench's arrays: ``.npz`` files with ``train_images``, ``train_label`` and the like."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from seglab.data.pairs import ArrayPair, Pair, open_array
from seglab.errors import DataError

PARTS = {"train": "training", "val": "validation", "test": "test"}
_NAMES = {part: {f"{part}_images", f"{part}_label"} for part in PARTS}


def array_files(paths: Iterable[Path]) -> list[Path]:
    """Return the ``.npz`` files among ``paths`` that hold arrays of images and labels."""
    return [path for path in paths if path.suffix == ".npz" and any(map(_keys(path).issuperset, _NAMES.values()))]


def pairs_of_arrays(file: Path) -> list[Pair]:
    """Return the pairs of a file. Raises :class:`DataError` where arrays are missing or of unequal length."""
    keys = _keys(file)
    if not keys:
        raise DataError(
            f"{file} has no arrays called train_images, train_label or the like; expected a file of MedSegBench "
            "(pip install medsegbench downloads them). Check the path."
        )
    found: list[Pair] = []
    for key, part in PARTS.items():
        images, masks = f"{file}:{key}_images", f"{file}:{key}_label"
        if not _NAMES[key] & keys:
            continue
        count, truths = len(open_array(images)), len(open_array(masks))
        if count != truths:
            raise DataError(
                f"{file} has {count} {key}_images and {truths} {key}_label; expected equal numbers. Download it again."
            )
        found += [ArrayPair(f"{file.stem}_{key}_{row:05}", images, masks, row, part=part) for row in range(count)]
    return found


def _keys(file: Path) -> set[str]:
    """Return the names of MedSegBench's arrays in a file; none if it is damaged or another file."""
    try:
        with zipfile.ZipFile(file) as arrays:
            names = {name.removesuffix(".npy") for name in arrays.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()
    return names & set().union(*_NAMES.values())
