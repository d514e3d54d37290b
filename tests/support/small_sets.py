"""Small data sets on disk: photographs of noise with truths, no two of which are alike."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 24


def photo(path: Path, name: str = "") -> Path:
    """Write a photograph whose pixels depend only on ``name`` (default: the file's name)."""
    rng = np.random.default_rng(zlib.crc32((name or path.name).encode()))
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
    return _written(path, small.resize((SIDE, SIDE - 4), Image.Resampling.BICUBIC))


def mask(path: Path, number: int) -> Path:
    """Write a truth whose lesion is ``number`` + 3 pixels wide and 5 high, away from the border."""
    values = np.zeros((SIDE - 4, SIDE), np.uint8)
    values[6:11, 4 : 7 + number] = 255
    return _written(path, Image.fromarray(values))


def _written(path: Path, image: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path
