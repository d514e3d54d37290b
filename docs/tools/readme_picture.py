"""Write ``docs/lesions.jpg``, the README's picture: ``SEGLAB_DATA=DATA python -m docs.tools.readme_picture``.

Four photographs of the fixed fifth of ISIC 2018 (CC-0, in no training), chosen by the rank of their Dice, not
by eye: high, median, low, and a miss.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.support.places import DATA, INT8_MODEL, ROOT
from benchmarks.support.release.sets import SETS, link_set
from seglab.evaluation.gallery import caption
from seglab.images.masks import read_mask, read_truth
from seglab.images.outlines import overlay, write_image
from seglab.images.reader import read_image

PICTURE = ROOT / "docs" / "lesions.jpg"
SET = "fifth"
RANKS = (0.9, 0.5, 0.1, 0.01)
"""Shares of the images that have a lower Dice."""
SIDE, GAP, TEXT = 220, 4, 26
WHITE = 255


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=DATA, help="Folder of the data sets.")
def main(data: Path) -> None:
    """Segment and score the set with the package's int8 network, and draw four of its images."""
    with tempfile.TemporaryDirectory() as folder:
        links, masks, scores = Path(folder) / "set", Path(folder) / "masks", Path(folder) / "scores.csv"
        link_set(SETS[SET], data, links)
        call("seg-batch", "run", links / "images", "--out", masks, "--model", INT8_MODEL)
        call("seg-batch", "score", masks, links / "masks", "--csv", scores)
        with scores.open(newline="", encoding="utf-8") as lines:
            by_dice = sorted((float(row["dice"]), Path(row["image"]).stem) for row in csv.DictReader(lines))
        chosen = [by_dice[round(rank * (len(by_dice) - 1))] for rank in RANKS]
        columns = [column(links, masks / f"{id}.png", dice) for dice, id in chosen]
    gap = np.full((len(columns[0]), GAP, 3), WHITE, np.uint8)
    write_image(PICTURE, np.hstack([part for each in columns for part in (each, gap)][:-1]))
    click.echo("\n".join(f"{id}: Dice {dice:.3f}" for dice, id in chosen))


def call(command: str, *words: str | Path) -> None:
    """Run one of the commands of this environment."""
    subprocess.run([Path(sys.executable).with_name(command), *map(str, words)], check=True, cwd=ROOT)


def column(links: Path, mask_file: Path, dice: float) -> NDArray[np.uint8]:
    """Return a photograph, its mask, and both outlines with their Dice, one below the other."""
    image = read_image(next((links / "images").glob(f"{mask_file.stem}.*")))
    truth = read_truth(next((links / "masks").glob(f"{mask_file.stem}.*"))).mask
    mask = read_mask(mask_file)
    small = np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    made, true = (cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST) for part in (mask, truth))
    drawn = overlay(small, np.asarray(made, np.uint8), np.asarray(true, np.uint8))
    below = np.full((TEXT, SIDE, 3), WHITE, np.uint8)
    caption(below, f"Dice {dice:.2f}", TEXT - 9)
    gap = np.full((GAP, SIDE, 3), WHITE, np.uint8)
    return np.vstack([small, gap, np.repeat(np.asarray(made, np.uint8)[..., None], 3, axis=2), gap, drawn, below])


if __name__ == "__main__":
    main()
