"""A sheet of a network's best, median and worst images: photograph, truth and mask side by side, with Dice and IoU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.data.pairs import Pair
from seglab.errors import DataError
from seglab.evaluation.gallery import ROWS, caption, choose
from seglab.images.formats import PICTURE_MARK
from seglab.images.outlines import write_image
from seglab.images.pixels.resize import OVERSAMPLING
from seglab.metrics.overlap import Confusion

if TYPE_CHECKING:
    from seglab.evaluation.original import Predictor

EXAMPLES = 4
"""Number of images each of the best, the median and the worst."""
ACROSS = 2
TILE = 192
"""Side in pixels of the square for each picture."""
GAP, CAPTION, HEAD = 6, 24, 26


def draw_side_by_side(path: Path, predictor: Predictor, pairs: Sequence[Pair], counts: Sequence[Confusion]) -> None:
    """Write the sheet. ``counts``: pixel counts of each pair. The images shown are read and predicted again.

    Raises :class:`DataError` for no pairs.
    """
    if not pairs:
        raise DataError("There is no image to draw; expected at least one. Check the data.")
    bands = [_heading("image, truth, mask")]
    for name, places in zip(ROWS, choose([each.dice for each in counts], EXAMPLES), strict=True):
        bands.append(_heading(name))
        triples = [_triple(predictor, pairs[place], counts[place]) for place in places]
        bands += [np.hstack(_filled(triples[start : start + ACROSS])) for start in range(0, len(triples), ACROSS)]
    write_image(path, np.vstack(bands), mark=PICTURE_MARK)


def _triple(predictor: Predictor, pair: Pair, counts: Confusion) -> NDArray[np.uint8]:
    """Return one example as an image ``(TILE + CAPTION, 3 * (TILE + GAP), 3)``."""
    image = pair.photo(at_least=OVERSAMPLING * predictor.checkpoint.size).pixels
    mask, truth = predictor.mask(image), pair.mask()
    tiles = np.hstack([_fitted(image), _fitted(cv2.cvtColor(truth, cv2.COLOR_GRAY2RGB)), _fitted(_as_colour(mask))])
    below = np.full((CAPTION, tiles.shape[1], 3), 255, np.uint8)
    caption(below, f"{pair.id[-40:]}   Dice {counts.dice:.3f}   IoU {counts.iou:.3f}", 15)
    return np.vstack([tiles, below])


def _as_colour(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(mask[..., None], 3, axis=2)


def _fitted(picture: NDArray[np.uint8] | cv2.typing.MatLike) -> NDArray[np.uint8]:
    """Return a picture ``(H, W, 3)`` scaled into a grey square with a white gap to the right."""
    height, width = picture.shape[:2]
    scale = TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    tile = np.full((TILE, TILE + GAP, 3), 255, np.uint8)
    tile[:, :TILE] = 128
    top, left = (TILE - size[1]) // 2, (TILE - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    return tile


def _filled(row: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Return the examples of a row, filled with white ones up to :data:`ACROSS`."""
    return [*row, *(np.full_like(row[0], 255) for _ in range(ACROSS - len(row)))]


def _heading(text: str) -> NDArray[np.uint8]:
    strip = np.full((HEAD, ACROSS * 3 * (TILE + GAP), 3), 255, np.uint8)
    caption(strip, text, HEAD - 8)
    return strip
