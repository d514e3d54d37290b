"""Soft masks: probabilities for the training images from another network or from several annotators.

A folder holds one file per image, named by its id (in a folder per set where the id is ``SET/id``): a grey picture of 8
or 16 bits, where the highest value is 1, or ``.npy`` with floats from 0 to 1 or with uint8. Each has its image's aspect
ratio, at any size, or is a square like the output of a network. ``seg-batch run --probs`` writes such a folder.

Two sets may hold different pictures under one id (crops and whole frames of ISIC's photographs). Their soft masks are
in folders with the name of a folder of the images (``isic2018/ISIC_0000000.png``). Such a file always comes first.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.data.pairs import Pair
from seglab.errors import DataError
from seglab.recipes.recipe import Recipe

SUFFIXES = (".png", ".npy", ".tif", ".tiff")
SAME_SHAPE = 0.02
"""Largest relative difference between the aspect ratios of a soft mask and its image."""
SHOWN = 5


@dataclass(frozen=True)
class SoftMasks:
    """The files of soft masks by the ``source`` of their pair. ``weight``: their share in the target (0-1)."""

    files: dict[str, Path]
    weight: float

    def read(self, source: str, size: tuple[int, int]) -> NDArray[np.float32]:
        """Return the probabilities for an image of ``size`` (H, W): ``(h, w)`` in 0-1.

        Raises :class:`DataError` for a file that is no soft mask, or has another aspect ratio.
        """
        path = self.files[source]
        prob = _probabilities(path)
        height, width = prob.shape
        ratio = (height / width) / (size[0] / size[1])
        if height != width and not 1 - SAME_SHAPE < ratio < 1 + SAME_SHAPE:
            raise DataError(
                f"{path} is {(height, width)}, its image {size}; expected the same aspect ratio, or a square. Make it "
                "again, or rotate it like the image."
            )
        return prob


def soft_masks_of(recipe: Recipe, pairs: Iterable[Pair]) -> SoftMasks | None:
    """Return the soft masks that a recipe names for training pairs, or None. Raises like :func:`find_soft_masks`."""
    if not recipe.soft_masks:
        return None
    return find_soft_masks(Path(recipe.soft_masks), pairs, recipe.soft_weight)


def find_soft_masks(folder: Path, pairs: Iterable[Pair], weight: float) -> SoftMasks:
    """Return the soft masks of images.

    Raises :class:`DataError` where the folder lacks some, or one file fits pictures of two sets.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one of soft masks, a file per training image by its id.")
    wanted = list(pairs)
    own = {entry.name for entry in folder.iterdir() if entry.is_dir()}
    found = {pair.source: path for pair in wanted if (path := _file_of(folder, pair, own))}
    missing = [pair.id for pair in wanted if pair.source not in found]
    if missing:
        some = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        raise DataError(
            f"{folder} has soft masks for {len(found)} of {len(wanted)} training images, none for {some}; expected one "
            f"per image, such as {missing[0]}.png. Make the missing ones, or leave these images out with --exclude."
        )
    _require_one_each(found)
    return SoftMasks(found, weight)


def _file_of(folder: Path, pair: Pair, own: Collection[str]) -> Path | None:
    """Return the soft mask of an image, or None. ``own``: the names of the folders in ``folder``."""
    above = (parent.name for parent in Path(os.path.abspath(pair.source)).parents)
    places = (*(folder / name / Path(pair.id).name for name in above if name in own), folder / pair.id)
    named = (place.with_name(f"{place.name}{suffix}") for place in places for suffix in SUFFIXES)
    return next((path for path in named if path.is_file()), None)


def _require_one_each(found: dict[str, Path]) -> None:
    """Raise :class:`DataError` where one file fits pictures of two sets, which may differ."""
    first: dict[Path, str] = {}
    for source, path in found.items():
        other = first.setdefault(path, source)
        if other != source:
            place = path.parent / Path(other).parent.name / path.name
            raise DataError(
                f"{path} would be the soft mask of two pictures, {other} and {source}; expected one for each, because "
                f"their crops may differ. Put the soft masks of each set into a folder with its name, such as {place}."
            )


def _probabilities(path: Path) -> NDArray[np.float32]:
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else _picture(path)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error}); expected a soft mask. Make it again.") from error
    values = values.squeeze()
    full = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(values.dtype, 1.0)
    is_known = full > 1 or values.dtype.kind == "f"
    if values.ndim != 2 or not values.size or not is_known or not (values.min() >= 0 and values.max() <= full):
        span = f"{values.min():g} to {values.max():g}" if values.size and values.dtype.kind in "fiub" else "no numbers"
        raise DataError(
            f"{path} is {values.dtype} {values.shape}, {span}; expected one channel of probabilities: floats from 0 to "
            "1, or 8 or 16 bits. Save it in one of these forms."
        )
    return np.asarray(values, np.float32) / np.float32(full)


def _picture(path: Path) -> NDArray[np.generic]:
    coded = np.frombuffer(path.read_bytes(), np.uint8)
    values = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED) if coded.size else None
    if values is None:
        raise ValueError("not a picture")
    if values.ndim == 3 and values.shape[2] == 3 and not np.ptp(values, axis=2).any():  # grey, stored as colour
        values = values[..., 0]
    return np.asarray(values)
