"""Photographs that scikit-image, scikit-learn and matplotlib bring along, and test images of decoders."""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from seglab.errors import ImageError
from seglab.images.reader import read_image

Pixels = NDArray[np.uint8]

BUNDLED = (("sklearn.datasets", "images", ".jpg"), ("matplotlib", "mpl-data/sample_data", ".jpg"))
"""Packages of which photographs are taken, where they are installed: folder and suffix."""
FACES = "lfw_subset.npy"
"""Of scikit-image: 200 grey pictures of 25x25, of which the first 100 are faces."""
SMALLEST_SIDE = 64
"""Of a test image of a decoder: smaller ones show a pattern, not a picture."""


def photographs(folder: Path) -> list[Pixels]:
    """Return the whole photographs of ``folder`` (scikit-image's ``skimage/data``) and of installed packages."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
    for package, inside, suffix in BUNDLED:
        with importlib.resources.as_file(importlib.resources.files(package)) as root:
            files += sorted((root / inside).glob(f"*{suffix}"))
    return _read(files)


def faces(folder: Path, rng: Generator, count: int) -> list[Pixels]:
    """Return faces of scikit-image's subset of Labeled Faces in the Wild: tiny, grey."""
    there = np.load(folder / FACES)[:100]  # (100, 25, 25), 0-1
    chosen = rng.choice(len(there), count, replace=False)
    return [np.repeat((there[index] * 255).astype(np.uint8)[..., None], 3, axis=2) for index in chosen]


def part(rng: Generator, photo: Pixels) -> Pixels:
    """Return a part of a photograph: half to a fifth of its sides."""
    share = rng.uniform(0.2, 0.5)
    height, width = (max(16, int(side * share)) for side in photo.shape[:2])
    top, left = (
        int(rng.integers(0, max(1, side - length + 1)))
        for side, length in zip(photo.shape[:2], (height, width), strict=True)
    )
    return np.ascontiguousarray(photo[top : top + height, left : left + width])


def test_images(folder: Path, rng: Generator, count: int) -> list[Pixels]:
    """Return some of the test images of decoders below ``folder`` that can be read and show something."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found: list[Pixels] = []
    for index in rng.permutation(len(files)):
        found += [image for image in _read([files[index]]) if min(image.shape[:2]) >= SMALLEST_SIDE and image.std() > 5]
        if len(found) == count:
            break
    return found


def _read(files: Sequence[Path]) -> list[Pixels]:
    images: list[Pixels] = []
    for file in files:
        try:
            images.append(read_image(file))
        except ImageError:
            continue  # a test image that decoders have to refuse
    return images
