"""The whole collection, by kind, from a seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.support.no_dermoscopy import pages, photographs, plain

Pixels = NDArray[np.uint8]

DRAWN: dict[str, tuple[int, Callable[[Generator], Pixels]]] = {
    "pages of text": (22, pages.page),
    "slides": (16, pages.slide),
    "screens": (16, pages.screen),
    "charts": (10, pages.chart),
    "gradients": (10, plain.gradient),
    "noise": (10, plain.noise),
    "skies": (14, plain.sky),
    "textures": (16, plain.texture),
}
"""Kinds that are drawn: how many, and by what."""
FLAT, FACES, TEST_IMAGES = 12, 14, 10
PHOTOGRAPHS = 50
"""Whole ones and parts of them together."""


def collection(scikit_image: Path, formats: Path, seed: int = 0) -> dict[str, list[Pixels]]:
    """Return 200 images by kind. ``scikit_image``: its ``skimage/data``; ``formats``: test images of decoders."""
    rng = np.random.default_rng(seed)
    made = {kind: [draw(rng) for _ in range(count)] for kind, (count, draw) in DRAWN.items()}
    made["one colour, black, white"] = [plain.flat(rng, number) for number in range(FLAT)]
    made["faces"] = photographs.faces(scikit_image, rng, FACES)
    made["test images of decoders"] = photographs.test_images(formats, rng, TEST_IMAGES)
    whole = photographs.photographs(scikit_image)
    parts = [photographs.part(rng, whole[index % len(whole)]) for index in range(PHOTOGRAPHS - len(whole))]
    return {**made, "photographs": whole, "parts of photographs": parts}
