"""The sheet of a network's best, median and worst images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.data.pairs import Pair
from seglab.errors import DataError
from seglab.images.formats import PICTURE_MARK
from seglab.images.outlines import overlay, write_image
from seglab.images.pixels.resize import OVERSAMPLING

if TYPE_CHECKING:
    from seglab.evaluation.original import Predictor

COLUMNS = 4
TILE = 256
"""Largest side of a picture, in pixels."""
CAPTION = 40
HEAD = 24
ROWS = ("best", "median", "worst")


def draw_examples(path: Path, predictor: Predictor, pairs: Sequence[Pair], dice: Sequence[float]) -> None:
    """Draw the best, median and worst of ``pairs`` by ``dice``: mask in cyan, truth in amber, Dice below each image.

    The chosen images are read again, one at a time. Raises :class:`DataError` for no pairs.
    """
    if not pairs:
        raise DataError("There is no image to draw; expected at least one. Check the data.")
    rows = []
    for name, places in zip(ROWS, choose(dice, COLUMNS), strict=True):
        tiles = [_tile(predictor, pairs[place], dice[place]) for place in places]
        rows.append(np.hstack([_label(name), *tiles]))
    head = np.full((HEAD, rows[0].shape[1], 3), 255, np.uint8)
    caption(head, "mask: cyan, truth: amber", HEAD - 8)
    write_image(path, np.vstack([head, *rows]), mark=PICTURE_MARK)


def choose(dice: Sequence[float], count: int) -> tuple[list[int], list[int], list[int]]:
    """Return the indices of the ``count`` best (best first), of the median ones, and of the worst (worst first)."""
    order = np.argsort(-np.asarray(dice), kind="stable").tolist()
    count = min(count, len(order))
    middle = (len(order) - count) // 2
    return order[:count], order[middle : middle + count], order[::-1][:count]


def _tile(predictor: Predictor, pair: Pair, dice: float) -> NDArray[np.uint8]:
    image = pair.photo(at_least=OVERSAMPLING * predictor.checkpoint.size).pixels
    mask, truth = predictor.mask(image), pair.mask()
    scale = TILE / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    masks = [np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_NEAREST), np.uint8) for part in (mask, truth)]
    drawn = overlay(np.asarray(small, np.uint8), *masks)
    tile = np.full((TILE + CAPTION, TILE + 8, 3), 255, np.uint8)
    top, left = TILE - drawn.shape[0], (TILE - drawn.shape[1]) // 2 + 4
    tile[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    caption(tile, pair.id[-28:], TILE + 14)
    caption(tile, f"Dice {dice:.3f}", TILE + 32)
    return tile


def _label(text: str) -> NDArray[np.uint8]:
    """Return a column as high as a tile, with text running upwards."""
    strip = np.full((CAPTION - 12, TILE + CAPTION, 3), 255, np.uint8)
    cv2.putText(strip, text, (TILE // 2 - 10, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
    return np.ascontiguousarray(np.rot90(strip))


def caption(tile: NDArray[np.uint8], text: str, baseline: int) -> None:
    """Write black text into a picture; what is not ASCII becomes ``?``."""
    printable = text.encode("ascii", "replace").decode()
    cv2.putText(tile, printable, (6, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
