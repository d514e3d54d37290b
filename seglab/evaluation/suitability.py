"""Measurement of the score ``suitable`` on training and validation images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seglab.data.pairs import Pair
from seglab.evaluation.original import Predictor
from seglab.images.pixels.resize import OVERSAMPLING, fit
from seglab.networks.suitability import Suitability, Values, learn

MOST_IMAGES = 2000
"""Largest number of training images, and of validation images; of more, evenly spaced ones are taken."""
TOGETHER = 8


def measure(
    predictor: Predictor,
    training: Sequence[Pair],
    validation: Sequence[Pair],
    advance: Callable[[int], Any] = lambda count: None,
) -> Suitability:
    """Return the statistics and the calibration of the score for the predictor's first network.

    Images are not augmented. ``advance``: called with the number of images that are done. Raises
    :class:`seglab.errors.DataError` where there are too few, :class:`seglab.errors.CheckpointError` where the network
    has no encoder.
    """
    channels = predictor.feature_channels()
    learned = _points(predictor, chosen(training), advance)
    return learn(learned, _points(predictor, chosen(validation), advance), channels)


def chosen(pairs: Sequence[Pair]) -> list[Pair]:
    """Return all pairs, or :data:`MOST_IMAGES` evenly spaced ones."""
    if len(pairs) <= MOST_IMAGES:
        return list(pairs)
    return [pairs[int(index)] for index in np.linspace(0, len(pairs) - 1, MOST_IMAGES).round()]


def _points(predictor: Predictor, pairs: Sequence[Pair], advance: Callable[[int], Any]) -> Values:
    found: list[Values] = []
    for start in range(0, len(pairs), TOGETHER):
        images = [_pixels(pair, predictor.checkpoint.size) for pair in pairs[start : start + TOGETHER]]
        found.append(predictor.points(images))
        advance(len(images))
    return np.concatenate(found) if found else np.zeros((0, 1), np.float32)


def _pixels(pair: Pair, size: int) -> NDArray[np.uint8]:
    return fit(pair.photo(at_least=OVERSAMPLING * size).pixels, size)
