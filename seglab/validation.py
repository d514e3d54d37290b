"""Validation of a checkpoint: every image at its original size, through the PyTorch original."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seglab.errors import DataError
from seglab.metrics import Confusion, confusion
from seglab.pairs import Pair
from seglab.predict import Predictor


@dataclass(frozen=True)
class Judged:
    """One image with what came out. ``image`` uint8 ``(H, W, 3)``; ``mask``, ``truth`` uint8 ``(H, W)``, 0 or 255."""

    pair: Pair
    counts: Confusion
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    truth: NDArray[np.uint8]


def judge(predictor: Predictor, pairs: Iterable[Pair]) -> Iterator[Judged]:
    """Predict each image and count its pixels against the truth, one at a time.

    Raises :class:`DataError` where a truth is not of its image's size.
    """
    for pair in pairs:
        image, truth = pair.photo().pixels, pair.mask()
        mask = predictor.mask(image)
        try:
            counts = confusion(mask, truth)
        except DataError as error:
            raise DataError(f"{pair.source}: {error}") from error
        yield Judged(pair, counts, image, mask, truth)
