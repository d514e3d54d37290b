"""Choose the layers that stay in float: the most sensitive first, 1, 2, 4, ... of them until the gate passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.precision.calibration import Calibration, Probs, probabilities
from export.precision.quantise import Network, activation_of, calibrate, layer_names, quantise
from export.runtime.masks import agreement, to_mask
from export.tolerances import tolerance_for

if TYPE_CHECKING:
    from onnx import ModelProto

PRECISION = "int8"
RANKING_IMAGES = 8


@dataclass(frozen=True)
class Candidate:
    """An int8 model, its layers that are in float, and whether it agrees with the float model on the calibration images
    (``dice``: mean and worst).
    """

    model: ModelProto
    float_layers: tuple[str, ...]
    layers: int
    dice: tuple[float, float]
    promising: bool


def candidates(model: ModelProto, calibration: Calibration, threshold: float) -> Iterator[Candidate]:
    """Yield int8 models of a float one: with all layers quantised, then with 1, 2, 4, ... up to half of them in float.

    Ranking costs a pass per layer, so it is done only if the first candidate is not accepted.
    """
    network = calibrate(model, calibration)
    expected = probabilities(model, calibration.images)
    layers = len(network.layers)
    order: list[str] = []
    count = 0
    while count <= layers // 2:
        if count and not order:
            order = rank(network, calibration, expected)
        yield _candidate(network, order[:count], calibration, expected, threshold)
        count = 2 * count or 1


def rank(network: Network, calibration: Calibration, expected: Probs) -> list[str]:
    """Return the layers' names by the error that each causes when it alone is quantised, the largest first."""
    images = calibration.images[:: max(1, len(calibration.images) // RANKING_IMAGES)]
    exact = expected[:: max(1, len(calibration.images) // RANKING_IMAGES)]
    damage = {}
    for layer in network.layers:
        alone = quantise(network, only={layer.name, *activation_of(network, layer)})
        damage[layer.name] = float(np.abs(probabilities(alone, images) - exact).mean())
    return sorted(damage, key=lambda name: damage[name], reverse=True)


def _candidate(
    network: Network, keep: list[str], calibration: Calibration, expected: Probs, threshold: float
) -> Candidate:
    model = quantise(network, keep)
    limits = tolerance_for(PRECISION)
    probs = zip(probabilities(model, calibration.images), expected, strict=True)
    pairs = [agreement(to_mask(prob, threshold), to_mask(exact, threshold)) for prob, exact in probs]
    dice = [limits.counted_dice(value, flipped) for flipped, value in pairs]
    mean, worst = float(np.mean(dice)), float(min(dice))
    names = layer_names([layer for layer in network.layers if layer.name in keep])
    promising = mean >= limits.mean_dice and worst >= limits.worst_dice
    return Candidate(model, tuple(names), len(network.layers), (mean, worst), promising)
