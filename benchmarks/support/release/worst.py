"""A sheet of the images that a model segments worst, of sets whose pictures may be shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.support.release.scoring import masks_of, rows_of, scored_sets, table_of
from benchmarks.support.release.sets import SETS
from benchmarks.support.release.work import Work
from export.runtime.bundled import INT8
from seglab.evaluation.gallery import caption
from seglab.images.masks import read_mask, read_truth
from seglab.images.outlines import overlay, write_image
from seglab.images.reader import read_image

ACROSS, TILE, BELOW, HEAD = 4, 240, 40, 26


@dataclass(frozen=True)
class Bad:
    """An image of a set, and the Dice of its mask."""

    set_name: str
    id: str
    dice: float


def worst(work: Work, count: int, model: str = INT8) -> list[Bad]:
    """Return the images with the lowest Dice, the worst first."""
    found = [
        Bad(name, Path(row["image"]).stem, float(row["dice"]))
        for name in scored_sets(work)
        if SETS[name].free
        for row in rows_of(table_of(work, model, name))
    ]
    return sorted(found, key=lambda bad: bad.dice)[:count]


def draw_worst(work: Work, path: Path, model: str = INT8) -> list[Bad]:
    """Write the sheet, and return what is on it."""
    bad = worst(work, work.plan.pictures, model)
    tiles = [_tile(work, each, model) for each in bad]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % ACROSS)
    rows = [np.hstack(tiles[start : start + ACROSS]) for start in range(0, len(tiles), ACROSS)]
    head = np.full((HEAD, rows[0].shape[1], 3), 255, np.uint8)
    caption(head, "mask: cyan, truth: amber; the lowest Dice first", HEAD - 8)
    write_image(path, np.vstack([head, *rows]))
    return bad


def _tile(work: Work, bad: Bad, model: str) -> NDArray[np.uint8]:
    links = work.out / "sets" / bad.set_name
    image = read_image(next((links / "images").glob(f"{bad.id}.*")))
    truth = read_truth(next((links / "masks").glob(f"{bad.id}.*"))).mask
    mask = read_mask(masks_of(work, model, bad.set_name) / f"{bad.id}.png")
    scale = TILE / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    masks = [np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_NEAREST), np.uint8) for part in (mask, truth)]
    drawn = overlay(small, *masks)
    tile = np.full((TILE + BELOW, TILE + 8, 3), 255, np.uint8)
    top, left = (TILE - drawn.shape[0]) // 2, (TILE - drawn.shape[1]) // 2 + 4
    tile[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    caption(tile, f"{bad.set_name} {bad.id[-20:]}", TILE + 14)
    caption(tile, f"Dice {bad.dice:.3f}", TILE + 32)
    return tile
