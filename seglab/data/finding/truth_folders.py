"""Folders that hold truth masks only, with the images elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from seglab.data.finding.conventions import LAYOUTS, SUPERPIXELS_ENDING
from seglab.errors import DataError
from seglab.images.formats import IMAGE_SUFFIXES


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


def _folders(root: Path, pattern: re.Pattern[str], depth: int) -> Iterator[Path]:
    """Yield matching folders down to ``depth``, including the root (archives unpack into a folder of their own)."""
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


def _is_superpixels(path: Path) -> bool:
    """Return whether a file is one of the superpixel maps that ISIC 2017 puts beside its images."""
    return path.stem.lower().endswith(SUPERPIXELS_ENDING)
