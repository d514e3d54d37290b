"""What tests of exports share: outputs with known masks, and files read back as others read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from batch.cli import main


def export(*arguments: str | Path, code: int = 0) -> Result:
    """Run ``seg-batch export``."""
    ended = CliRunner().invoke(main, ["export", *map(str, arguments)])
    assert ended.exit_code == code, ended.output
    return ended


def drawn(polygons: list[list[list[float]]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill polygons as labelme does (``utils/shape.py``, ``shape_to_mask``), all in one picture."""
    whole = np.zeros(shape, bool)
    for points in polygons:
        picture = Image.fromarray(np.zeros(shape, np.uint8))
        ImageDraw.Draw(picture).polygon([(x, y) for x, y in points], outline=1, fill=1)
        whole |= np.asarray(picture) > 0
    return whole


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the Dice of two masks; 1 if both are empty."""
    total = np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * np.count_nonzero(one & other) / total if total else 1.0
