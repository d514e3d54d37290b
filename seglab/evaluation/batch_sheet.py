"""A sheet of augmented training examples with their truth, to check the augmentation by eye."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.data.examples import Examples
from seglab.images.formats import PICTURE_MARK
from seglab.images.outlines import overlay, write_image
from seglab.training.determinism import order_of

COLUMNS, MOST = 4, 16
TILE = 224
"""Side of a picture, in pixels."""
CAPTION, GAP = 20, 6


def draw_batch(path: Path, examples: Examples, epoch: int = 1) -> None:
    """Write a picture of the first examples of an epoch, with the truth's contour at half its height in amber.

    The first steps of the epoch use the same examples. Drawing them does not change later random draws.
    """
    chosen = order_of(examples.seed, epoch, len(examples))[:MOST]
    tiles = [_tile(examples, epoch, index) for index in chosen]
    columns = min(COLUMNS, len(tiles))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    write_image(path, np.vstack(rows), mark=PICTURE_MARK)


def _tile(examples: Examples, epoch: int, index: int) -> NDArray[np.uint8]:
    image, target = examples[epoch, index]  # (3, S, S), (1, S, S)
    enlarging = cv2.INTER_AREA if examples.size > TILE else cv2.INTER_LINEAR
    pixels = cv2.resize(np.ascontiguousarray(image.numpy().transpose(1, 2, 0)), (TILE, TILE), interpolation=enlarging)
    soft = cv2.resize(target[0].numpy(), (TILE, TILE), interpolation=enlarging)
    truth = np.where(soft >= 0.5, np.uint8(255), np.uint8(0))
    drawn = overlay(np.asarray(pixels, np.uint8), np.zeros_like(truth), truth)
    tile = np.full((TILE + CAPTION + GAP, TILE + GAP, 3), 255, np.uint8)
    tile[:TILE, :TILE] = drawn
    caption = examples.pairs[index].id[-30:].encode("ascii", "replace").decode()
    cv2.putText(tile, caption, (2, TILE + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return tile
