"""Verifying a device: it has to compute what the CPU provider computes, on a few synthetic images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import DeviceError
from export.runtime.masks import agreement, to_mask
from export.tolerances import tolerance_for
from seglab.synth import MIN_SIDE, synthesise

PROBES = 2


def probe_images(height: int, width: int, count: int = PROBES) -> NDArray[np.uint8]:
    """Return synthetic images, uint8 ``(N, H, W, 3)``: hairs and noise show a resize that does not antialias."""
    larger = max(height, MIN_SIDE), max(width, MIN_SIDE)
    return np.stack([synthesise(*larger, seed).image[:height, :width] for seed in range(count)])


def require_same(prob: NDArray[Any], expected: NDArray[Any], *, device: str, precision: str, threshold: float) -> None:
    """Raise :class:`DeviceError` unless probabilities ``(N, S, S)`` or ``(N, C, S, S)`` and their masks are what they
    ought to be.
    """
    limits = tolerance_for(precision)
    gap = np.abs(prob - expected)
    largest, mean = float(gap.max()), float(gap.mean())
    masks = zip(prob, expected, strict=True)
    pairs = [agreement(to_mask(one, threshold), to_mask(other, threshold)) for one, other in masks]
    dice = float(np.mean([limits.counted_dice(value, flipped) for flipped, value in pairs]))
    # Written so that NaN fails.
    if not (largest <= limits.max_prob and mean <= limits.mean_prob and dice >= limits.mean_dice):
        reason = (
            f"in {precision} its probabilities differ from the CPU provider's by up to {largest:.2g}, on average by "
            f"{mean:.2g}, and its masks have Dice {dice:.5f} (limits: {limits.max_prob:g}, {limits.mean_prob:g}, "
            f"{limits.mean_dice:g})"
        )
        raise DeviceError(device, reason, "Use another device.", available=True)
