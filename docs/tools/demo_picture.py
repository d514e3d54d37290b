"""Put the overlays of ``make demo`` side by side as the README's picture: ``python -m docs.tools.demo_picture``."""

from __future__ import annotations

from pathlib import Path

import click
import cv2
import numpy as np

from seglab.images.outlines import write_image
from seglab.images.reader import read_image

ROOT = Path(__file__).resolve().parents[2]
COLUMNS, WIDTH, HEIGHT, GAP = 4, 300, 225, 4


def tile(path: Path) -> np.ndarray:
    """Return a picture cut to the tile's shape: uint8 ``(HEIGHT, WIDTH, 3)``."""
    picture = read_image(path)
    scale = max(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
    width, height = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    resized = cv2.resize(picture, (max(width, WIDTH), max(height, HEIGHT)), interpolation=cv2.INTER_AREA)
    top, left = (resized.shape[0] - HEIGHT) // 2, (resized.shape[1] - WIDTH) // 2
    return np.asarray(resized[top : top + HEIGHT, left : left + WIDTH])


@click.command()
def main() -> None:
    """Write ``docs/demo.jpg``."""
    tiles = [tile(path) for path in sorted((ROOT / "demo" / "overlays").glob("*.jpg"))]
    padded = [
        cv2.copyMakeBorder(picture, 0, GAP, 0, GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for picture in tiles
    ]
    rows = [np.hstack(padded[start : start + COLUMNS]) for start in range(0, len(padded), COLUMNS)]
    write_image(ROOT / "docs" / "demo.jpg", np.asarray(np.vstack(rows)[:-GAP, :-GAP], np.uint8))


if __name__ == "__main__":
    main()
